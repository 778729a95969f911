"""What a controller remembers: what was written is there again, whatever a crash cut off."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rtpproxy_ctl.commands import Notify
from rtpproxy_ctl.controller.ids import handle, session_id
from rtpproxy_ctl.controller.sessions import Session, Side
from rtpproxy_ctl.controller.state_log import FLUSH_SECONDS, StateLog
from tests.support.fake_nodes import FakeTimers


def test_what_was_kept_is_there_again_and_what_was_forgotten_is_not(tmp_path: Path) -> None:
    timers = FakeTimers()
    log = StateLog(tmp_path / "state", timers)
    log.save("session", "a", {"n": 1})
    log.save("session", "b", {"n": 2})
    log.save("session", "a", None)
    log.save("session", "unknown", None)
    timers.advance(FLUSH_SECONDS)
    assert StateLog(tmp_path / "state", timers).entries("session") == [{"n": 2}]


def test_what_a_kill_took_is_only_the_last_moment(tmp_path: Path) -> None:
    timers = FakeTimers()
    log = StateLog(tmp_path / "state", timers)
    log.save("x", "1", 1)
    timers.advance(FLUSH_SECONDS)
    log.save("x", "2", 2)
    with (tmp_path / "state").open("ab") as file:
        file.write(b'["x","3",{"to')
    assert StateLog(tmp_path / "state", timers).entries("x") == [1]


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    timers = FakeTimers()
    log = StateLog(tmp_path / "state", timers)
    for number in range(30):
        for key in range(1000):
            log.save("x", str(key), number)
        timers.advance(FLUSH_SECONDS)
    assert len((tmp_path / "state").read_bytes().splitlines()) <= 22_000
    assert StateLog(tmp_path / "state", timers).entries("x") == [29] * 1000


TAGS = st.text(min_size=1, max_size=10)


@given(TAGS, TAGS, st.booleans(), st.lists(st.integers(0, 127), max_size=3), st.one_of(st.none(), TAGS))
def test_a_session_comes_back_as_it_was(
    key: str, tag: str, joined: bool, codecs: list[int], notify: str | None
) -> None:
    session = Session(
        session_id(key),
        handle(key),
        "n1-rtp-1",
        5.0,
        Side(tag, 10_000, tuple(codecs), 101),
        streams=[";1"],
        joined=joined,
        notify=Notify("tcp:127.0.0.1:1", notify) if notify else None,
        dtmf_tags={"own": tag},
    )
    assert Session.from_json(session.to_json(), 5.0) == session
