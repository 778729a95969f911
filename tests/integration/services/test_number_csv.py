"""The number inventory as CSV: out and in without a difference, everything wrong told by line, nothing halfway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callcore.inventory import parse_numbers
from kalibri import db as database
from kalibri.config import Config
from kalibri.csv_table import CsvRefused
from kalibri.db import Conn
from kalibri.services import number as numbers
from kalibri.services import number_csv
from kalibri.services.destination import parse_destination
from tests.support.builders import make_account, make_tenant

HEADING = "number,state,tenant,destination_kind,destination,gateway,note\n"


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def acme(conn: Conn) -> int:
    tenant_id = make_tenant(conn, "acme")
    make_account(conn, tenant_id, "alice")
    conn.execute(
        "INSERT INTO gateway (tenant_id, name, host) VALUES (0, 'gw', '::1'), (%s, 'gw', '::1')", [tenant_id]
    )
    return tenant_id


@pytest.fixture
def rival(conn: Conn) -> int:
    return make_tenant(conn, "rival")


@pytest.fixture
def stock(conn: Conn, acme: int, rival: int) -> str:
    """A number in each state and shape; returns the export."""
    four = parse_numbers(["74951230000-74951230003"])
    numbers.add(conn, numbers=[*four, "74951230009"], gateway="gw", note='said "hello", left')
    numbers.assign(conn, numbers=four[:1], tenant_id=acme, destination=parse_destination("account", "alice"))
    numbers.assign(conn, numbers=four[1:2], tenant_id=rival)
    numbers.change(conn, numbers=four[1:2], gateway="acme/gw", note="примечание\nдва")
    numbers.reserve(conn, numbers=four[2:3], tenant_id=acme)
    numbers.port(conn, numbers=four[3:], note="")
    return "".join(number_csv.export(conn))


def write(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "numbers.csv"
    path.write_bytes(text.encode(encoding))
    return path


def told(error: CsvRefused) -> list[tuple[int, str]]:
    errors: Any = error.details["errors"]
    return [(entry["line"], entry["message"]) for entry in errors]


def test_export_has_every_field(stock: str) -> None:
    assert stock == (
        HEADING
        + '74951230000,assigned,acme,account,alice,gw,"said ""hello"", left"\n'
        + '74951230001,assigned,rival,,,acme/gw,"примечание\nдва"\n'
        + '74951230002,reserved,acme,,,gw,"said ""hello"", left"\n'
        + "74951230003,ported,,,,gw,\n"
        + '74951230009,free,,,,gw,"said ""hello"", left"\n'
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
def test_export_imported_again_changes_nothing_and_fills_an_empty_inventory(
    conn: Conn, stock: str, tmp_path: Path, encoding: str
) -> None:
    file = write(tmp_path, stock, encoding)
    newest = "SELECT max(seq) FROM change_log"
    before = database.fetch_value(conn, newest)
    again = number_csv.import_(conn, file=file)
    assert (again.added, again.changed, len(again.unchanged)) == ((), (), 5)
    assert database.fetch_value(conn, newest) == before
    conn.execute("DELETE FROM number")
    fresh = number_csv.import_(conn, file=file)
    assert len(fresh.added) == 5
    assert "".join(number_csv.export(conn)) == stock


def test_export_of_a_tenant_has_its_numbers_only(conn: Conn, acme: int, stock: str) -> None:
    rows = list(number_csv.export(conn, tenant_id=acme))
    assert [row[:11] for row in rows[1:]] == ["74951230000", "74951230002"]


def test_columns_that_are_not_there_stay_as_they_are(conn: Conn, stock: str, tmp_path: Path) -> None:
    result = number_csv.import_(
        conn, file=write(tmp_path, "number\n+74951230000\n74951230003\n74990000000\n")
    )
    assert (result.added, result.changed) == (("74990000000",), ())
    result = number_csv.import_(
        conn, file=write(tmp_path, "number;state;note\n74951230000;free;back\n74951230003;free;home\n")
    )
    assert result.changed == ("74951230000", "74951230003")
    freed = numbers.find(conn, number="74951230000")
    assert (freed.state, freed.tenant, freed.destination_kind, freed.destination) == ("free", None, None, "")
    assert (freed.gateway, freed.note) == ("gw", "back")


def test_columns_that_are_empty_take_values_away(conn: Conn, stock: str, tmp_path: Path) -> None:
    text = "number,destination_kind,destination,gateway,note\n74951230000,,,,\n"
    number_csv.import_(conn, file=write(tmp_path, text))
    row = numbers.find(conn, number="74951230000")
    assert (row.state, row.tenant, row.destination_kind, row.gateway, row.note) == (
        "assigned", "acme", None, None, "",
    )  # fmt: skip


def test_dry_run_tells_the_same_and_changes_nothing(conn: Conn, stock: str, tmp_path: Path) -> None:
    file = write(tmp_path, HEADING + "74951230009,assigned,acme,ivr,hello,,\n74990000000,free,,,,,\n")
    dry = number_csv.import_(conn, file=file, dry_run=True)
    assert "".join(number_csv.export(conn)) == stock
    assert number_csv.import_(conn, file=file) == dry
    assert (dry.added, dry.changed) == (("74990000000",), ("74951230009",))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("495,free,,,,,", "the inventory takes it"),
        ("0495,free,,,,,", '"0495" is no E.164 number: 3 to 15 digits, country code first'),
        (",free,,,,,", '"" is no E.164 number: 3 to 15 digits, country code first'),
        ("7499,busy,,,,,", 'state: "busy" is none of free, reserved, assigned, ported'),
        ("7499,assigned,nobody,,,,", 'tenant: there is no tenant "nobody"'),
        ("7499,assigned,,,,,", "a reserved or assigned number has a tenant, a free or ported one has none"),
        ("7499,free,acme,,,,", "a reserved or assigned number has a tenant, a free or ported one has none"),
        ("7499,reserved,acme,ivr,x,,", "only an assigned number leads somewhere"),
        ("7499,assigned,acme,account,bob,,", 'the tenant has no account "bob"'),
        ("7499,assigned,acme,next,,,", 'a number cannot lead to "next": uri, gateway, group'),
        ("7499,assigned,acme,,alice,,", 'a number cannot lead to "": uri, gateway, group'),
        ("7499,free,,,,none,", 'gateway: there is no gateway "none" (that of a tenant is tenant/name)'),
        ("74951230000,assigned,rival,,,,", "the number is assigned for another tenant: free it first"),
        ("74951230001,reserved,rival,,,,", "the number is assigned: cannot reserve it"),
        ("74951230003,assigned,acme,,,,", "the number is ported: cannot assign it"),
        ("74951230009,free", "2 fields, but the heading has 7"),
    ],
)
def test_wrong_row_is_told_by_its_line(
    conn: Conn, stock: str, tmp_path: Path, row: str, message: str
) -> None:
    file = write(tmp_path, f"{HEADING}74990000000,free,,,,,\n{row}\n")
    if message == "the inventory takes it":
        assert number_csv.import_(conn, file=file).added == ("74990000000", "495")
        return
    with pytest.raises(CsvRefused) as refused:
        number_csv.import_(conn, file=file)
    ((line, said),) = told(refused.value)
    assert line == 3
    assert said.startswith(message)
    assert "".join(number_csv.export(conn)) == stock


def test_all_wrong_rows_are_told_together_also_across_batches(
    conn: Conn, stock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(number_csv, "BATCH_ROWS", 2)
    rows = [
        "74990000000,free",
        "x,free",
        "74990000000,free",
        "74990000001,lost",
        "74990000002,free",
        "74990000002,free",
    ]
    with pytest.raises(CsvRefused) as refused:
        number_csv.import_(conn, file=write(tmp_path, "number,state\n" + "\n".join(rows) + "\n"))
    assert told(refused.value) == [
        (3, '"x" is no E.164 number: 3 to 15 digits, country code first'),
        (4, 'number "74990000000" is in line 2 already'),
        (5, 'state: "lost" is none of free, reserved, assigned, ported'),
        (7, 'number "74990000002" is in line 6 already'),
    ]
    assert "".join(number_csv.export(conn)) == stock


def test_many_numbers_are_a_few_entries_in_the_change_log(
    conn: Conn, acme: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(number_csv, "BATCH_ROWS", 1000)
    wanted = parse_numbers(["74950000000-74950002499"])
    text = "number,state,tenant\n" + "".join(f"{number},assigned,acme\n" for number in wanted)
    result = number_csv.import_(conn, file=write(tmp_path, text))
    assert result.added == tuple(wanted)
    count = "SELECT count(*) FROM change_log WHERE noun = 'number'"
    assert database.fetch_value(conn, count) == 3
