"""Conditions of a branch: what they need to know, and whether they hold. Pure.

Facts that only the outside knows (a queue's state, a number's region) are asked for before the branch is decided; a
fact that could not be had makes its condition false, so the branch goes on to the next arm, at last to `otherwise`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from callcore.ivr_lines import Fields, Item
from callcore.ivr_values import compare, fill, names_in, to_date
from callcore.schedule import BadSchedule, Schedule, parse_hours

#: Measures of a queue's state.
MEASURES = ("waiting", "free_agents", "logged_in_agents", "wait_seconds")
OPERATORS = ("above", "below", "equals")
#: Conditions inside conditions.
DEEPEST = 5


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue at this moment."""

    waiting: int
    free_agents: int
    logged_in_agents: int
    is_open: bool
    #: Expected wait of a new caller; None: nobody can tell.
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a condition may look at."""

    variables: Mapping[str, str]
    #: Aware.
    now: datetime
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    #: None: could not be had.
    queues: Mapping[str, QueueState | None] = field(default_factory=dict)
    #: Number to region.
    regions: Mapping[str, str | None] = field(default_factory=dict)
    #: Zone of hours that name none.
    zone: tzinfo


class Condition:
    """Base of all conditions."""

    def holds(self, facts: Facts) -> bool:
        """Tell whether it is true."""
        raise NotImplementedError

    def parts(self) -> Iterator[Condition]:
        """Yield it and every condition within it."""
        yield self

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that it reads."""
        return ()


@dataclass(frozen=True, slots=True)
class InSchedule(Condition):
    """A schedule of the tenant is open."""

    name: str
    line: int

    def holds(self, facts: Facts) -> bool:
        """Tell whether the schedule exists and is open."""
        schedule = facts.schedules.get(self.name)
        return schedule is not None and schedule.is_open(facts.now)


@dataclass(frozen=True, slots=True)
class InHours(Condition):
    """The clock stands within hours such as "mon-fri 09:00-18:00"."""

    hours: str

    def holds(self, facts: Facts) -> bool:
        """Tell whether it does, in the scenario's zone."""
        ranges = parse_hours(self.hours)
        schedule = Schedule(schedule_id=0, tenant_id=0, name="", zone=facts.zone, ranges=ranges)
        return schedule.is_open(facts.now)


@dataclass(frozen=True, slots=True)
class OnDates(Condition):
    """Today is one of these days: 2027-01-01, or 01-07 of each year."""

    days: tuple[str, ...]

    def holds(self, facts: Facts) -> bool:
        """Tell whether it is, in the scenario's zone."""
        today = facts.now.astimezone(facts.zone).date().isoformat()
        return today in self.days or today[5:] in self.days


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """A variable compared with values: one that fits is enough."""

    variable: str
    operator: str
    values: tuple[str, ...]

    def holds(self, facts: Facts) -> bool:
        """Tell whether one of the values fits."""
        left = facts.variables.get(self.variable, "")
        return any(compare(left, self.operator, fill(value, facts.variables)) for value in self.values)

    @property
    def variables(self) -> tuple[str, ...]:
        """The variable, and those in the values."""
        return (self.variable, *(name for value in self.values for name in names_in(value)))


@dataclass(frozen=True, slots=True)
class InRegion(Condition):
    """A number belongs to one of these regions."""

    of: str
    regions: tuple[str, ...]

    def number(self, variables: Mapping[str, str]) -> str:
        """Return the number that is meant."""
        return fill(self.of, variables)

    def holds(self, facts: Facts) -> bool:
        """Tell whether its region is known and one of them."""
        return facts.regions.get(self.number(facts.variables)) in self.regions

    @property
    def variables(self) -> tuple[str, ...]:
        """What the number is made of."""
        return names_in(self.of)


@dataclass(frozen=True, slots=True)
class QueueIs(Condition):
    """A queue is open, or a measure of it is above, below or equal to a number."""

    queue: str
    line: int
    #: Of MEASURES; "" : whether it is open.
    measure: str = ""
    operator: str = ""
    limit: float = 0.0

    def holds(self, facts: Facts) -> bool:
        """Tell whether it is; an unknown state is neither above nor below."""
        state = facts.queues.get(self.queue)
        if state is None:
            return False
        if not self.measure:
            return state.is_open
        value = getattr(state, self.measure)
        if value is None:
            return False
        if self.operator == "equals":
            return bool(value == self.limit)
        return bool(value > self.limit if self.operator == "above" else value < self.limit)


@dataclass(frozen=True, slots=True)
class Group(Condition):
    """All or any of some conditions, or not one of them."""

    word: str
    inner: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool:
        """Combine them."""
        if self.word == "all":
            return all(condition.holds(facts) for condition in self.inner)
        found = any(condition.holds(facts) for condition in self.inner)
        return found if self.word == "any" else not found

    def parts(self) -> Iterator[Condition]:
        """Yield it and everything within."""
        yield self
        for condition in self.inner:
            yield from condition.parts()


GROUPS = ("all", "any", "not")
_KINDS = ("schedule", "hours", "dates", "caller", "called", "variable", "region", "queue", *GROUPS)


def read_condition(item: Item, fields: Fields, depth: int = 0) -> Condition | None:
    """Read `if`; None: it is wrong, and that was told."""
    if not isinstance(item.value, Mapping) or depth > DEEPEST:
        fields.complain(item.line, f"a condition is a mapping with one of {', '.join(_KINDS)}")
        return None
    inner = Fields(fields.problems, item, fields.node)
    kinds = [kind for kind in _KINDS if kind in item.value]
    if len(kinds) != 1:
        inner.complain(item.line, f"a condition has exactly one of {', '.join(_KINDS)}")
        return None
    condition = _READ[kinds[0]](inner, depth)
    inner.done()
    return condition


def _schedule(inner: Fields, depth: int) -> Condition | None:
    return InSchedule(inner.text("schedule", None), inner.line_of("schedule"))


def _hours(inner: Fields, depth: int) -> Condition | None:
    hours = inner.text("hours", None)
    try:
        parse_hours(hours)
    except BadSchedule as error:
        inner.complain(inner.line_of("hours"), error.message)
        return None
    return InHours(hours)


def _dates(inner: Fields, depth: int) -> Condition | None:
    days = inner.words("dates")
    for day in days:
        if not _is_day(day):
            inner.complain(inner.line_of("dates"), f'"{day}" is neither YYYY-MM-DD nor MM-DD')
            return None
    return OnDates(days)


def _is_day(text: str) -> bool:
    whole = text if len(text) == 10 else f"2024-{text}"
    return len(whole) == 10 and to_date(whole) is not None


_Reader = Callable[[Fields, int], "Condition | None"]


def _party(name: str) -> _Reader:
    def read(inner: Fields, depth: int) -> Condition | None:
        return Compare(name, "starts_with", inner.words(name))

    return read


def _variable(inner: Fields, depth: int) -> Condition | None:
    variable = inner.text("variable", None)
    given = [word for word in (*OPERATORS, "starts_with") if word in inner.names()]
    if len(given) != 1:
        inner.complain(inner.item.line, "compare with exactly one of equals, starts_with, above, below")
        return None
    return Compare(variable, given[0], _values(inner, given[0]))


def _values(inner: Fields, name: str) -> tuple[str, ...]:
    found = []
    for item in inner.list_of(name):
        if isinstance(item.value, str):
            found.append(item.value)
        else:
            inner.complain(item.line, f'"{name}" must be a text or a list of texts')
    return tuple(found)


def _region(inner: Fields, depth: int) -> Condition | None:
    return InRegion(inner.text("of", "{caller}"), inner.words("region"))


def _queue(inner: Fields, depth: int) -> Condition | None:
    queue, line = inner.text("queue", None), inner.line_of("queue")
    measures = [name for name in MEASURES if name in inner.names()]
    if not measures:
        if inner.text("is", "open") != "open":
            inner.complain(inner.line_of("is"), 'a queue "is: open", or compare ' + ", ".join(MEASURES))
        return QueueIs(queue, line)
    measure = inner.fields(measures[0])
    given = [word for word in OPERATORS if measure is not None and word in measure.names()]
    if measure is None or len(measures) != 1 or len(given) != 1:
        inner.complain(inner.item.line, f"compare one measure, as {measures[0]}: {{above: 5}}")
        return None
    limit = measure.number(given[0], 0, 0, 10**6)
    measure.done()
    return QueueIs(queue, line, measures[0], given[0], limit)


def _group(word: str) -> _Reader:
    def read(inner: Fields, depth: int) -> Condition | None:
        found = [read_condition(item, inner, depth + 1) for item in inner.list_of(word)]
        if not found:
            inner.complain(inner.item.line, f'"{word}" is empty')
        return None if None in found else Group(word, tuple(one for one in found if one is not None))

    return read


_READ: Mapping[str, _Reader] = {
    "schedule": _schedule,
    "hours": _hours,
    "dates": _dates,
    "caller": _party("caller"),
    "called": _party("called"),
    "variable": _variable,
    "region": _region,
    "queue": _queue,
    **{word: _group(word) for word in GROUPS},
}
