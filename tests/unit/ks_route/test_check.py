"""What the static analysis reports, and that it reports nothing as unreachable that a call can reach."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from callcore.gateway import Gateway, GatewayGroup, GroupMember
from callcore.schedule import Schedule
from kemi.ks_route.check import FindingKind, check_routes
from kemi.ks_route.decide import decide
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.model import DestinationKind, Direction, RouteRow, World
from kemi.ks_route.table import RouteTable
from tests.support.regex_fuzz import FUZZ_SECONDS, rounds
from tests.support.route_tables import TableMaker

SYSTEM = SystemFacts.make(
    gateways=[Gateway(gateway_id=1, tenant_id=0, name="gw", host="192.0.2.1")],
    groups=[
        GatewayGroup(1, 0, "out", (GroupMember(1, 10),)),
        GatewayGroup(2, 0, "off", (GroupMember(1, 0),)),
    ],
    schedules=[
        Schedule.make(schedule_id=5, tenant_id=1, name="s", zone_name="UTC", hours="mon-sun 00:00-24:00")
    ],
    caller_ids=[(1, "city", "", "74950000000")],
)


def route(route_id: int, b_pattern: str | None = None, **more: Any) -> RouteRow:
    facts: dict[str, Any] = {
        "tenant_id": 1, "priority": Decimal(route_id), "destination_kind": DestinationKind.REJECT, "destination": "404"
    }  # fmt: skip
    return RouteRow(route_id=route_id, b_pattern=b_pattern, **{**facts, **more})


def findings(kind: FindingKind, *rows: RouteRow) -> dict[int, str]:
    found = check_routes(rows, SYSTEM, account_exists=lambda tenant, name: (tenant, name) == (1, "100"))
    return {finding.route_id: finding.message for finding in found if finding.kind is kind}


def shadowed(*rows: RouteRow) -> set[int]:
    return set(findings(FindingKind.SHADOWED, *rows))


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ("^7", r"^7495\d{7}$", True),
        (None, "^7", True),
        ("^7", None, False),
        (r"^7\d{10}$", r"^7495\d{7}$", True),
        (r"^7\d{9,11}$", r"^7495\d{7}$", True),
        (r"^7\d{9}$", r"^7495\d{7}$", False),
        (r"^7\d{10}$", r"^7495\d{6,7}$", False),
        (r"^7\d{10}$", r"^7495", False),
        (r"^7\d{3}", r"^7495", True),
        (r"^7\d{4}", r"^7495", False),
        (r"^7\d{4}", r"^7495\d+$", True),
        (r"^7\d*$", r"^7495\d{7}$", True),
        (r"^7\d*$", r"^7495.*$", False),
        (r"^7.*$", r"^7495.*$", True),
        (r"^7.{3,}$", r"^7495", True),
        (r"^7.{4,}$", r"^7495", False),
        (r"^(7|8)", r"^(749|84)\d+$", True),
        (r"^(7|8)", r"^(749|94)\d+$", False),
        (r"^7495", r"^7", False),
        (r"^7495", r"(?i)^7495(\d)\1+$", True),
        (r"^a", r"(?i)^ab$", False),
        (r"(\d)\1{3}$", r"(\d)\1{3}$", True),
        (r"^112$", r"^112$", True),
        (r"^112$", r"^112", False),
        (r"0000$", r"00000$", False),  # true, but not provable by what we compare
    ],
)
def test_a_route_is_shadowed_when_an_earlier_pattern_includes_its_own(
    earlier: str | None, later: str | None, expected: bool
) -> None:
    assert shadowed(route(1, earlier), route(2, later)) == ({2} if expected else set())


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ({"tenant_id": 0}, {}, True),
        ({}, {"tenant_id": 0}, False),
        ({"tenant_id": 2}, {}, False),
        ({"directions": (Direction.ACCOUNT,)}, {}, False),
        ({"directions": (Direction.ACCOUNT, Direction.GATEWAY)}, {"directions": (Direction.ACCOUNT,)}, True),
        ({"schedule_id": 5}, {}, False),
        ({"schedule_id": 5}, {"schedule_id": 5}, True),
        ({"b_region": "Москва"}, {}, False),
        ({}, {"b_region": "Москва"}, True),
        ({"b_operator": "МТС"}, {"b_operator": "МТС"}, True),
        ({"a_pattern": "^7"}, {}, False),
        ({"a_pattern": "^7"}, {"a_pattern": "^74"}, True),
        ({"b_host_pattern": "^t1$"}, {"b_host_pattern": "^t2$"}, False),
        ({"options": {"max_calls": 3}}, {}, False),
        ({"enabled": False}, {}, False),
        ({"destination_kind": DestinationKind.NEXT, "destination": ""}, {}, False),
        ({"b_pattern": "("}, {}, False),
    ],
)
def test_every_further_condition_counts(
    earlier: dict[str, Any], later: dict[str, Any], expected: bool
) -> None:
    rows = (route(1, **{"b_pattern": "^7", **earlier}), route(2, **{"b_pattern": "^749", **later}))
    assert shadowed(*rows) == ({2} if expected else set())


def test_a_chain_in_between_may_lead_past_the_earlier_route() -> None:
    chain = route(
        2,
        "^8",
        destination_kind=DestinationKind.NEXT,
        destination="",
        b_mask_pattern="^8",
        b_mask_replacement="7",
    )
    assert shadowed(route(1, "^7"), chain, route(3, "^74")) == set()
    assert shadowed(route(1, "^7"), replace(chain, destination="top"), route(3, "^74")) == {3}
    assert shadowed(route(1, "^7"), replace(chain, tenant_id=2), route(3, "^74")) == {3}
    assert shadowed(replace(chain, route_id=1), route(2, "^7"), route(3, "^74")) == {3}


def test_the_message_names_the_earlier_route() -> None:
    assert findings(FindingKind.SHADOWED, route(1, "^7"), route(2, "^7")) == {
        2: "is never reached: route 1 comes first and has the same conditions"
    }


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"destination_kind": DestinationKind.GATEWAY, "destination": "no"}, "gateway 'no' does not exist"),
        ({"destination_kind": DestinationKind.GATEWAY, "destination": "gw"}, None),
        (
            {"destination_kind": DestinationKind.GROUP, "destination": "no"},
            "gateway group 'no' does not exist",
        ),
        ({"destination_kind": DestinationKind.GROUP, "destination": "off"}, "has no gateway that is enabled"),
        ({"destination_kind": DestinationKind.GROUP, "destination": "out"}, None),
        ({"destination_kind": DestinationKind.ACCOUNT, "destination": "200"}, "account '200' does not exist"),
        ({"destination_kind": DestinationKind.ACCOUNT, "destination": "100"}, None),
        ({"destination_kind": DestinationKind.ACCOUNT, "destination": "200", "tenant_id": 0}, None),
        ({"destination_kind": DestinationKind.ACCOUNT, "destination": ""}, None),
        ({"destination_kind": DestinationKind.URI, "destination": "example.com"}, "is not a SIP URI"),
        ({"destination": "hello"}, "is not a response code"),
        ({"destination_kind": DestinationKind.REDIRECT, "destination": ", "}, "no contact"),
        ({"destination_kind": DestinationKind.NEXT, "destination": "there"}, "can only be empty or 'top'"),
        ({"destination_kind": DestinationKind.QUEUE, "destination": "sales"}, None),
        ({"schedule_id": 9}, "schedule 9 does not exist"),
        ({"schedule_id": 5}, None),
        ({"options": {"prefer_gateway": "no"}}, "preferred gateway 'no' does not exist"),
        ({"options": {"caller_id_set": "no"}}, "caller-ID set 'no' does not exist"),
        ({"options": {"caller_id_set": "city"}}, None),
    ],
)
def test_what_a_route_refers_to_must_exist(more: dict[str, Any], problem: str | None) -> None:
    found = findings(FindingKind.UNKNOWN, route(1, "^7", **more))
    assert (problem is None) == (not found)
    assert problem is None or problem in found[1]


def test_unusable_looping_and_crowded_routes_are_reported() -> None:
    crowd = [route(number, rf"^810\d*{number}\d") for number in range(10, 250)]
    loop = route(2, "^9", destination_kind=DestinationKind.NEXT, destination="top")
    assert "not a regular expression" in findings(FindingKind.UNUSABLE, route(1, "("))[1]
    assert "is a loop" in findings(FindingKind.LOOP, loop)[2]
    assert findings(FindingKind.HOT, *crowd) == {
        10: "240 routes compete for one key (B number starts with 810): each such call looks at all of them"
    }


def in_order(rows: Iterable[RouteRow]) -> list[RouteRow]:
    return sorted(rows, key=lambda row: row.order)


def test_fuzz_no_shadowed_route_is_ever_taken() -> None:
    rnd = random.Random(77)
    maker, reported = TableMaker(rnd), 0
    world = World(now=datetime(2026, 11, 22, tzinfo=UTC), system=SYSTEM)
    for _round in rounds(FUZZ_SECONDS / 2, at_least=5):
        rows = [maker.row(route_id) for route_id in range(1, 60)]
        for number in rnd.sample(range(59), 4):
            chained = {"destination_kind": DestinationKind.NEXT, "destination": rnd.choice(["", "top"])}
            mask = {"b_mask_pattern": "^[78]", "b_mask_replacement": rnd.choice(["7", "8", "+7"])}
            rows[number] = replace(rows[number], **chained, **mask)  # type: ignore[arg-type]
        hidden = shadowed(*in_order(rows))
        reported += len(hidden)
        table = RouteTable.from_rows(rows)
        for _probe in range(60):
            place = maker.place()
            decision = decide(maker.request(), table, replace(world, region=lambda _number, at=place: at))
            assert not hidden & set(decision.hops)
    assert reported > 20
