"""Gateway groups: whose gateways may be in whose groups, and weights."""

from __future__ import annotations

import pytest

from callcore.errors import BadInput, NotFound, StillInUse
from kalibri.db import Conn
from kalibri.services import gateway, group
from tests.support.builders import make_tenant
from tests.support.fix_ksctl import Ksctl

SYSTEM = 0


@pytest.fixture
def acme(db: Conn) -> int:
    gateway.add(db, tenant_id=SYSTEM, name="carrier", host="h")
    acme = make_tenant(db, "acme")
    gateway.add(db, tenant_id=acme, name="pbx", host="h")
    group.add(db, tenant_id=acme, name="out")
    return acme


def names(db: Conn, tenant_id: int, name: str) -> list[tuple[str, str, int]]:
    return [(m.owner, m.gateway, m.weight) for m in group.members(db, tenant_id=tenant_id, name=name)]


def test_group_of_a_tenant_holds_its_gateways_and_the_system_ones(db: Conn, acme: int) -> None:
    group.set_member(db, tenant_id=acme, name="out", gateway="pbx", weight=0)
    group.set_member(db, tenant_id=acme, name="out", gateway="carrier")
    assert names(db, acme, "out") == [("system", "carrier", 100), ("acme", "pbx", 0)]
    group.set_member(db, tenant_id=acme, name="out", gateway="pbx", weight=200)
    assert names(db, acme, "out") == [("acme", "pbx", 200), ("system", "carrier", 100)]
    assert group.find(db, tenant_id=acme, name="out").weight == 300


def test_weight_counts_gateways_in_use_only(db: Conn, acme: int) -> None:
    group.set_member(db, tenant_id=acme, name="out", gateway="pbx")
    gateway.change(db, tenant_id=acme, name="pbx", enabled=False)
    found = group.find(db, tenant_id=acme, name="out")
    assert (found.members, found.weight) == (1, 0)


def test_gateway_of_another_tenant_gets_into_no_group(db: Conn, acme: int) -> None:
    rival = make_tenant(db, "rival")
    group.add(db, tenant_id=rival, name="out")
    group.add(db, tenant_id=SYSTEM, name="all")
    for owner, name in ((rival, "out"), (SYSTEM, "all")):
        with pytest.raises(NotFound, match='no gateway "pbx"'):
            group.set_member(db, tenant_id=owner, name=name, gateway="pbx")


def test_group_of_another_tenant_is_not_found(db: Conn, acme: int) -> None:
    rival = make_tenant(db, "rival")
    with pytest.raises(NotFound):
        group.members(db, tenant_id=rival, name="out")
    with pytest.raises(NotFound):
        group.set_member(db, tenant_id=rival, name="out", gateway="carrier")
    with pytest.raises(NotFound):
        group.remove(db, tenant_id=rival, name="out")
    assert group.list_groups(db, tenant_id=rival) == []


def test_member_can_leave_although_the_tenant_has_the_name_too(db: Conn, acme: int) -> None:
    group.set_member(db, tenant_id=acme, name="out", gateway="carrier")
    gateway.add(db, tenant_id=acme, name="carrier", host="h")
    group.remove_member(db, tenant_id=acme, name="out", gateway="carrier")
    assert names(db, acme, "out") == []
    with pytest.raises(NotFound, match="is not in the group"):
        group.remove_member(db, tenant_id=acme, name="out", gateway="carrier")


def test_weight_out_of_range_is_refused(db: Conn, acme: int) -> None:
    with pytest.raises(BadInput, match="weight: 0 to 10000"):
        group.set_member(db, tenant_id=acme, name="out", gateway="pbx", weight=-1)


def test_group_that_a_route_leads_to_stays(db: Conn, acme: int) -> None:
    db.execute(
        "INSERT INTO route (tenant_id, priority, destination_kind, destination) VALUES (%s, 1, 'group', 'out')",
        [acme],
    )
    with pytest.raises(StillInUse, match='route 1 still lead to group "out"'):
        group.remove(db, tenant_id=acme, name="out")
    db.execute("DELETE FROM route")
    group.remove(db, tenant_id=acme, name="out")


def test_ksctl_groups(ksctl: Ksctl) -> None:
    for name in ("one", "two"):
        ksctl.ok(f"gateway add {name} h")
    ksctl.ok("group add all one two --weight 10")
    ksctl.ok("group member set all two --weight 30")
    shown = ksctl.ok("group show all -o json").json
    assert [(row["gateway"], row["weight"]) for row in shown] == [("two", 30), ("one", 10)]
    ksctl.ok("group", "set", "all", "--note", "both carriers")
    [row] = ksctl.ok("group list -o csv").csv
    assert (row["members"], row["weight"], row["note"]) == ("2", "40", "both carriers")
    ksctl.ok("group member rm all one")
    assert "is not in the group" in ksctl.fails(3, "group member rm all one")
    assert 'no gateway "three"' in ksctl.fails(3, "group add other one three")
    assert 'no group "other"' in ksctl.fails(3, "group show other")  # nothing was made half
    ksctl.ok("group rm all")
