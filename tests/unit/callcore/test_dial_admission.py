"""Which tasks may take an agent from the queue, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callcore.dial import LeadPriority
from callcore.dial_admission import AdmissionGate, QueueLoad

LOADS = st.builds(
    lambda agents, busy, waiting: QueueLoad(agents, max(0, agents - busy), waiting),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 10),
)


def room(priority: LeadPriority, agents: int, free: int, waiting: int = 0) -> int:
    return AdmissionGate().room(priority, QueueLoad(agents, free, waiting))


def test_low_needs_an_idle_queue() -> None:
    assert room(LeadPriority.LOW, 5, 5) >= 1
    assert room(LeadPriority.LOW, 5, 4) == 0


def test_medium_goes_up_to_seventy_percent() -> None:
    assert room(LeadPriority.MEDIUM, 10, 5) == 2
    assert room(LeadPriority.MEDIUM, 10, 2) == 0


def test_high_takes_the_last_agent_but_nobody_who_waits_is_passed() -> None:
    assert room(LeadPriority.HIGH, 10, 1) == 1
    assert room(LeadPriority.HIGH, 10, 1, waiting=1) == 0


def test_urgent_goes_before_callers_who_wait() -> None:
    assert room(LeadPriority.URGENT, 10, 0, waiting=4) == 1


def test_nobody_at_work_admits_nothing() -> None:
    assert all(room(priority, 0, 0) == 0 for priority in LeadPriority)


def test_a_refused_priority_returns_five_points_lower() -> None:
    gate = AdmissionGate()
    assert gate.room(LeadPriority.MEDIUM, QueueLoad(100, 29, 0)) == 0
    assert gate.room(LeadPriority.MEDIUM, QueueLoad(100, 32, 0)) == 0
    assert gate.room(LeadPriority.MEDIUM, QueueLoad(100, 35, 0)) == 5


@given(LOADS)
def test_what_a_low_task_may_a_higher_one_may_too(load: QueueLoad) -> None:
    rooms = [AdmissionGate().room(priority, load) for priority in LeadPriority]
    assert rooms == sorted(rooms)
    assert all(found <= max(1, load.free) for found in rooms)
