"""What the figures of a call centre mean: from counts and sums to the numbers of a report.

Decides formulas only, and names the variant where the trade knows several. Counts come from report tables; a figure
whose denominator is zero is None, not zero. Seconds are rounded to tenths, percentages too.

Counting units: a call counts as offered once for each queue that it enters, in the quarter of an hour in which it
entered; its wait begins there. Callbacks are counted apart, so they spoil no figure of calls.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum


class LevelVariant(StrEnum):
    """How the service level is computed; in time: within the seconds of the queue."""

    #: Answered in time ÷ (answered + abandoned − short abandoned).
    WITHOUT_SHORT = "without_short"
    #: (Answered in time + abandoned in time) ÷ (answered + abandoned).
    ANY_IN_TIME = "any_in_time"
    #: Answered in time ÷ answered.
    OF_ANSWERED = "of_answered"
    #: Answered in time ÷ (answered + abandoned).
    WITH_SHORT = "with_short"
    #: Answered in time ÷ offered.
    OF_OFFERED = "of_offered"


LEVEL_TEXTS = {
    LevelVariant.WITHOUT_SHORT: "answered in time ÷ (answered + abandoned − short abandoned)",
    LevelVariant.ANY_IN_TIME: "(answered in time + abandoned in time) ÷ (answered + abandoned)",
    LevelVariant.OF_ANSWERED: "answered in time ÷ answered",
    LevelVariant.WITH_SHORT: "answered in time ÷ (answered + abandoned)",
    LevelVariant.OF_OFFERED: "answered in time ÷ offered",
}
OCCUPANCY_TEXT = (
    "(queue calls + after-call work) ÷ (queue calls + after-call work + free); pauses and ringing apart"
)


def percent(part: float, whole: float) -> float | None:
    """Return part ÷ whole in percent, with one decimal."""
    return round(100.0 * part / whole, 1) if whole > 0 else None


def mean_seconds(total_ms: float, count: float) -> float | None:
    """Return the mean of a sum of milliseconds in seconds, with one decimal."""
    return round(total_ms / count / 1000.0, 1) if count > 0 else None


def seconds(ms: float) -> float:
    """Return milliseconds in seconds, with one decimal."""
    return round(ms / 1000.0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSums:
    """Counts of calls in a queue, or in several; times in milliseconds (see the table report_queue_slot)."""

    offered: int = 0
    answered: int = 0
    answered_in_time: int = 0
    abandoned: int = 0
    abandoned_short: int = 0
    abandoned_in_time: int = 0
    left_timeout: int = 0
    left_full: int = 0
    left_empty: int = 0
    left_closed: int = 0
    left_exit_key: int = 0
    left_ejected: int = 0
    left_callback: int = 0
    left_moved: int = 0
    failed: int = 0
    wait_answered_ms: int = 0
    wait_abandoned_ms: int = 0
    wait_left_ms: int = 0
    longest_wait_ms: int = 0
    talk_ms: int = 0
    longest_talk_ms: int = 0
    hold_ms: int = 0
    wrapup_ms: int = 0
    hung_up_agent: int = 0
    hung_up_caller: int = 0
    hung_up_system: int = 0
    transferred: int = 0
    surveys: int = 0
    survey_sum: int = 0
    offers: int = 0

    @property
    def left(self) -> int:
        """Who left unserved by a rule, a key or a supervisor."""
        return (
            self.left_timeout
            + self.left_full
            + self.left_empty
            + self.left_closed
            + self.left_exit_key
            + self.left_ejected
            + self.left_callback
            + self.left_moved
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """The figures of a queue."""

    offered: int
    answered: int
    abandoned: int
    #: Of the abandoned: gone before the short-abandon time of the queue.
    abandoned_short: int
    #: Left by a rule: time out, full, no agents, closed, exit key, supervisor, callback, other queue.
    left: int
    failed: int
    #: Still waiting.
    open: int
    answered_in_time: int
    service_level_percent: float | None
    answered_percent: float | None
    abandoned_percent: float | None
    #: (Abandoned − short) ÷ (offered − short).
    abandoned_long_percent: float | None
    #: ASA: waits of the answered ÷ answered.
    average_answer_seconds: float | None
    #: AWT: all ended waits ÷ their number.
    average_wait_seconds: float | None
    longest_wait_seconds: float
    average_abandon_seconds: float | None
    average_talk_seconds: float | None
    longest_talk_seconds: float
    average_hold_seconds: float | None
    average_wrapup_seconds: float | None
    #: AHT: (talk + hold + after-call work) ÷ answered.
    average_handle_seconds: float | None
    hung_up_agent_percent: float | None
    hung_up_caller_percent: float | None
    transferred: int
    transferred_percent: float | None
    surveys: int
    survey_average: float | None
    offers: int
    left_timeout: int
    left_full: int
    left_empty: int
    left_closed: int
    left_exit_key: int
    left_ejected: int
    left_callback: int
    left_moved: int


def service_level(sums: QueueSums, variant: LevelVariant) -> float | None:
    """Return the service level in percent."""
    contacts = sums.answered + sums.abandoned
    in_time = sums.answered_in_time
    match variant:
        case LevelVariant.WITHOUT_SHORT:
            return percent(in_time, contacts - sums.abandoned_short)
        case LevelVariant.ANY_IN_TIME:
            return percent(in_time + sums.abandoned_in_time, contacts)
        case LevelVariant.OF_ANSWERED:
            return percent(in_time, sums.answered)
        case LevelVariant.WITH_SHORT:
            return percent(in_time, contacts)
        case LevelVariant.OF_OFFERED:
            return percent(in_time, sums.offered)


def queue_figures(sums: QueueSums, variant: LevelVariant = LevelVariant.WITHOUT_SHORT) -> QueueFigures:
    """Compute the figures of a queue."""
    over = sums.answered + sums.abandoned + sums.left + sums.failed
    hung_up = sums.hung_up_agent + sums.hung_up_caller + sums.hung_up_system
    kept = {item.name for item in fields(QueueFigures)} & {item.name for item in fields(QueueSums)}
    return QueueFigures(
        **{name: getattr(sums, name) for name in kept},
        left=sums.left,
        open=max(sums.offered - over, 0),
        service_level_percent=service_level(sums, variant),
        answered_percent=percent(sums.answered, sums.offered),
        abandoned_percent=percent(sums.abandoned, sums.offered),
        abandoned_long_percent=percent(
            sums.abandoned - sums.abandoned_short, sums.offered - sums.abandoned_short
        ),
        average_answer_seconds=mean_seconds(sums.wait_answered_ms, sums.answered),
        average_wait_seconds=mean_seconds(
            sums.wait_answered_ms + sums.wait_abandoned_ms + sums.wait_left_ms, over
        ),
        longest_wait_seconds=seconds(sums.longest_wait_ms),
        average_abandon_seconds=mean_seconds(sums.wait_abandoned_ms, sums.abandoned),
        average_talk_seconds=mean_seconds(sums.talk_ms, sums.answered),
        longest_talk_seconds=seconds(sums.longest_talk_ms),
        average_hold_seconds=mean_seconds(sums.hold_ms, sums.answered),
        average_wrapup_seconds=mean_seconds(sums.wrapup_ms, sums.answered),
        average_handle_seconds=mean_seconds(sums.talk_ms + sums.hold_ms + sums.wrapup_ms, sums.answered),
        hung_up_agent_percent=percent(sums.hung_up_agent, hung_up),
        hung_up_caller_percent=percent(sums.hung_up_caller, hung_up),
        transferred_percent=percent(sums.transferred, sums.answered),
        survey_average=round(sums.survey_sum / sums.surveys, 2) if sums.surveys else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTimes:
    """Time of agents in each state, in milliseconds."""

    free: int = 0
    #: Reserved or ringing.
    ringing: int = 0
    #: In calls of queues, hold included.
    queue_calls: int = 0
    #: In calls of their own.
    other_calls: int = 0
    wrapup: int = 0
    paused: int = 0
    #: Of the pauses: with a reason that is paid.
    paused_paid: int = 0

    @property
    def logged_in(self) -> int:
        """All of it."""
        return self.free + self.ringing + self.queue_calls + self.other_calls + self.wrapup + self.paused

    @property
    def occupancy_percent(self) -> float | None:
        """Share of work in work and readiness (OCCUPANCY_TEXT)."""
        work = self.queue_calls + self.wrapup
        return percent(work, work + self.free)

    @property
    def utilisation_percent(self) -> float | None:
        """Share of work in the time logged in."""
        return percent(self.queue_calls + self.wrapup, self.logged_in)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferSums:
    """Counts of offers to an agent; times in milliseconds (see the table report_agent_slot)."""

    offers: int = 0
    answered: int = 0
    no_answer: int = 0
    rejected: int = 0
    busy: int = 0
    unreachable: int = 0
    other: int = 0
    ring_ms: int = 0
    talk_ms: int = 0
    longest_talk_ms: int = 0
    hold_ms: int = 0
    wrapup_ms: int = 0
    hung_up_agent: int = 0

    @property
    def missed_percent(self) -> float | None:
        """RONA: (no answer + rejected) ÷ offers; never mixed with abandonment."""
        return percent(self.no_answer + self.rejected, self.offers)

    @property
    def average_handle_seconds(self) -> float | None:
        """AHT: (talk + hold + after-call work) ÷ answered."""
        return mean_seconds(self.talk_ms + self.hold_ms + self.wrapup_ms, self.answered)
