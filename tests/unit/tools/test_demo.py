"""What the demonstration makes of its calls' ends and of the switch's books."""

from __future__ import annotations

import pytest

from tools.demo.__main__ import books
from tools.demo.baresip_phone import Netstrings, netstring
from tools.demo.call_centre import Visit
from tools.demo.calls import Outcome

ENDED, OPEN = {"ended_at": "2026-11-22T07:00:00Z"}, {"ended_at": None}


def test_a_story_is_told_only_of_what_went_well() -> None:
    good, bad = Outcome("call", True, ""), Outcome("call", False, "SIPp ended with 1")
    assert good.told("back after 2 s") == Outcome("call", True, "back after 2 s")
    assert not good.told("back after 2 s", media=0).ok
    assert bad.told("back after 2 s") == bad


def test_a_failure_keeps_what_the_caller_said() -> None:
    assert Outcome("call", False, "no 200").failed("no new proxy").detail == "no new proxy; no 200"
    assert Outcome("call", True, "").failed("no new proxy") == Outcome("call", False, "no new proxy")


@pytest.mark.parametrize(
    ("calls", "wanted", "ok"),
    [
        ([ENDED, ENDED], 2, True),
        ([ENDED], 2, False),
        ([ENDED, OPEN], 2, False),
        ([ENDED, ENDED, ENDED], 2, False),
    ],
)
def test_the_books_hold_every_call_once(calls: list[dict[str, object]], wanted: int, ok: bool) -> None:
    assert books(calls, wanted).ok is ok


def test_a_phones_messages_come_whole_whatever_the_pieces() -> None:
    stream = netstring({"event": True, "type": "CALL_CLOSED"}) + netstring({"token": "1", "ok": True})
    reader = Netstrings()
    found = [message for byte in stream for message in reader.feed(bytes([byte]))]
    assert found == [{"event": True, "type": "CALL_CLOSED"}, {"token": "1", "ok": True}]
    assert Netstrings().feed(stream) == found


def test_a_visit_keeps_its_agent_when_the_entry_is_over() -> None:
    visit = Visit(1, "call", "103")
    visit.see({"agent": "anna", "kind": "callback", "waited_seconds": 22.4, "end_reason": None})
    assert visit.outcome == "still there, called back"
    visit.see({"agent": None, "kind": "callback", "waited_seconds": 22.4, "end_reason": "served"})
    assert (visit.agent, visit.outcome) == ("anna", "served, called back")
