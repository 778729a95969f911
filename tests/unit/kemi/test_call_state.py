"""The state of a call in set-up survives its way through a transaction variable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi.call_state import BadCallState, CallState, Target, decode

targets = st.builds(
    Target,
    kind=st.sampled_from(["gateway", "account", "uri"]),
    uri=st.text(max_size=50),
    gateway_id=st.none() | st.integers(0, 10**6),
    username=st.none() | st.text(max_size=20),
)
states = st.builds(
    CallState,
    call_id=st.uuids().map(str),
    tenant_id=st.none() | st.integers(0, 10**6),
    current=st.none() | targets,
    remaining=st.lists(targets, max_size=4).map(tuple),
    emergency=st.booleans(),
)


@given(states)
def test_a_state_is_read_back_as_it_was_written(state: CallState) -> None:
    assert decode(state.encode()) == state
    assert state.encode().isascii()


def test_attempts_take_one_target_after_the_other() -> None:
    first, second = Target("gateway", "sip:1@a", 1), Target("gateway", "sip:1@b", 2)
    state = CallState("c", 1, remaining=(first, second), authenticated=True)
    one = state.next_attempt()
    assert one is not None
    assert (one.current, one.remaining, one.attempt, one.authenticated) == (first, (second,), 1, False)
    two = one.next_attempt()
    assert two is not None
    assert (two.current, two.attempt) == (second, 2)
    assert two.next_attempt() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"current":1,"remaining":[]}', '"x"', "null"])
def test_what_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(BadCallState):
        decode(text)


def test_no_state_is_none() -> None:
    assert decode(None) is None
