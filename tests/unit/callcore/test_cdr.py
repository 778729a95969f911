"""The CDR of a call: right from all its events, and as right as can be from some of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.cdr import CAUSE_TEXTS, PROXY_RESTART, Cdr, cause_of, fold
from callcore.event import Event
from tests.support.events import START, CallBuilder, talked_call


def folded(call: CallBuilder) -> Cdr:
    return fold(call.call_id, call.events)


def after(ms: int) -> object:
    return START + timedelta(milliseconds=ms)


def test_an_answered_call_tells_everything() -> None:
    cdr = folded(talked_call())
    assert (cdr.tenant_id, cdr.direction, cdr.account, cdr.node) == (7, "account", "alice", "n1")
    assert (cdr.a_number, cdr.a_sent) == ("alice", "+74951234567")
    assert (cdr.b_number, cdr.b_sent) == ("88121234567", "+78121234567")
    assert (cdr.b_region, cdr.b_operator) == ("Санкт-Петербург", "МТС")
    assert (cdr.route_ids, cdr.gateway_in_id, cdr.gateway_out_id) == ((12, 15), None, 6)
    assert (cdr.started_at, cdr.ringing_at) == (START, after(2103))
    assert (cdr.answered_at, cdr.ended_at) == (after(5103), after(65103))
    assert (cdr.ring_ms, cdr.talk_ms) == (3000, 60000)
    assert (cdr.final_code, cdr.cause, cdr.hung_up_by) == (200, "normal", "callee")
    assert cdr.sip_call_id == "1-1@127.0.0.1"
    first, second = cdr.attempts
    assert (first.n, first.gateway_id, first.code, first.cause, first.failover) == (
        1,
        5,
        408,
        "timeout",
        True,
    )
    assert (second.n, second.gateway_id, second.code, second.failover) == (2, 6, 200, False)
    assert second.ringing_at == after(2103)


def test_a_call_that_still_rings_has_no_end() -> None:
    call = CallBuilder()
    call.start()
    call.attempt(5)
    call.ring(100)
    cdr = folded(call)
    assert (cdr.answered_at, cdr.ended_at, cdr.final_code, cdr.hung_up_by) == (None, None, None, None)
    assert (cdr.ring_ms, cdr.talk_ms, cdr.cause) == (None, None, "")


def test_a_call_that_is_being_talked_in_has_a_code_and_no_end() -> None:
    call = CallBuilder()
    call.start()
    call.ring(100)
    call.answer(1100)
    cdr = folded(call)
    assert (cdr.final_code, cdr.ended_at, cdr.ring_ms, cdr.talk_ms) == (200, None, 1000, None)


def test_a_busy_callee_is_told_by_the_attempt_when_the_end_tells_no_code() -> None:
    call = CallBuilder()
    call.start()
    call.attempt(5)
    call.attempt_end(300, code=486, reason="Busy Here", cause="", failover=False)
    call.end(301, by="callee", code=None, cause="", method="reject")
    cdr = folded(call)
    assert (cdr.final_code, cdr.cause, cdr.hung_up_by, cdr.talk_ms) == (486, "busy", "callee", 0)
    assert cdr.gateway_out_id == 5


def test_the_caller_gives_up_while_it_rings() -> None:
    call = CallBuilder()
    call.start()
    call.ring(100)
    call.end(5100, by="caller", code=487, cause="", method="CANCEL")
    cdr = folded(call)
    assert (cdr.final_code, cdr.cause, cdr.hung_up_by) == (487, "cancelled", "caller")
    assert (cdr.ring_ms, cdr.talk_ms) == (5000, 0)


def test_a_cancel_that_crosses_the_200_is_an_answered_call_hung_up_by_the_caller() -> None:
    call = CallBuilder()
    call.start()
    call.ring(100)
    call.end(5000, by="caller", code=487, cause="cancelled", method="CANCEL")
    call.answer(5010)
    call.end(5050, by="caller")
    cdr = folded(call)
    assert (cdr.answered_at, cdr.ended_at, cdr.talk_ms) == (after(5010), after(5050), 40)
    assert (cdr.final_code, cdr.cause, cdr.hung_up_by) == (200, "normal", "caller")


def test_a_cancel_that_crosses_a_200_without_bye_has_talked_for_no_time() -> None:
    call = CallBuilder()
    call.start()
    call.end(5000, by="caller", code=487, method="CANCEL")
    call.answer(5010)
    cdr = folded(call)
    assert (cdr.answered_at, cdr.ended_at, cdr.talk_ms) == (after(5010), after(5010), 0)


def test_two_bye_count_once_and_the_first_one_hung_up() -> None:
    call = talked_call()
    call.end(65110, by="caller")
    cdr = folded(call)
    assert (cdr.hung_up_by, cdr.talk_ms) == ("callee", 60000)


def test_an_answer_without_a_start_is_still_a_call() -> None:
    call = CallBuilder()
    call.answer(4000)
    call.end(9000)
    cdr = folded(call)
    assert (cdr.started_at, cdr.tenant_id, cdr.node, cdr.a_number) == (START, 7, "n1", "")
    assert (cdr.talk_ms, cdr.final_code, cdr.direction) == (5000, 200, None)


def test_no_events_are_a_call_of_which_only_the_time_is_known() -> None:
    call = CallBuilder()
    assert folded(call) == Cdr(call_id=call.call_id, started_at=START)


def test_an_attempt_end_without_its_attempt_is_kept() -> None:
    call = CallBuilder()
    call.start()
    call.attempt_end(3000, n=2, code=503)
    [attempt] = folded(call).attempts
    assert (attempt.n, attempt.code, attempt.gateway_id) == (2, 503, None)


def test_an_answer_that_names_no_attempt_belongs_to_the_last_one() -> None:
    call = CallBuilder()
    call.attempt(1, 1, 5)
    call.attempt_end(100, 1)
    call.attempt(101, 2, 6)
    call.add(200, "call.answer", code=200)
    assert [a.code for a in folded(call).attempts] == [408, 200]


def test_hops_of_several_routings_add_up_and_the_last_numbers_count() -> None:
    call = CallBuilder()
    call.start()
    call.route(1, route_ids=[1, 2], b_sent="100")
    call.route(50, route_ids=[2, 9], b_sent="200")
    cdr = folded(call)
    assert (cdr.route_ids, cdr.b_sent) == ((1, 2, 9), "200")


def test_media_counters_of_several_events_are_merged() -> None:
    call = CallBuilder()
    call.add(10, "call.media", a_packets=150, b_packets=149)
    call.add(11, "call.media", dropped=1)
    assert folded(call).media == {"a_packets": 150, "b_packets": 149, "dropped": 1}


def test_events_of_other_calls_are_left_out() -> None:
    call, other = talked_call(1), talked_call(2)
    assert fold(call.call_id, call.events + other.events) == folded(call)


def test_an_end_concluded_from_a_restart_ends_a_call() -> None:
    call = CallBuilder()
    call.start()
    call.answer(100)
    call.end(9100, by="system", code=None, cause=PROXY_RESTART, method="restart")
    cdr = folded(call)
    assert (cdr.hung_up_by, cdr.cause, cdr.talk_ms, cdr.final_code) == ("system", PROXY_RESTART, 9000, 200)


@pytest.mark.parametrize(("kind", "ended_ms"), [("call.answer", None), ("call.end", 12_000)])
def test_an_end_concluded_from_a_restart_does_not_count_when_the_call_lives_on(
    kind: str, ended_ms: int | None
) -> None:
    call = CallBuilder()
    call.start()
    call.answer(100)
    call.end(9100, by="system", code=None, cause=PROXY_RESTART, method="restart")
    call.add(12_000, kind, by="caller", code=200, cause="normal", method="BYE", n=1)
    cdr = folded(call)
    assert cdr.ended_at == (None if ended_ms is None else after(ended_ms))
    assert cdr.hung_up_by == (None if ended_ms is None else "caller")


def test_a_late_media_event_does_not_revive_a_call_lost_in_a_restart() -> None:
    call = CallBuilder()
    call.start()
    call.end(9100, by="system", code=None, cause=PROXY_RESTART, method="restart")
    call.add(60_000, "call.media", a_packets=1)
    assert folded(call).cause == PROXY_RESTART


def test_an_earlier_real_end_beats_one_concluded_from_a_restart() -> None:
    call = talked_call()
    call.end(70_000, by="system", code=None, cause=PROXY_RESTART, method="restart")
    assert folded(call) == folded(talked_call())


@pytest.mark.parametrize(
    ("code", "method", "answered", "cause"),
    [
        (200, "BYE", True, "normal"),
        (487, "CANCEL", False, "cancelled"),
        (486, "", False, "busy"),
        (404, "", False, "not_found"),
        (302, "", False, "redirected"),
        (555, "", False, "failed"),
        (None, "", False, ""),
    ],
)
def test_the_cause_follows_from_code_and_method(
    code: int | None, method: str, answered: bool, cause: str
) -> None:
    assert cause_of(code, method, answered=answered) == cause
    assert cause == "" or cause in CAUSE_TEXTS


# ------------------------------------------------------------------------------------------ properties

STEPS = ("start", "route", "attempt", "attempt_end", "ring", "answer", "end", "cancel", "media", "restart")


@st.composite
def stories(draw: st.DrawFn) -> CallBuilder:
    """Any events of a call at any times, sensible or not, with values of any type."""
    call = CallBuilder(draw(st.integers(0, 1000)))
    junk = (
        st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2) | st.booleans()
    )
    for step in draw(st.lists(st.sampled_from(STEPS), max_size=14)):
        # From before the start (a clock set back) to an hour after it; a coarse grid makes ties likely.
        ms = draw(st.integers(-10, 3600)) * 500
        n = draw(st.integers(1, 3))
        if step == "cancel":
            call.end(ms, by="caller", code=487, cause="cancelled", method="CANCEL")
        elif step == "restart":
            call.end(ms, by="system", code=None, cause=PROXY_RESTART, method="restart")
        elif step == "media":
            call.add(ms, "call.media", a_packets=n)
        elif step in ("attempt", "attempt_end", "ring", "answer"):
            getattr(call, step)(ms, n)
        else:
            getattr(call, step)(ms)
        if draw(st.integers(0, 5)) == 0:
            spoilt = draw(st.sampled_from(sorted(call.events[-1].data)))
            _spoil(call, spoilt, draw(junk))
    return call


def _spoil(call: CallBuilder, key: str, value: Any) -> None:
    event = call.events.pop()
    call.add(
        (event.at - call.start_time) / timedelta(milliseconds=1), event.kind, **{**event.data, key: value}
    )


@given(stories(), st.randoms(use_true_random=False), st.integers(0, 10))
def test_order_and_repetition_never_matter(call: CallBuilder, random: Any, repeated: int) -> None:
    shuffled: list[Event] = call.events + [random.choice(call.events) for _ in range(repeated) if call.events]
    random.shuffle(shuffled)
    assert fold(call.call_id, shuffled) == folded(call)


@given(stories(), st.randoms(use_true_random=False))
def test_what_is_told_never_contradicts_itself(call: CallBuilder, random: Any) -> None:
    known = [event for event in call.events if random.random() < 0.7]
    cdr = fold(call.call_id, known)
    moments = [t for t in (cdr.started_at, cdr.ringing_at, cdr.answered_at, cdr.ended_at) if t is not None]
    assert moments == sorted(moments)
    assert cdr.talk_ms is None or cdr.talk_ms >= 0
    assert cdr.ring_ms is None or cdr.ring_ms >= 0
    # The constraint call_end_check of the table.
    assert cdr.ended_at is not None or cdr.final_code is None or cdr.answered_at is not None
    assert (cdr.talk_ms is None) == (cdr.ended_at is None)
    assert cdr.hung_up_by in (None, "caller", "callee", "system")
    assert (cdr.ended_at is not None) >= (cdr.hung_up_by is not None)
    assert [a.n for a in cdr.attempts] == sorted({a.n for a in cdr.attempts})
    if cdr.answered_at is not None:
        assert cdr.final_code is not None
        assert 200 <= cdr.final_code < 300


@given(stories())
def test_the_first_end_is_the_one_that_hung_up(call: CallBuilder) -> None:
    ends = [e for e in call.events if e.kind == "call.end" and e.data.get("cause") != PROXY_RESTART]
    cdr = folded(call)
    if ends and cdr.hung_up_by != "system":
        assert cdr.hung_up_by in (min(ends, key=lambda e: e.order).data.get("by"), None)


def test_a_call_that_lost_its_media_says_so_when_the_proxy_ended_it() -> None:
    call = CallBuilder()
    call.start()
    call.attempt(5)
    call.add(3000, "call.answer", n=1, code=200)
    call.add(9000, "call.media_lost", node="n1-rtp-1")
    assert folded(call).cause == ""
    call.add(9010, "call.end", by="system", code=200, cause="failed", reason="phone gone", method="timeout")
    assert (folded(call).cause, folded(call).hung_up_by) == ("media_lost", "system")


def test_a_call_that_lost_its_media_and_was_hung_up_ended_normally() -> None:
    call = CallBuilder()
    call.start()
    call.add(3000, "call.answer", n=1, code=200)
    call.add(9000, "call.media_lost", node="n1-rtp-1")
    call.add(9010, "call.end", by="caller", code=200, cause="normal", method="BYE")
    assert (folded(call).cause, folded(call).hung_up_by) == ("normal", "caller")
