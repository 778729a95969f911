"""Services of accounts, hunt groups, codes: what may be stored, and what reaches the proxies."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from callcore.account_service import AccountServices, Forward, ForwardCondition, ForwardKind, HuntMode
from callcore.errors import AlreadyExists, BadInput, NotFound, StillInUse
from callcore.star_code import StarAction
from kalibri.db import Conn
from kalibri.hashfile import HashFile
from kalibri.services import account, account_service, hunt_group, index_build, number, service_code
from kalibri.services.account_service import ServiceFlags
from kalibri.services.destination import Destination
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.model import DestinationKind
from tests.support.builders import make_account, make_tenant
from tests.support.fix_ksctl import Ksctl


@pytest.fixture
def acme(db: Conn) -> int:
    tenant_id = make_tenant(db, "acme")
    for username in ("101", "102", "103"):
        make_account(db, tenant_id, username)
    return tenant_id


def entry(db: Conn, folder: Path, key: str) -> bytes | None:
    """Return an entry of the directory file as ks-index builds it now."""
    path = folder / "directory"
    with db.transaction():
        index_build.build_directory(db, path)
    return HashFile(path).get(key.encode())


def directory(db: Conn, folder: Path, tenant_id: int, username: str) -> AccountServices | None:
    found = entry(db, folder, f"s:{tenant_id}:{username}")
    return None if found is None else AccountServices.from_json(json.loads(found))


def test_what_an_account_sets_is_shown_and_reaches_the_proxies(db: Conn, acme: int, tmp_path: Path) -> None:
    of = {"tenant_id": acme, "username": "101"}
    account_service.change(db, **of, do_not_disturb=True, pickup_group="desk")
    account_service.forward(db, **of, condition="busy", to="number:79161234567")
    account_service.forward(db, **of, condition="no_answer", to="account:102", seconds=9)
    account_service.list_caller(db, **of, caller="+7916*", which="black")
    account_service.list_caller(db, **of, caller="102", which="white")
    shown = account_service.set_speed_dial(db, **of, slot="5", to="103")
    assert shown.forwards == ("busy number:79161234567", "no_answer account:102 after 9 s")
    assert (shown.black, shown.white, shown.speed_dial) == (("7916*",), ("102",), ("5=103",))
    assert directory(db, tmp_path, acme, "101") == AccountServices(
        do_not_disturb=True,
        pickup_group="desk",
        forwards={
            ForwardCondition.BUSY: Forward(ForwardKind.NUMBER, "79161234567"),
            ForwardCondition.NO_ANSWER: Forward(ForwardKind.ACCOUNT, "102", 9),
        },
        black=("7916*",),
        white=("102",),
        speed_dial={"5": "103"},
    )
    assert entry(db, tmp_path, f"p:{acme}:desk") == b'{"members": ["101"]}'
    assert directory(db, tmp_path, acme, "102") is None
    assert [row.username for row in account_service.list_services(db, tenant_id=acme)] == ["101"]


def test_everything_can_be_taken_back(db: Conn, acme: int) -> None:
    of = {"tenant_id": acme, "username": "101"}
    account_service.forward(db, **of, condition="always", to="account:102")
    account_service.forward(db, **of, condition="busy", to="account:103")
    account_service.list_caller(db, **of, caller="103", which="black")
    account_service.set_speed_dial(db, **of, slot="7", to="102")
    assert account_service.unforward(db, **of, condition="always").forwards == ("busy account:103",)
    account_service.unforward(db, **of)
    account_service.unlist_caller(db, **of, caller="103")
    assert account_service.remove_speed_dial(db, **of, slot="7").speed_dial == ()
    for again in (
        lambda: account_service.unforward(db, **of, condition="always"),
        lambda: account_service.unlist_caller(db, **of, caller="103"),
        lambda: account_service.remove_speed_dial(db, **of, slot="7"),
    ):
        with pytest.raises(NotFound):
            again()


@pytest.mark.parametrize(
    ("condition", "to", "seconds", "error"),
    [
        ("sometimes", "account:102", None, BadInput),
        ("always", "102", None, BadInput),
        ("always", "account:101", None, BadInput),
        ("always", "account:999", None, NotFound),
        ("always", "queue:none", None, NotFound),
        ("always", "voicemail", None, NotFound),
        ("busy", "account:102", 9, BadInput),
        ("no_answer", "account:102", 0, BadInput),
        ("always", "number:12 34", None, BadInput),
    ],
)
def test_forwardings_that_are_refused(
    db: Conn, acme: int, condition: str, to: str, seconds: int | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        account_service.forward(
            db, tenant_id=acme, username="101", condition=condition, to=to, seconds=seconds
        )


def test_services_go_with_the_account(db: Conn, acme: int) -> None:
    account_service.change(db, tenant_id=acme, username="101", do_not_disturb=True)
    account_service.forward(db, tenant_id=acme, username="101", condition="always", to="account:102")
    hunt_group.add(db, tenant_id=acme, name="600", members=["101", "102"])
    account.remove(db, tenant_id=acme, username="101")
    assert account_service.list_services(db, tenant_id=acme) == []
    assert hunt_group.find(db, tenant_id=acme, name="600").members == ("102",)


def test_a_hunt_group_is_named_like_an_account(db: Conn, acme: int, tmp_path: Path) -> None:
    made = hunt_group.add(
        db, tenant_id=acme, name="600", members=["102", "101"], mode="serial", fallback="account:103"
    )
    assert (made.mode, made.members, made.fallback) == (HuntMode.SERIAL, ("102", "101"), "account:103")
    changed = hunt_group.change(db, tenant_id=acme, name="600", members=("103",), fallback=None)
    assert (changed.members, changed.fallback) == (("103",), None)
    assert b'"members": ["103"]' in (entry(db, tmp_path, f"h:{acme}:600") or b"")
    with pytest.raises(AlreadyExists):
        hunt_group.add(db, tenant_id=acme, name="101", members=[])
    with pytest.raises(AlreadyExists):
        make_account(db, acme, "600")
    with pytest.raises(NotFound):
        hunt_group.change(db, tenant_id=acme, name="600", members=("999",))
    account_service.forward(db, tenant_id=acme, username="101", condition="always", to="account:600")
    number.add(db, numbers=["74951234567"])
    group = Destination(DestinationKind.ACCOUNT, "600")
    number.assign(db, numbers=["74951234567"], tenant_id=acme, destination=group)
    with pytest.raises(StillInUse):
        hunt_group.remove(db, tenant_id=acme, name="600")


def test_codes_and_policy_of_a_tenant(db: Conn, acme: int) -> None:
    def facts() -> SystemFacts:
        return SystemFacts.from_json(json.loads(index_build.system_content(db)))

    assert facts().tenants[acme].codes[StarAction.DND_ON] == "*78"
    service_code.set_code(db, tenant_id=acme, action="dnd_on", code="#1")
    service_code.set_code(db, tenant_id=acme, action="pickup", code="")
    policy = service_code.set_policy(db, tenant_id=acme, max_cost=Decimal("2.5"), to_numbers=False)
    assert service_code.find_policy(db, tenant_id=acme) == policy
    tenant = facts().tenants[acme]
    assert tenant.codes[StarAction.DND_ON] == "#1"
    assert StarAction.PICKUP not in tenant.codes
    assert (tenant.forward.to_numbers, tenant.forward.max_cost) == (False, Decimal("2.5000"))
    with pytest.raises(BadInput):
        service_code.set_code(db, tenant_id=acme, action="dnd_off", code="*72")
    assert service_code.set_code(db, tenant_id=acme, action="dnd_on", code=None).code == "*78"


@pytest.mark.parametrize(
    ("action", "argument", "slot", "expected"),
    [
        ("dnd_on", "", "", {"do_not_disturb": True}),
        ("hide_on", "", "", {"hide_number": True}),
        ("anonymous_reject_on", "", "", {"reject_anonymous": True}),
        ("forward_always", "79161234567", "", {"forwards": ("always number:79161234567",)}),
        ("forward_no_answer", "102", "", {"forwards": ("no_answer account:102 after 20 s",)}),
        ("block", "+79161234567", "", {"black": ("79161234567",)}),
        ("speed_set", "102", "5", {"speed_dial": ("5=102",)}),
    ],
)
def test_a_code_changes_what_the_command_changes(
    db: Conn, acme: int, action: str, argument: str, slot: str, expected: dict[str, object]
) -> None:
    def dial(word: str) -> account_service.Services:
        account_service.by_code(
            db,
            tenant_id=acme,
            username="101",
            action=StarAction(word),
            argument=argument,
            slot=slot,
        )
        return account_service.find(db, tenant_id=acme, username="101")

    after = dial(action)
    assert {name: getattr(after, name) for name in expected} == expected
    off = {"block": "unblock", "speed_set": ""}.get(
        action, action.replace("_on", "_off") if action.endswith("_on") else f"{action}_off"
    )
    if off:
        empty = dial(off)
        assert not any(getattr(empty, name) for name in expected)


def test_ksctl_speaks_of_services(ksctl: Ksctl, db: Conn, acme: int) -> None:
    ksctl.ok("account", "service", "set", "-t", "acme", "101", "--dnd", "--pickup-group", "desk")
    ksctl.ok("account", "service", "forward", "-t", "acme", "101", "busy", "account:102")
    ksctl.ok("huntgroup", "add", "-t", "acme", "600", "101", "102", "--mode", "serial", "--ring", "9")
    ksctl.ok("starcode", "set", "-t", "acme", "dnd_on", "#1")
    ksctl.ok("forwarding", "set", "-t", "acme", "--max-cost", "none", "--max-calls", "1")
    found = account_service.find(db, tenant_id=acme, username="101")
    assert found.do_not_disturb
    assert found.forwards == ("busy account:102",)
    assert hunt_group.find(db, tenant_id=acme, name="600").ring_seconds == 9
    assert ServiceFlags().pickup_group == ""
