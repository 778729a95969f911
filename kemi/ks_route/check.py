"""Static analysis of a route table: what can never work, never be reached, or is slow by its shape.

Decides only what it can prove: a route is reported as shadowed only if every call that fits it is taken by an
earlier route, at any time, whatever the chains in between. Needs no calls and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from kemi.ks_route.decide import FROM_THE_TOP
from kemi.ks_route.destinations import REJECT
from kemi.ks_route.facts import SYSTEM_TENANT, SystemFacts
from kemi.ks_route.filing import ANY_DIRECTION, DIRECTION_BITS, FIELDS, B, PatternFacts, facts_of
from kemi.ks_route.index_build import IndexBuilder
from kemi.ks_route.model import DestinationKind, RouteRow
from kemi.ks_route.options import parse_options
from kemi.ks_route.patterns import SimplePattern

#: Earlier routes that are compared with one route, for each of its keys; a table of millions stays checkable.
MAX_COMPARED = 50


class FindingKind(StrEnum):
    """What is wrong."""

    #: A pattern, mask or option cannot be used: the route is left out of the index.
    UNUSABLE = "unusable"
    #: An earlier route takes every call that fits this one.
    SHADOWED = "shadowed"
    #: The destination, schedule, gateway or caller-ID set that it names does not exist or is empty.
    UNKNOWN = "unknown"
    #: Every call that takes it is refused as a loop.
    LOOP = "loop"
    #: Many routes share one key, so each call to it looks at all of them.
    HOT = "hot"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person should look at."""

    kind: FindingKind
    route_id: int
    message: str
    #: The earlier route of SHADOWED.
    other_route_id: int | None = None


@dataclass(frozen=True, slots=True)
class _Conditions:
    """What a route looks at, prepared for comparison."""

    place: int
    row: RouteRow
    facts: tuple[PatternFacts | None, ...]
    direction_bits: int


class RouteCheck:
    """Takes rows in matching order, one by one; holds what later rows are compared with."""

    def __init__(
        self, system: SystemFacts, *, account_exists: Callable[[int, str], bool] | None = None
    ) -> None:
        """Take the names that routes may refer to; without `account_exists` accounts are not looked up."""
        self._system = system
        self._account_exists = account_exists
        self._builder = IndexBuilder(_Discard())
        self._covering: dict[tuple[int, str], list[_Conditions]] = {}
        self._places = 0
        #: Place of the last chained route that goes on behind itself: of each tenant, and of any.
        self._chained: dict[int, int] = {}
        self._chained_any = -1

    def add(self, row: RouteRow) -> Iterator[Finding]:
        """Yield what is wrong with the next row; a disabled row is passed over."""
        before = len(self._builder.report.unusable)
        self._builder.add(row)
        if not row.enabled:
            return
        if len(self._builder.report.unusable) > before:
            yield Finding(FindingKind.UNUSABLE, row.route_id, self._builder.report.unusable[-1].reason)
            return
        for problem in _unknown(row, self._system, self._account_exists):
            yield Finding(FindingKind.UNKNOWN, row.route_id, problem)
        if _always_loops(row):
            yield Finding(
                FindingKind.LOOP,
                row.route_id,
                "starts again at the first route without changing a number: every call that takes it is a loop",
            )
        yield from self._shadow(row)

    def finish(self) -> Iterator[Finding]:
        """Yield what only the whole table shows."""
        self._builder.make_buckets()
        for hot in self._builder.report.hot_buckets:
            yield Finding(
                FindingKind.HOT,
                hot.route_ids[0],
                f"{hot.routes} routes compete for one key ({hot.what}): each such call looks at all of them",
            )

    def _shadow(self, row: RouteRow) -> Iterator[Finding]:
        self._places += 1
        bits = sum(DIRECTION_BITS[direction] for direction in set(row.directions)) or ANY_DIRECTION
        mine = _Conditions(self._places, row, facts_of(row), bits)
        earlier = self._covered_by(mine)
        if earlier is not None:
            same = "has the same conditions" if _same(earlier.row, row) else "fits whatever fits this one"
            message = f"is never reached: route {earlier.row.route_id} comes first and {same}"
            yield Finding(FindingKind.SHADOWED, row.route_id, message, earlier.row.route_id)
        elif row.destination_kind is DestinationKind.NEXT:
            self._remember_chain(row)
        elif parse_options(row.options).max_calls is None:  # a full route lets calls through to later ones
            for key in _keys(mine):
                self._covering.setdefault((row.tenant_id, key), []).append(mine)

    def _remember_chain(self, row: RouteRow) -> None:
        """A call that was rewritten goes on behind this route, past all earlier ones."""
        if row.destination != FROM_THE_TOP:
            self._chained[row.tenant_id] = self._chained_any = self._places

    def _covered_by(self, mine: _Conditions) -> _Conditions | None:
        tenant_id = mine.row.tenant_id
        after = max(self._chained.get(tenant_id, -1), self._chained.get(SYSTEM_TENANT, -1))
        if tenant_id == SYSTEM_TENANT:
            after = self._chained_any
        for tenant in {tenant_id, SYSTEM_TENANT}:
            for key in _lookup_keys(mine):
                for earlier in self._covering.get((tenant, key), ())[:MAX_COMPARED]:
                    if earlier.place > after and covers(earlier, mine):
                        return earlier
        return None


def check_routes(
    rows: Iterable[RouteRow],
    system: SystemFacts,
    *,
    account_exists: Callable[[int, str], bool] | None = None,
) -> Iterator[Finding]:
    """Yield the findings of a whole table, given in matching order (priority, route id)."""
    check = RouteCheck(system, account_exists=account_exists)
    for row in rows:
        yield from check.add(row)
    yield from check.finish()


class _Discard:
    """Where the records of the trial build go."""

    def write(self, data: bytes) -> int:
        return len(data)


# --------------------------------------------------------------------------------------- references


def _unknown(
    row: RouteRow, system: SystemFacts, account_exists: Callable[[int, str], bool] | None
) -> Iterator[str]:
    """Yield in plain words what the row refers to in vain."""
    problem = _destination_problem(row, system, account_exists)
    if problem:
        yield problem
    if row.schedule_id is not None and row.schedule_id not in system.schedules:
        yield f"schedule {row.schedule_id} does not exist or cannot be read: the route never applies"
    options = parse_options(row.options)
    if options.prefer_gateway and system.gateway(row.tenant_id, options.prefer_gateway) is None:
        yield f"preferred gateway {options.prefer_gateway!r} does not exist"
    if options.caller_id_set and row.tenant_id != SYSTEM_TENANT:
        sets = system.caller_ids
        if not any((tenant, options.caller_id_set) in sets for tenant in (row.tenant_id, SYSTEM_TENANT)):
            yield f"caller-ID set {options.caller_id_set!r} does not exist"


def _destination_problem(
    row: RouteRow, system: SystemFacts, account_exists: Callable[[int, str], bool] | None
) -> str:
    kind, name = row.destination_kind, row.destination
    if kind is DestinationKind.GATEWAY and system.gateway(row.tenant_id, name) is None:
        return f"gateway {name!r} does not exist or is disabled"
    if kind is DestinationKind.GROUP:
        return _group_problem(row, system)
    # A route of the system leads to an account of whichever tenant calls.
    own_account = kind is DestinationKind.ACCOUNT and name and row.tenant_id != SYSTEM_TENANT
    if own_account and account_exists is not None and not account_exists(row.tenant_id, name):
        return f"account {name!r} does not exist or is disabled"
    if kind is DestinationKind.URI and not name.lower().startswith(("sip:", "sips:")):
        return f"{name!r} is not a SIP URI"
    if kind is DestinationKind.REJECT and not REJECT.fullmatch(name):
        return f"{name!r} is not a response code with an optional phrase"
    if kind is DestinationKind.REDIRECT and not name.strip(" ,"):
        return "there is no contact to redirect to"
    if kind is DestinationKind.NEXT and name not in ("", FROM_THE_TOP):
        return f"destination of a chained route is {name!r}, but can only be empty or {FROM_THE_TOP!r}"
    return ""


def _group_problem(row: RouteRow, system: SystemFacts) -> str:
    group = system.group(row.tenant_id, row.destination)
    if group is None:
        return f"gateway group {row.destination!r} does not exist"
    if not any(member.weight > 0 and member.gateway_id in system.gateways for member in group.members):
        return f"gateway group {row.destination!r} has no gateway that is enabled and has a weight"
    return ""


def _always_loops(row: RouteRow) -> bool:
    return (
        row.destination_kind is DestinationKind.NEXT
        and row.destination == FROM_THE_TOP
        and not row.a_mask_pattern
        and not row.b_mask_pattern
    )


# ------------------------------------------------------------------------------------------ shadows


def _keys(conditions: _Conditions) -> tuple[str, ...]:
    """Return what a covering route is found by: its B prefixes, or its B pattern, or nothing."""
    facts = conditions.facts[B]
    if facts is None:
        return ("",)
    if facts.simple is not None:
        return facts.simple.prefixes
    return (f"={conditions.row.b_pattern}",)


def _lookup_keys(conditions: _Conditions) -> Iterator[str]:
    """Yield the keys under which a route that covers this one must stand."""
    facts = conditions.facts[B]
    yield ""
    if facts is None:
        return
    if facts.simple is None:
        yield f"={conditions.row.b_pattern}"
    first = next(iter(facts.simple.prefixes if facts.simple else facts.keys.prefixes), "")
    for length in range(1, len(first) + 1):
        yield first[:length]


def covers(earlier: _Conditions, later: _Conditions) -> bool:
    """Tell whether every call that fits `later` provably fits `earlier`, at any time."""
    mine, other = earlier.row, later.row
    return (
        mine.tenant_id in (SYSTEM_TENANT, other.tenant_id)
        and later.direction_bits & ~earlier.direction_bits == 0
        and mine.schedule_id in (None, other.schedule_id)
        and (not mine.b_region or mine.b_region == other.b_region)
        and (not mine.b_operator or mine.b_operator == other.b_operator)
        and all(_includes(earlier, later, field) for field in range(len(FIELDS)))
    )


def _includes(earlier: _Conditions, later: _Conditions, field: int) -> bool:
    mine, other = earlier.facts[field], later.facts[field]
    if mine is None:
        return True
    if other is None:
        return False
    if getattr(earlier.row, FIELDS[field]) == getattr(later.row, FIELDS[field]):
        return True
    if mine.simple is None:
        return False
    if other.simple is not None:
        return all(_includes_prefix(mine.simple, other.simple, prefix) for prefix in other.simple.prefixes)
    return (
        _open(mine.simple)
        and bool(other.keys.prefixes)
        and all(
            # Keys are lower-cased; only caseless text can be compared with them.
            any(not prefix.upper().isupper() and key.startswith(prefix) for prefix in mine.simple.prefixes)
            for key in other.keys.prefixes
        )
    )


def _open(simple: SimplePattern) -> bool:
    return not simple.digits and simple.low == 0 and simple.high is None


def _includes_prefix(mine: SimplePattern, other: SimplePattern, prefix: str) -> bool:
    """Tell whether all texts that `other` allows behind one of its prefixes are allowed by `mine`."""
    return any(
        prefix.startswith(start) and _includes_tail(mine, other, prefix[len(start) :])
        for start in mine.prefixes
    )


def _includes_tail(mine: SimplePattern, other: SimplePattern, rest: str) -> bool:
    """Tell whether `rest` and then whatever `other` allows is allowed behind a prefix of `mine`."""
    shortest = len(rest) + other.low
    longest = None if other.high is None or not other.ended else len(rest) + other.high
    if shortest < mine.low:
        return False
    if mine.ended and mine.high is not None and (longest is None or longest > mine.high):
        return False
    if not mine.digits:
        return True
    if mine.ended:
        return _digits(rest) and other.ended and (other.digits or longest == len(rest))
    # Only the first `low` characters of mine must be digits.
    needed = mine.low - len(rest)
    return _digits(rest[: mine.low]) and (needed <= 0 or (other.digits and other.low >= needed))


def _digits(text: str) -> bool:
    return text == "" or (text.isdigit() and text.isascii())


def _same(one: RouteRow, other: RouteRow) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in FIELDS)
