"""The story of a decision as lines for people (`ksctl route test`); the wording is stable.

Decides nothing: it puts into words what kemi.ks_route wrote into the trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kalibri.services.route_draft import priority_text
from kalibri.services.route_explain import Explanation
from kemi.ks_route.model import (
    Decision,
    RedirectCall,
    RejectCall,
    RelayToAccount,
    RelayToGateways,
    RelayToUri,
    ToService,
)
from kemi.ks_route.trace import GatewayTrace, HopTrace, LookedAt
from tools.ksctl.output import plain_lines, printable


def trace_lines(told: Explanation) -> list[str]:
    """Return the whole story of a decision, from the question to what would be done."""
    return [printable(line) for line in _lines(told)]


def _lines(told: Explanation) -> Iterator[str]:
    request = told.request
    yield (
        f"call {request.a_number}@{request.a_host} -> {request.b_number}@{request.b_host},"
        f" tenant {told.tenant}, from {request.direction}, at {told.at.isoformat(' ', 'seconds')}"
    )
    for number, hop in enumerate(told.trace.hops, 1):
        yield ""
        yield from _hop_lines(number, hop)
    if told.trace.gateways:
        yield ""
        yield "gateways, in the order in which they are tried"
        yield from _table(
            ["", "gateway", "cost", "weight", "remark"], map(_gateway_cells, told.trace.gateways)
        )
    if told.trace.notes:
        yield ""
        yield from told.trace.notes
    yield ""
    yield from _decision_lines(told.decision)


def _hop_lines(number: int, hop: HopTrace) -> Iterator[str]:
    place = ", ".join(part for part in (hop.b_region, hop.b_operator) if part)
    yield f"search {number}: A {hop.a_number}, B {hop.b_number}" + (f" ({place})" if place else "")
    if hop.looked_at:
        yield from _table(["route", "priority", "name", "", "because"], map(_looked_at_cells, hop.looked_at))
    if hop.omitted:
        yield f"  ... and {hop.omitted} further routes that do not match"
    if hop.route_id is None:
        yield "  no route matches"
    for side, before, after in (("A", hop.a_number, hop.a_after), ("B", hop.b_number, hop.b_after)):
        if after is not None and after != before:
            yield f"  rewrites {side}: {before} -> {after}"


def _looked_at_cells(entry: LookedAt) -> list[str]:
    owner = " (system)" if entry.tenant_id == 0 else ""
    return [
        f"{entry.route_id}{owner}",
        priority_text(entry.priority),
        entry.name or "-",
        "TAKEN" if entry.taken else "no",
        entry.reason,
    ]


def _gateway_cells(entry: GatewayTrace) -> list[str]:
    cost = "-" if entry.cost is None else f"{entry.cost.normalize():f} {entry.currency}"
    remark = entry.reason or ("up" if entry.up else "down")
    return [str(entry.place) if entry.place else "-", entry.name, cost, str(entry.weight), remark]


def _table(titles: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    return (f"  {line}" for line in plain_lines(titles, list(rows)))


def _decision_lines(decision: Decision) -> Iterator[str]:
    yield f"decision: {_what(decision)}" + (f" ({decision.reason})" if decision.reason else "")
    if not isinstance(decision, RejectCall | RedirectCall):
        yield f"  sends A {decision.a_sent}, B {decision.b_sent}"
    if decision.hops:
        yield f"  by route {', then '.join(map(str, decision.hops))}"
    options = decision.options.to_json()
    if options:
        yield "  options: " + ", ".join(f"{key}={_option(value)}" for key, value in sorted(options.items()))
    if decision.emergency:
        yield "  emergency: passes every limit"


def _option(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{key}={text}" for key, text in sorted(value.items()))
    return str(value)


def _what(decision: Decision) -> str:
    match decision:
        case RelayToGateways():
            return "relay to " + ", then ".join(target.name for target in decision.targets)
        case RelayToAccount():
            return f"ring account {decision.username}"
        case RelayToUri():
            return f"relay to {decision.uri}"
        case ToService():
            return f"{decision.kind} {decision.name} (answered 503 until that part exists)"
        case RejectCall():
            return f"reject {decision.code} {decision.phrase}".rstrip()
        case RedirectCall():
            return "redirect to " + ", ".join(decision.contacts)
    return type(decision).__name__
