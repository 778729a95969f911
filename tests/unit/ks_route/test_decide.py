"""Routing decisions: order, conditions, masks, chains, every destination, and the trace that explains them."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from callcore.gateway import Gateway, GatewayGroup, GatewayState, GroupMember, Rate
from callcore.schedule import Schedule
from kemi.ks_route.decide import MAX_HOPS, closed, decide, e164, full, why_not
from kemi.ks_route.facts import SystemFacts, TenantFacts
from kemi.ks_route.model import (
    DestinationKind,
    Direction,
    NumberRecord,
    NumberRegion,
    RedirectCall,
    RejectCall,
    RelayToAccount,
    RelayToGateways,
    RelayToUri,
    RouteRequest,
    RouteRow,
    ToService,
    World,
)
from kemi.ks_route.table import RouteTable
from kemi.ks_route.trace import Trace
from tests.support.regex_fuzz import FUZZ_SECONDS, rounds
from tests.support.route_tables import TableMaker, linear_search

MONDAY_NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CHEAP = Gateway(
    gateway_id=1,
    tenant_id=0,
    name="cheap",
    host="192.0.2.1",
    rates={"": Rate(prefix="", price_per_minute=Decimal("1"))},
)
DEAR = Gateway(
    gateway_id=2,
    tenant_id=0,
    name="dear",
    host="192.0.2.2",
    region="Moscow",
    rates={"": Rate(prefix="", price_per_minute=Decimal("2"))},
)
SYSTEM = SystemFacts.make(
    gateways=[CHEAP, DEAR],
    groups=[GatewayGroup(7, 0, "out", (GroupMember(1, 100), GroupMember(2, 100)))],
    schedules=[
        Schedule.from_json(
            {
                "schedule_id": 3,
                "tenant_id": 1,
                "name": "office",
                "time_zone": "Europe/Moscow",
                "hours": "mon-fri 09:00-18:00",
                "holidays": [],
                "on_holidays": "closed",
            }
        )
    ],
    caller_ids=[(1, "city", "Moscow", "74950000001"), (1, "city", "", "78000000001")],
    tenants={1: TenantFacts("demo", "demo.test", "UTC")},
    domains={"demo.test": 1},
)
WORLD = World(
    now=MONDAY_NOON,
    system=SYSTEM,
    account_exists=lambda tenant_id, username: (tenant_id, username) in {(1, "100"), (1, "101")},
    region=lambda number: NumberRegion("Moscow", "MTS") if number.startswith("7495") else None,
)


def route(route_id: int, b_pattern: str | None, destination: str, **more: Any) -> RouteRow:
    kind, _, value = destination.partition(":")
    more.setdefault("priority", Decimal(route_id))
    more.setdefault("tenant_id", 1)
    return RouteRow(
        route_id=route_id,
        b_pattern=b_pattern,
        destination_kind=DestinationKind(kind),
        destination=value,
        **more,
    )


def call(b_number: str, **more: Any) -> RouteRequest:
    facts: dict[str, Any] = {
        "tenant_id": 1,
        "direction": Direction.ACCOUNT,
        "a_number": "100",
        "a_host": "demo.test",
        "b_host": "demo.test",
        "account": "100",
        "call_id": "c1",
    }
    return RouteRequest(b_number=b_number, **{**facts, **more})


def decided(
    b_number: str, *rows: RouteRow, world: World = WORLD, trace: Trace | None = None, **more: Any
) -> Any:
    return decide(call(b_number, **more), RouteTable.from_rows(rows), world, trace=trace)


def test_the_first_route_in_order_is_taken() -> None:
    late, early = (
        route(1, "^7", "reject:486", priority=Decimal(20)),
        route(2, "^7", "reject:603", priority=Decimal(10)),
    )
    decision = decided("7495", late, early)
    assert isinstance(decision, RejectCall)
    assert (decision.code, decision.hops) == (603, (2,))


def test_of_equal_priority_the_lower_id_is_taken() -> None:
    rows = [
        route(5, "^7", "reject:486", priority=Decimal(1)),
        route(4, "^7", "reject:603", priority=Decimal(1)),
    ]
    assert decided("7495", *rows).hops == (4,)


def test_routes_of_the_system_serve_every_tenant_and_those_of_others_do_not() -> None:
    rows = [route(1, "^7", "reject:486", tenant_id=2), route(2, "^7", "reject:603", tenant_id=0)]
    assert decided("7495", *rows).hops == (2,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"enabled": False}, "disabled"),
        ({"directions": (Direction.GATEWAY,)}, "is for calls from gateway, this one is from account"),
        ({"a_pattern": "^2"}, "A number '100' does not match ^2"),
        ({"a_host_pattern": "^other"}, "A host 'demo.test' does not match ^other"),
        ({"b_host_pattern": "^other"}, "B host 'demo.test' does not match ^other"),
        ({"b_region": "Tver"}, "region of B is Moscow, not Tver"),
        ({"b_operator": "Beeline"}, "operator of B is MTS, not Beeline"),
        ({"schedule_id": 99}, "its schedule 99 does not exist or cannot be read"),
        ({"options": {"max_calls": 0}}, "full: 0 of 0 calls"),
    ],
)
def test_every_condition_can_fail_and_says_so(changes: dict[str, Any], reason: str) -> None:
    row = replace(route(1, "^7", "reject:486"), **changes)
    assert decided("74951234567", row).hops == ()
    said = why_not(row, call("74951234567"), NumberRegion("Moscow", "MTS"))
    assert (said or closed(row, WORLD) or full(row, WORLD)) == reason


def test_a_route_outside_its_hours_is_passed_over() -> None:
    row = route(1, "^7", "reject:486", schedule_id=3)
    assert decided("7495", row).hops == (1,)
    night = replace(WORLD, now=MONDAY_NOON.replace(hour=20))
    assert decided("7495", row, world=night).hops == ()


def test_a_full_route_is_passed_over_and_the_answer_is_503_if_no_other_fits() -> None:
    rows = [route(1, "^7", "reject:486", options={"max_calls": 2}), route(2, "^8", "reject:603")]
    busy = replace(WORLD, route_calls=lambda _route_id: 2)
    assert decided("7495", *rows).hops == (1,)
    decision = decided("7495", *rows, world=busy)
    assert (decision.code, decision.reason, decision.hops) == (503, "route 1 is full: 2 of 2 calls", ())
    assert decided("7495", *rows, route(3, None, "reject:603"), world=busy).hops == (3,)


def test_an_emergency_hop_passes_the_limits_of_later_ones() -> None:
    rows = [
        route(1, "^112$", "next:", options={"emergency": True}),
        route(2, "^112$", "gateway:cheap", options={"max_calls": 0}),
    ]
    decision = decided("112", *rows)
    assert (decision.hops, decision.emergency) == ((1, 2), True)


def test_region_is_looked_up_once_a_number_and_again_after_a_mask() -> None:
    asked: list[str] = []

    def region(number: str) -> NumberRegion:
        asked.append(number)
        return NumberRegion("Moscow", "MTS")

    rows = [
        route(1, "^8", "next:", b_mask_pattern="^8", b_mask_replacement="7"),
        *(route(number, None, "reject:486", b_region=f"r{number}") for number in range(2, 6)),
        route(9, None, "reject:603", b_region="Moscow"),
    ]
    assert decided("84951234567", *rows, world=replace(WORLD, region=region)).hops == (1, 9)
    assert asked == ["74951234567", "74951234567"]


def test_masks_rewrite_and_next_goes_on_behind() -> None:
    rows = [
        route(
            1,
            "^8",
            "next:",
            b_mask_pattern=r"^8(\d{10})$",
            b_mask_replacement=r"7\1",
            options={"record": True},
        ),
        route(2, "^7", "next:", a_mask_pattern="^", a_mask_replacement="7495"),
        route(3, "^7495", "gateway:dear"),
    ]
    decision = decided("84951234567", *rows)
    assert isinstance(decision, RelayToGateways)
    assert (decision.hops, decision.a_sent, decision.b_sent) == ((1, 2, 3), "7495100", "74951234567")
    assert decision.options.record is True


def test_next_top_starts_again_and_a_loop_is_refused() -> None:
    rows = [
        route(1, "^7", "reject:486"),
        route(2, "^8", "next:top", b_mask_pattern="^8", b_mask_replacement="7"),
    ]
    assert decided("8495", *rows).hops == (2, 1)
    loop = [route(1, "^8", "next:top")]
    decision = decided("8495", *loop)
    assert (decision.code, "loop" in decision.reason) == (482, True)


def test_a_chain_has_an_end() -> None:
    rows = [route(number, "^8", "next:") for number in range(1, MAX_HOPS + 3)]
    decision = decided("8495", *rows)
    assert (decision.code, len(decision.hops)) == (500, MAX_HOPS)


def test_a_mask_that_grows_without_bound_is_refused() -> None:
    rows = [
        route(number, "^8", "next:", b_mask_pattern="(.{40})", b_mask_replacement=r"\1\1\1\1")
        for number in range(1, 4)
    ]
    assert decided("8" * 80, *rows).code == 400


def test_a_group_is_ordered_by_cost_and_by_region_when_asked() -> None:
    assert [target.name for target in decided("74951", route(1, "^7", "group:out")).targets] == [
        "cheap",
        "dear",
    ]
    local = route(1, "^7", "group:out", options={"local_provider": True})
    assert [target.name for target in decided("74951", local).targets] == ["dear", "cheap"]
    chosen = route(1, "^7", "group:out", options={"prefer_gateway": "dear"})
    assert [target.name for target in decided("78121", chosen).targets] == ["dear", "cheap"]


def test_a_gateway_that_is_down_is_skipped_and_none_left_is_503() -> None:
    down = replace(WORLD, gateway_state=lambda number: GatewayState(up=number != 1, reason="no answer"))
    decision = decided("7495", route(1, "^7", "group:out"), world=down)
    assert [target.name for target in decision.targets] == ["dear"]
    assert [(entry.name, entry.reason) for entry in decision.skipped] == [("cheap", "down: no answer")]
    decision = decided("7495", route(1, "^7", "gateway:cheap"), world=down)
    assert (decision.code, "down: no answer" in decision.reason) == (503, True)


def test_an_emergency_call_passes_full_and_dead_gateways() -> None:
    down = replace(WORLD, gateway_state=lambda _: GatewayState(up=False), route_calls=lambda _: 99)
    row = route(1, "^112$", "gateway:cheap", options={"emergency": True, "max_calls": 1})
    decision = decided("112", row, world=down)
    assert isinstance(decision, RelayToGateways)
    assert decision.emergency


def test_caller_id_by_region_fixed_or_the_accounts_own_number() -> None:
    by_set = route(1, "^7", "gateway:dear", options={"caller_id_set": "city"})
    assert decided("74951", by_set).a_sent == "74950000001"
    assert decided("78121", by_set).a_sent == "78000000001"
    assert (
        decided("7495", route(1, "^7", "gateway:dear", options={"caller_id": "79990000000"})).a_sent
        == "79990000000"
    )
    plain = route(1, "^7", "gateway:dear")
    assert decided("7495", plain, account_caller_number="74957777777").a_sent == "74957777777"
    assert decided("7495", plain).a_sent == "100"


def test_the_other_destinations() -> None:
    account = decided("1", route(1, "^1$", "account:101"))
    assert isinstance(account, RelayToAccount)
    assert account.username == "101"
    assert decided("1", route(1, "^1$", "account:nobody")).code == 404
    uri = decided("1", route(1, "^1$", "uri:sip:x@192.0.2.9"))
    assert isinstance(uri, RelayToUri)
    assert uri.uri == "sip:x@192.0.2.9"
    redirect = decided("1", route(1, "^1$", "redirect:sip:a@b, sip:c@d"))
    assert isinstance(redirect, RedirectCall)
    assert redirect.contacts == ("sip:a@b", "sip:c@d")
    for kind in ("queue", "ivr", "announcement", "callback", "campaign"):
        service = decided("1", route(1, "^1$", f"{kind}:main"))
        assert isinstance(service, ToService)
        assert (service.kind, service.name) == (kind, "main")
    reject = decided("1", route(1, "^1$", "reject:486 Busy Here"))
    assert (reject.code, reject.phrase) == (486, "Busy Here")
    assert decided("1", route(1, "^1$", "gateway:unknown")).code == 503


def test_without_a_route_the_inventory_then_the_tenants_accounts() -> None:
    record = NumberRecord("74951234567", "assigned", 1, DestinationKind.ACCOUNT, "101")
    world = replace(WORLD, number={"74951234567": record}.get)
    from_carrier = {"tenant_id": 0, "direction": Direction.GATEWAY, "account": None}
    decision = decided("84951234567", world=world, **from_carrier)
    assert isinstance(decision, RelayToAccount)
    assert (decision.username, decision.tenant_id, decision.hops) == ("101", 1, ())
    assert decided("74951234567", world=world, tenant_id=2).code == 404
    reserved = replace(WORLD, number={"74951234567": replace(record, state="reserved")}.get)
    assert decided("74951234567", world=reserved, **from_carrier).code == 404
    assert decided("101").username == "101"
    assert decided("101", b_host="192.0.2.1").username == "101"
    assert decided("101", b_host="elsewhere.example").code == 404
    assert decided("101", **from_carrier).code == 404


def test_texts_that_no_index_may_see_are_refused() -> None:
    assert decided("7" * 129).code == 400
    assert decided("7\n").code == 400


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+74951234567", "74951234567"),
        ("84951234567", "74951234567"),
        ("4951234567", "74951234567"),
        ("+8495123456", "8495123456"),
        ("112", "112"),
        ("abc", None),
        ("１２３", None),
        ("1" * 16, None),
    ],
)
def test_e164(number: str, expected: str | None) -> None:
    assert e164(number, "7") == expected


def test_the_trace_tells_hops_reasons_numbers_and_gateways() -> None:
    trace = Trace()
    rows = [
        route(1, "^8", "next:", b_mask_pattern="^8", b_mask_replacement="7"),
        route(2, "^749", "reject:486", a_pattern="^2"),
        route(3, "^7495", "group:out"),
    ]
    decided("84951", *rows, trace=trace)
    first, second = trace.hops
    assert (first.route_id, first.b_after) == (1, "74951")
    assert [(line.route_id, line.taken) for line in second.looked_at] == [(2, False), (3, True)]
    assert second.looked_at[0].reason == "A number '100' does not match ^2"
    assert [(gateway.name, gateway.place) for gateway in trace.gateways] == [("cheap", 1), ("dear", 2)]
    assert trace.to_json()["gateways"][0]["cost"] == "3"


def test_fuzz_decide_takes_what_a_linear_search_finds_first() -> None:
    rnd = random.Random(8)
    maker, taken = TableMaker(rnd), 0
    for _round in rounds(FUZZ_SECONDS / 2, at_least=12):
        rows = [maker.row(route_id) for route_id in range(1, rnd.choice((5, 60)))]
        table = RouteTable.from_rows(rows)
        for _probe in range(30):
            request, place = maker.request(), maker.place()

            def region(number: str, found: NumberRegion | None = place) -> NumberRegion | None:
                return found if number else None

            known = place if e164(request.b_number, "7") else None
            expected = [row for row in linear_search(rows, request, known) if row.schedule_id is None][:1]
            for trace in (None, Trace()):
                decision = decide(request, table, replace(WORLD, region=region), trace=trace)
                if decision.reason.startswith("a number or host"):
                    continue
                assert list(decision.hops) == [row.route_id for row in expected]
                taken += len(expected)
    assert taken > 100
