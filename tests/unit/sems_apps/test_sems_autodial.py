"""autodial in SEMS: the same machine, on a fake `ivr` that dies of everything that kills a real SEMS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sems_apps.actions import DialStage, ReportDial
from sems_apps.dial_order import Choice, DialOrder, KeyAction
from sems_apps.sems_background import wave_header
from sems_apps.sems_dialler import GRACE_SECONDS, Originator
from tests.support.fake_ivr import FakeCall, FakeSems

ROOT = Path(__file__).resolve().parents[3]
ORDER = DialOrder(
    tenant=1,
    attempt=5,
    campaign=3,
    call="0190-c",
    number="74951234567",
    caller_id="78000000000",
    audio="sale",
    ring_seconds=20.0,
    keys={"2": Choice(KeyAction.QUEUE, 7), "9": Choice(KeyAction.OPT_OUT)},
)


class Clock:
    """Timers that the test lets fire."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.timers.append((self.now + seconds, callback))

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [item for item in self.timers if item[0] <= self.now]
        self.timers = [item for item in self.timers if item[0] > self.now]
        for _, callback in due:
            callback()


class FakeDialler:
    """Plays the background: a WAV file for every sound, reports written down."""

    def __init__(self, folder: Path, sems: FakeSems) -> None:
        self.folder, self.clock = folder, Clock()
        self.reports: list[ReportDial] = []
        self.forgotten: list[str] = []
        self.calls = Originator(self.clock, sems.module.MAILBOX, sems.dialout, ("127.0.0.1", 5066))  # type: ignore[arg-type]
        self.calls.forget = self.forgotten.append

    def perform(self, entry: object, action: object) -> None:
        raise AssertionError(f"{action} in a host without queues")

    def forget(self, entry: object) -> None:
        """Nothing was entered."""

    def record(self, call: str, on: bool) -> None:
        """Nobody records."""

    def report(self, action: ReportDial) -> None:
        self.reports.append(action)

    def over(self, tag: str) -> None:
        self.calls.over(tag)

    def find(self, tenant: int, sounds: Any, language: str) -> str:
        path = self.folder / f"{'+'.join(sound.text for sound in sounds)}.wav"
        path.write_bytes(wave_header(160) + bytes(160))
        return str(path)

    @property
    def ends(self) -> list[ReportDial]:
        return [report for report in self.reports if report.stage is DialStage.ENDED]


@pytest.fixture
def sems(tmp_path: Path) -> Iterator[FakeSems]:
    config = {"home": str(tmp_path), "name": "n1-media-sems"}
    with FakeSems(ROOT / "sems_apps/sems/autodial.py", config) as sems:
        sems.module.BACKGROUND = FakeDialler(tmp_path, sems)
        yield sems
        assert sems.errors == []


def dialled(sems: FakeSems) -> tuple[FakeCall, FakeDialler]:
    dialler: FakeDialler = sems.module.BACKGROUND
    dialler.calls.dial(ORDER)
    (call,) = sems.calls.values()
    return call, dialler


def names(call: FakeCall) -> list[str]:
    return [Path(path).stem for path in call.playing]


def test_it_calls_through_the_proxy_as_itself(sems: FakeSems) -> None:
    call, _ = dialled(sems)
    assert call.callee_uri == "sip:74951234567@127.0.0.1:5066"
    assert "X-KS-Call: 0190-c\r\n" in call.callee_headers
    assert "X-KS-Arg: tenant=1\r\n" in call.callee_headers


def test_the_message_is_said_and_the_end_told(sems: FakeSems) -> None:
    call, dialler = dialled(sems)
    call.replies(180)
    call.replies(200)
    assert names(call) == ["sale"]
    call.play_out()
    call.fire(5.0)
    (end,) = dialler.ends
    assert (end.answered, end.heard_all, end.rang) == (True, True, True)
    assert call.stopped
    assert call.sent == ["BYE"]
    assert dialler.forgotten == ["0190-c"]
    sems.advance(10)


@pytest.mark.parametrize(
    ("headers", "cause", "ours"),
    [
        ('Reason: Q.850;cause=17;text="User busy"\r\n', 17, False),
        ("X-KS-By: proxy\r\n", 0, True),
        ("Server: x\r\n", 0, False),
    ],
)
def test_a_refused_call_ends_its_session(sems: FakeSems, headers: str, cause: int, ours: bool) -> None:
    call, dialler = dialled(sems)
    call.replies(486, headers)
    (end,) = dialler.ends
    assert (end.code, end.cause, end.ours) == (486, cause, ours)
    assert call.stopped


def test_who_does_not_answer_is_given_up_by_a_timer_of_the_session(sems: FakeSems) -> None:
    call, dialler = dialled(sems)
    call.replies(180)
    call.fire(20.0)
    (end,) = dialler.ends
    assert (end.code, end.rang, end.answered) == (408, True, False)
    assert call.sent == ["CANCEL"]


def test_a_call_without_any_response_is_given_up_by_the_watchdog(sems: FakeSems) -> None:
    call, dialler = dialled(sems)
    dialler.clock.advance(ORDER.ring_seconds + GRACE_SECONDS)
    (end,) = dialler.ends
    assert (end.code, end.rang) == (408, False)
    assert call.sent == ["CANCEL"]


def test_a_call_that_was_never_made_is_found_missing(sems: FakeSems) -> None:
    dialler: FakeDialler = sems.module.BACKGROUND
    dialler.calls.dial(ORDER)
    sems.calls.clear()  # SEMS has refused it, and says so in its log only
    dialler.clock.advance(ORDER.ring_seconds + GRACE_SECONDS)
    dialler.clock.advance(GRACE_SECONDS)
    assert dialler.forgotten == ["0190-c"]
    assert dialler.calls.room > 0


def test_the_watchdog_leaves_a_long_call_alone(sems: FakeSems) -> None:
    call, dialler = dialled(sems)
    call.replies(200)
    dialler.clock.advance(ORDER.ring_seconds + GRACE_SECONDS)
    dialler.clock.advance(GRACE_SECONDS)
    assert not call.stopped
    call.bye()
    (end,) = dialler.ends
    assert end.answered


def test_keys_opt_out_and_a_callback_in_place_of_a_queue(sems: FakeSems) -> None:
    call, dialler = dialled(sems)
    call.replies(200)
    call.dtmf(2)
    (chosen,) = [report for report in dialler.reports if report.stage is DialStage.CHOSEN]
    assert (chosen.choice, chosen.queue) == ("callback", 7)
    assert names(call) == ["callback-accepted"]
    call.play_out()
    (end,) = dialler.ends
    assert end.choice == "callback"


def test_a_call_that_comes_in_is_none_of_ours(sems: FakeSems) -> None:
    call = sems.invite("X-KS-Arg: tenant=1\r\n")
    assert (call.status, call.stopped) == (404, True)
