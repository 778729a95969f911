"""The number inventory: all or none, every refusal named, and two at once never both have a number."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from callcore.errors import AlreadyExists, BadInput, KalibriError, NotFound, StillInUse
from callcore.inventory import NumberOperation, NumberRefused, NumberState, next_state, parse_numbers, target
from kalibri import db as database
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import account, number_range, tenant
from kalibri.services import number as numbers
from kalibri.services.destination import BadDestination, Destination, parse_destination
from kemi.ks_route.model import DestinationKind
from tests.support.builders import make_account, make_tenant

ONE = "74951230000"
FOUR = parse_numbers(["74951230000-74951230003"])
ALICE = Destination(DestinationKind.ACCOUNT, "alice")


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def acme(conn: Conn) -> int:
    tenant_id = make_tenant(conn, "acme")
    make_account(conn, tenant_id, "alice")
    return tenant_id


@pytest.fixture
def rival(conn: Conn) -> int:
    return make_tenant(conn, "rival")


def make_gateway(conn: Conn, name: str, tenant_id: int = 0) -> None:
    conn.execute(
        "INSERT INTO gateway (tenant_id, name, host) VALUES (%s, %s, '192.0.2.1')", (tenant_id, name)
    )


def states(conn: Conn) -> dict[str, str]:
    return {row.number: row.state.value for row in numbers.list_numbers(conn)}


def put(conn: Conn, number: str, state: NumberState, tenant_id: int) -> None:
    """Bring a number into a state, by whatever way."""
    conn.execute(
        "INSERT INTO number (number, state, tenant_id) VALUES (%s, %s, %s)",
        (number, state.value, tenant_id if state in ("reserved", "assigned") else None),
    )


def test_new_numbers_are_free_and_their_gateway_is_known(conn: Conn, acme: int) -> None:
    make_gateway(conn, "carrier")
    make_gateway(conn, "carrier", acme)
    numbers.add(conn, numbers=FOUR[:2], gateway="carrier", note=" block A ")
    numbers.add(conn, numbers=FOUR[2:], gateway="acme/carrier")
    rows = numbers.list_numbers(conn)
    assert [row.number for row in rows] == FOUR
    assert [row.gateway for row in rows] == ["carrier", "carrier", "acme/carrier", "acme/carrier"]
    assert {(row.state, row.tenant, row.destination_kind) for row in rows} == {(NumberState.FREE, None, None)}
    assert rows[0].note == "block A"
    with pytest.raises(NotFound, match='no gateway "rival/carrier"'):
        numbers.add(conn, numbers=["7495"], gateway="rival/carrier")


def test_number_that_is_there_stops_all_and_is_named(conn: Conn) -> None:
    numbers.add(conn, numbers=[ONE])
    with pytest.raises(AlreadyExists, match=f"already in the inventory: {ONE}$"):
        numbers.add(conn, numbers=FOUR)
    assert states(conn) == {ONE: "free"}


def test_filters_let_through_what_they_say(conn: Conn, acme: int) -> None:
    numbers.add(conn, numbers=[*FOUR, "78121110000", "749"])
    numbers.assign(conn, numbers=FOUR[:1], tenant_id=acme)
    numbers.reserve(conn, numbers=FOUR[1:2], tenant_id=acme)

    def listed(**filters: object) -> list[str]:
        return [row.number for row in numbers.list_numbers(conn, **filters)]  # type: ignore[arg-type]

    assert listed(tenant_id=acme) == FOUR[:2]
    assert listed(state=NumberState.RESERVED) == FOUR[1:2]
    assert listed(prefix="+749") == ["749", *FOUR]
    assert listed(prefix="7495123000") == FOUR
    assert listed(prefix="x") == []
    assert listed(limit=2) == ["749", FOUR[0]]
    assert listed(tenant_id=acme, state=NumberState.FREE) == []


def test_statement_obeys_the_table_of_states(conn: Conn, acme: int, rival: int) -> None:
    """The precondition in SQL and next_state agree on the whole grid."""
    for operation, state, owner in itertools.product(NumberOperation, NumberState, (acme, rival)):
        with conn.transaction(force_rollback=True):
            put(conn, ONE, state, owner)
            before = numbers.find(conn, number=ONE)
            tenant_id = acme if operation in ("reserve", "assign") else None
            refusal = refused_by_table(operation, before, tenant_id)
            said = refused_by(conn, operation, acme)
            assert said == (refusal and f"{ONE}: {refusal}"), (operation, state, owner)
            after = numbers.find(conn, number=ONE)
            expected = (before.state, before.tenant_id) if refusal else (target(operation), tenant_id)
            assert (after.state, after.tenant_id) == expected, (operation, state, owner)


def refused_by_table(operation: NumberOperation, row: numbers.Number, tenant_id: int | None) -> str | None:
    try:
        next_state(operation, row.state, owner=row.tenant_id, tenant_id=tenant_id)
    except NumberRefused as refused:
        return refused.message
    return None


def refused_by(conn: Conn, operation: NumberOperation, tenant_id: int) -> str | None:
    try:
        if operation is NumberOperation.RESERVE:
            numbers.reserve(conn, numbers=[ONE], tenant_id=tenant_id)
        elif operation is NumberOperation.ASSIGN:
            numbers.assign(conn, numbers=[ONE], tenant_id=tenant_id)
        elif operation is NumberOperation.FREE:
            numbers.free(conn, numbers=[ONE])
        else:
            numbers.port(conn, numbers=[ONE])
    except NumberRefused as refused:
        return refused.message
    return None


def test_one_refusal_undoes_all_and_missing_numbers_come_first(conn: Conn, acme: int, rival: int) -> None:
    numbers.add(conn, numbers=FOUR)
    numbers.assign(conn, numbers=FOUR[2:3], tenant_id=rival)
    numbers.port(conn, numbers=FOUR[3:])
    before = states(conn)
    with pytest.raises(NumberRefused) as refused:
        numbers.assign(conn, numbers=FOUR, tenant_id=acme)
    assert refused.value.message == (
        f"{FOUR[2]}: the number is assigned for another tenant: free it first;"
        f" {FOUR[3]}: the number is ported: cannot assign it"
    )
    with pytest.raises(NotFound, match=r"not in the inventory: 7495$"):
        numbers.assign(conn, numbers=[*FOUR, "7495"], tenant_id=acme)
    assert states(conn) == before


def test_many_refusals_are_counted(conn: Conn) -> None:
    wanted = parse_numbers(["749500-749599"])
    with pytest.raises(NotFound, match=r"749509 and 90 more$"):
        numbers.free(conn, numbers=wanted)


def test_destination_is_set_kept_changed_and_forgotten(conn: Conn, acme: int) -> None:
    numbers.add(conn, numbers=[ONE])

    def leads_to() -> tuple[str | None, str]:
        row = numbers.find(conn, number=ONE)
        return row.destination_kind, row.destination

    numbers.assign(conn, numbers=[ONE], tenant_id=acme, destination=ALICE, note="n")
    assert leads_to() == ("account", "alice")
    numbers.assign(conn, numbers=[ONE], tenant_id=acme, keep_destination=True)
    assert leads_to() == ("account", "alice")
    numbers.assign(conn, numbers=[ONE], tenant_id=acme, destination=parse_destination("queue", "sales"))
    assert leads_to() == ("queue", "sales")
    numbers.assign(conn, numbers=[ONE], tenant_id=acme)
    assert leads_to() == (None, "")
    numbers.assign(conn, numbers=[ONE], tenant_id=acme, destination=ALICE)
    numbers.port(conn, numbers=[ONE], note="to MTS")
    assert leads_to() == (None, "")
    assert numbers.find(conn, number=ONE).note == "to MTS"


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("account", "bob", 'the tenant has no account "bob"'),
        ("gateway", "foreign", 'neither the tenant nor the system has a gateway "foreign"'),
        ("group", "none", 'neither the tenant nor the system has a gateway group "none"'),
        ("account", "", "is not the user name of an account"),
        ("next", "", 'a number cannot lead to "next"'),
        ("nothing", "x", 'a number cannot lead to "nothing": uri, gateway, group'),
        ("uri", "100@host", "is not a SIP URI"),
        ("reject", "200", "is not a final response"),
        ("redirect", "sip:a@b,,", "is not SIP URIs"),
        ("queue", "two words", "is not the name of the queue"),
    ],
)
def test_number_cannot_lead_nowhere(
    conn: Conn, acme: int, rival: int, kind: str, value: str, message: str
) -> None:
    make_gateway(conn, "foreign", rival)
    numbers.add(conn, numbers=[ONE])
    with pytest.raises(BadDestination, match=message):
        numbers.assign(conn, numbers=[ONE], tenant_id=acme, destination=parse_destination(kind, value))
    assert states(conn) == {ONE: "free"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("gateway", "shared"),
        ("gateway", "own"),
        ("uri", "sip:100@example.org;transport=tcp"),
        ("reject", "404 No Such Number"),
        ("redirect", "sip:a@b, SIPS:c@d"),
        ("ivr", "welcome"),
    ],
)
def test_number_can_lead_there(conn: Conn, acme: int, kind: str, value: str) -> None:
    make_gateway(conn, "shared")
    make_gateway(conn, "own", acme)
    numbers.add(conn, numbers=[ONE])
    numbers.assign(conn, numbers=[ONE], tenant_id=acme, destination=parse_destination(kind, value))
    assert numbers.find(conn, number=ONE).destination == value


def test_account_that_a_number_leads_to_stays(conn: Conn, acme: int) -> None:
    numbers.add(conn, numbers=[ONE])
    numbers.assign(conn, numbers=[ONE], tenant_id=acme, destination=ALICE)
    with pytest.raises(StillInUse, match=f'number {ONE} still lead to account "alice"'):
        account.remove(conn, tenant_id=acme, username="alice")
    with pytest.raises(StillInUse):
        tenant.remove(conn, name="acme")


def test_only_what_nobody_has_is_removed(conn: Conn, acme: int) -> None:
    numbers.add(conn, numbers=FOUR)
    numbers.assign(conn, numbers=FOUR[:1], tenant_id=acme)
    numbers.reserve(conn, numbers=FOUR[1:2], tenant_id=acme)
    numbers.port(conn, numbers=FOUR[2:3])
    told = rf"free them first: {FOUR[0]} \(assigned\), {FOUR[1]} \(reserved\)"
    with pytest.raises(NumberRefused, match=told):
        numbers.remove(conn, numbers=FOUR)
    assert len(states(conn)) == 4
    numbers.remove(conn, numbers=FOUR[2:])
    with pytest.raises(NotFound):
        numbers.remove(conn, numbers=FOUR[2:])


def test_gateway_and_note_change_in_every_state(conn: Conn, acme: int) -> None:
    make_gateway(conn, "carrier")
    numbers.add(conn, numbers=FOUR[:2], note="old")
    numbers.assign(conn, numbers=FOUR[:1], tenant_id=acme)
    numbers.change(conn, numbers=FOUR[:2], gateway="carrier")
    assert [(row.gateway, row.note) for row in numbers.list_numbers(conn)] == [("carrier", "old")] * 2
    numbers.change(conn, numbers=FOUR[:2], keep_gateway=True, note="new")
    assert [(row.gateway, row.note) for row in numbers.list_numbers(conn)] == [("carrier", "new")] * 2
    numbers.change(conn, numbers=FOUR[:1])
    assert numbers.find(conn, number=ONE).gateway is None
    with pytest.raises(NotFound, match="not in the inventory: 7495"):
        numbers.change(conn, numbers=["7495"], note="x")
    with pytest.raises(BadInput):
        numbers.change(conn, numbers=[ONE], keep_gateway=True, note="zero \0 byte")


def test_two_tenants_at_once_cannot_both_have_a_number(
    pg_config: Config, conn: Conn, acme: int, rival: int
) -> None:
    numbers.add(conn, numbers=FOUR)
    outcomes: list[object] = []
    start = threading.Barrier(2)

    def take(tenant_id: int) -> None:
        with database.connect_tool(pg_config, application_name="test") as own:
            start.wait()
            try:
                numbers.reserve(own, numbers=FOUR, tenant_id=tenant_id)
                outcomes.append(tenant_id)
            except KalibriError as error:
                outcomes.append(error.exit_code)

    threads = [threading.Thread(target=take, args=(tenant_id,)) for tenant_id in (acme, rival)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = {row.tenant_id for row in numbers.list_numbers(conn)}
    assert sorted(map(str, outcomes)) == sorted([str(winner), "4"])


def test_lookup_joins_inventory_and_registry(conn: Conn, acme: int, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="neither the inventory nor the number ranges hold 74951230000"):
        numbers.lookup(conn, number=ONE)
    numbers.add(conn, numbers=[ONE])
    numbers.assign(conn, numbers=[ONE], tenant_id=acme, destination=ALICE)
    assert numbers.lookup(conn, number=ONE).region is None
    file = tmp_path / "ABC-4xx.csv"
    file.write_text(
        "АВС/ DEF;От;До;Емкость;Оператор;Регион;ИНН\n495;1230000;1239999;10000;ПАО МГТС;г. Москва;7710016640\n"
    )
    number_range.import_ranges(conn, files=[file], country_code="7")
    own = numbers.lookup(conn, number=ONE)
    assert (own.state, own.tenant, own.destination) == ("assigned", "acme", "alice")
    assert (own.region, own.operator, own.range_first, own.range_last) == (
        "Москва",
        "ПАО МГТС",
        74951230000,
        74951239999,
    )
    foreign = numbers.lookup(conn, number="74951239999")
    assert (foreign.state, foreign.region) == (None, "Москва")


def test_index_hears_of_state_changes_but_not_of_notes(conn: Conn, acme: int) -> None:
    numbers.add(conn, numbers=[ONE])
    numbers.reserve(conn, numbers=[ONE], tenant_id=acme)
    numbers.change(conn, numbers=[ONE], keep_gateway=True, note="x")
    logged = (
        "SELECT array_agg(operation || ' ' || ids::text ORDER BY seq) FROM change_log WHERE noun = 'number'"
    )
    assert database.fetch_value(conn, logged) == [f"insert {{{ONE}}}", f"update {{{ONE}}}"]
