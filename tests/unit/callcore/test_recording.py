"""States of a recording, when its files are complete, retries and retention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from callcore.recording import (
    FINISH_SECONDS,
    QUIET_SECONDS,
    TRANSITIONS,
    IllegalTransition,
    RecordingPolicy,
    RecordingState,
    RecordingStep,
    SegmentFile,
    is_expired,
    is_ready,
    next_state,
    retry_seconds,
    storage_path,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize("state", RecordingState)
@pytest.mark.parametrize("step", RecordingStep)
def test_a_step_is_in_the_table_or_refused_by_name(state: RecordingState, step: RecordingStep) -> None:
    if (state, step) in TRANSITIONS:
        assert next_state(state, step) is TRANSITIONS[state, step]
        return
    with pytest.raises(IllegalTransition) as caught:
        next_state(state, step)
    assert state.value in caught.value.message
    assert step.value in caught.value.message


def test_every_state_leads_to_the_tombstone_and_the_tombstone_nowhere() -> None:
    reached = {RecordingState.SPOOLED}
    while more := {after for (state, _), after in TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == set(RecordingState)
    assert not [step for state, step in TRANSITIONS if state is RecordingState.REMOVED]


def test_a_failure_after_storing_changes_nothing() -> None:
    """Sources may be partly deleted by then: mixing again would shorten the recording."""
    stored = RecordingState.STORED
    assert next_state(stored, RecordingStep.FAIL) is stored
    assert next_state(stored, RecordingStep.CLAIM) is stored


FINAL = SegmentFile(final=True, spooled=False, changed_at=ago(1))
SPOOLED = SegmentFile(final=False, spooled=True, changed_at=ago(1))
OLD = ago(QUIET_SECONDS + 1)


@pytest.mark.parametrize(
    ("segments", "stopped_at", "known", "ready"),
    [
        ([FINAL], ago(FINISH_SECONDS + 0.1), False, True),
        ([FINAL], ago(FINISH_SECONDS - 0.1), False, False),
        # The node is moving it just now.
        ([SPOOLED], ago(10), False, False),
        ([FINAL, SPOOLED], ago(10), False, False),
        # Killed with the call: what is in the spool is all there will be.
        ([SegmentFile(False, True, OLD)], ago(QUIET_SECONDS + 1), False, True),
        # The file of a segment never came to be.
        ([SegmentFile(False, False, None)], ago(10), False, False),
        ([SegmentFile(False, False, None)], ago(QUIET_SECONDS + 1), False, True),
        # Nobody has ended it: its controller died, or the call is silent.
        ([SegmentFile(False, True, OLD)], None, False, True),
        ([SegmentFile(False, True, OLD)], None, True, False),
        ([SPOOLED], None, False, False),
    ],
)
def test_readiness(
    segments: list[SegmentFile], stopped_at: datetime | None, known: bool, ready: bool
) -> None:
    assert is_ready(segments, stopped_at=stopped_at, known=known, now=NOW) is ready


def test_retries_wait_longer_and_longer_up_to_an_hour() -> None:
    waits = [retry_seconds(n) for n in range(1, 40)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2, 3600)


def test_retention_ends_a_recording_unless_it_is_held() -> None:
    policy = RecordingPolicy(retention_days=30)
    assert not is_expired(NOW - timedelta(days=29), policy, legal_hold=False, now=NOW)
    assert is_expired(NOW - timedelta(days=30), policy, legal_hold=False, now=NOW)
    assert not is_expired(NOW - timedelta(days=300), policy, legal_hold=True, now=NOW)
    assert not is_expired(
        NOW - timedelta(days=30_000), RecordingPolicy(retention_days=None), legal_hold=False, now=NOW
    )


def test_files_lie_by_tenant_and_date() -> None:
    assert storage_path(7, NOW, "0190-ab") == "7/2026/11/22/0190-ab"
