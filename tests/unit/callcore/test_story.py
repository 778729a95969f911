"""The story of a call: every event is told, in order, whatever its data look like."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.cdr import PROXY_RESTART, Cdr, fold
from callcore.story import _TELLERS, Names, Verdict, phrase, summary, tell
from callcore.story_media import media_text
from tests.support.events import START, CallBuilder, talked_call

NAMES = Names(gateways={5: "carrier-a", 6: "carrier-b"}, routes={12: "mobile"})


def told(call: CallBuilder) -> list[str]:
    return [f"{line.at_ms} {line.arrow} {line.text}" for line in tell(START, call.events, NAMES)]


def test_a_whole_call_reads_from_invite_to_bye() -> None:
    call = talked_call()
    call.add(30_000, "call.update", by="caller", method="INVITE", hold=True)
    call.add(65_104, "call.media", a_packets=3000, b_packets=2999, relayed=5999)
    assert told(call) == [
        "0 → INVITE from account alice at 127.0.0.1:5070 udp: alice calls 88121234567",
        "1 · routed by 12 (mobile), 15: relay_to_gateways; A +74951234567, B +78121234567; "
        "Санкт-Петербург, МТС; gateway carrier-a (5) at 1.50, gateway carrier-b (6) at 2.00",
        "2 → attempt 1: INVITE to gateway carrier-a (5) as sip:+78121234567@192.0.2.5",
        "2002 ← attempt 1: 408 Request Timeout (timeout), the next one is tried",
        "2003 → attempt 2: INVITE to gateway carrier-b (6) as sip:+78121234567@192.0.2.6",
        "2103 ← attempt 2: 180 Ringing",
        "5103 ← attempt 2: 200 OK, answered",
        "30000 → INVITE by caller: hold",
        "65103 × BYE by callee: hung up after talking",
        "65104 · RTP: caller sent 3000 packets; callee sent 2999 packets; 5999 relayed",
    ]


def test_an_unknown_kind_is_told_with_its_data() -> None:
    call = CallBuilder()
    call.add(5, "call.wonder", what="x")
    assert told(call) == ["5 · call.wonder: what x"]


def test_a_gateway_that_is_gone_is_told_by_its_id() -> None:
    call = CallBuilder()
    call.attempt(1, 1, 77)
    assert "gateway 77" in told(call)[0]


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [(486, "", "486 Busy Here"), (486, "Engaged", "486 Engaged"), (499, "", "499"), (None, "", "no reply")],
)
def test_a_reply_is_told_with_its_phrase(code: int | None, reason: str, text: str) -> None:
    assert phrase(code, reason) == text


def verdict(cdr: Cdr) -> Verdict:
    return Verdict(
        answered=cdr.answered_at is not None,
        ended=cdr.ended_at is not None,
        talk_ms=cdr.talk_ms,
        final_code=cdr.final_code,
        cause=cdr.cause,
        hung_up_by=cdr.hung_up_by,
    )


def test_the_summary_says_how_it_ended() -> None:
    def summed(*steps: tuple[str, dict[str, Any]]) -> str:
        call = CallBuilder()
        for n, (kind, data) in enumerate(steps):
            call.add(n * 1000, kind, **data)
        return summary(verdict(fold(call.call_id, call.events)))

    answer = ("call.answer", {"code": 200})
    assert summary(verdict(fold(talked_call().call_id, talked_call().events))) == (
        "talked 60.0 s: hung up after talking; hung up first: callee"
    )
    assert summed() == "not answered yet"
    assert summed(answer) == "talking"
    assert summed(answer, ("call.end", {"by": "system", "cause": PROXY_RESTART})) == (
        "talked 1.0 s: the proxy was restarted and the call was gone; hung up first: system"
    )
    assert summed(("call.end", {"by": "callee", "code": 486})) == (
        "not answered: 486 Busy Here, busy; hung up first: callee"
    )


values = st.none() | st.integers() | st.text() | st.lists(st.none() | st.dictionaries(st.text(), st.text()))
keys = st.sampled_from(
    ["a", "b", "n", "code", "by", "hold", "targets", "route_ids", "gateway_id", "gateway", "cause", "account"]
)


@given(st.sampled_from([*_TELLERS, "other"]), st.dictionaries(keys, values))
def test_any_data_can_be_told(kind: str, data: dict[str, Any]) -> None:
    call = CallBuilder()
    call.add(1, kind, **data)
    [line] = tell(START + timedelta(seconds=1), call.events, NAMES)
    assert line.text
    assert line.at_ms == -999


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("media.arrive", {"host": "n1-media-1", "queue": 7}, "· reached media host n1-media-1, for queue 7"),
        (
            "media.dial",
            {"leg": "agent:3", "offer": 3, "to": "sip:201@demo.test"},
            "→ media host calls the agent (offer 3): sip:201@demo.test",
        ),
        ("media.gone", {"leg": "agent:3", "cause": ""}, "· the agent (offer 3) hung up"),
        (
            "media.refer",
            {"leg": "agent:3", "to": "x", "replaces": "y"},
            "· the agent (offer 3) asks for a transfer (attended) to x",
        ),
        (
            "leg.start",
            {"leg": "agent", "offer": 3, "a": "79", "b": "201", "src": "127.0.0.1:5080", "transport": "udp"},
            "→ leg to the agent (offer 3): INVITE from 127.0.0.1:5080 udp: 79 calls 201",
        ),
        (
            "leg.route",
            {"leg": "agent", "targets": [{"account": "201"}], "reason": "agent leg"},
            "· leg to the agent: to account 201: agent leg",
        ),
        ("leg.ring", {"code": 180, "n": 1}, "← leg: attempt 1: 180 Ringing"),
    ],
)
def test_what_a_media_host_does_is_told_in_words(kind: str, data: dict[str, Any], line: str) -> None:
    call = CallBuilder()
    call.add(5, kind, **data)
    assert told(call) == [f"5 {line}"]


def test_what_was_counted_of_the_media_is_told_side_by_side() -> None:
    data = {
        "a_packets": 1554,
        "a_lost": 3,
        "a_loss_percent": 0.19,
        "a_jitter_avg_ms": 9.39,
        "a_jitter_max_ms": 28.74,
    }
    data |= {"a_longest_gap_ms": 188, "b_packets": 0, "relayed": 452, "dropped": 1326}
    assert media_text({**data, "node": "n1-rtp-1", "silent": "callee", "new": 1}) == (
        "ONE-WAY: nothing came from the callee; "
        "caller sent 1554 packets, 3 lost (0.19 %), jitter 9.39 ms (most 28.74), longest gap 188 ms; "
        "callee sent 0 packets; 452 relayed by n1-rtp-1, 1326 not; new 1"
    )
    assert media_text({"raw": "x"}) == "x"
