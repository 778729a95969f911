"""hold_queue in SEMS: the same machine, on a fake `ivr` that dies of everything that kills a real SEMS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from callcore.call_queue import OfferOutcome
from sems_apps.actions import Action, EnterQueue, LeaveQueue, ReportJoin, ReportOffer, ReportTalkEnd
from sems_apps.events import CallbackTaken, Diverted, Entered, Event, OfferMade
from sems_apps.host.ports import Entry
from sems_apps.sems_background import wave_header
from sems_apps.settings import QueueSettings
from sems_apps.sounds import Sound
from tests.support.fake_ivr import FakeCall, FakeSems, ServerCrash

ROOT = Path(__file__).resolve().parents[3]
ARGUMENTS = "X-KS-Call: 0190-c\r\nX-KS-Arg: tenant=1;queue=7;caller=%2B74951234567 \r\n"


class FakeBackground:
    """Plays the ACD and has a WAV file for every sound."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[Action] = []
        self.entries: list[Entry] = []
        self.recorded: list[bool] = []
        self.settings = QueueSettings(music="jazz", callback_key="1")
        #: What follows an action at once.
        self.offer: OfferMade | None = None

    def run(self) -> None:
        """Never run here."""

    def perform(self, entry: Entry, action: Action) -> None:
        self.done.append(action)
        if isinstance(action, EnterQueue):
            self.entries.append(entry)
            entry.post(Entered(self.settings, self.offer is not None))
            if self.offer is not None:
                entry.post(self.offer)

    def post(self, event: Event) -> None:
        """Let the ACD say something of the latest call."""
        self.entries[-1].post(event)

    def forget(self, entry: Entry) -> None:
        """The session is over."""

    def find(self, tenant: int, sounds: tuple[Sound, ...], language: str) -> str | None:
        path = self.folder / f"{'+'.join(sound.text or sound.kind for sound in sounds)}.wav".replace(
            "+7", "7"
        )
        path.write_bytes(wave_header(160) + bytes(160))
        return str(path)

    def record(self, call: str, on: bool) -> None:
        self.recorded.append(on)

    def of(self, kind: type[Action]) -> list[Action]:
        """Return the actions of a kind."""
        return [action for action in self.done if type(action) is kind]


@pytest.fixture
def background(tmp_path: Path) -> FakeBackground:
    return FakeBackground(tmp_path)


@pytest.fixture
def sems(monkeypatch: pytest.MonkeyPatch, background: FakeBackground) -> Iterator[FakeSems]:
    monkeypatch.setattr("sems_apps.sems_background.start", lambda settings: background)
    with FakeSems(ROOT / "sems_apps" / "sems" / "hold_queue.py", {"home": "/run/kalibri"}) as server:
        yield server
        assert server.errors == []


def heard(call: FakeCall) -> str:
    return " ".join(Path(path).stem for path in call.playing)


def joined(sems: FakeSems, background: FakeBackground) -> FakeCall:
    call = sems.invite(ARGUMENTS)
    background.post(OfferMade(5, "sip:101@demo", 20.0))
    call.callee_replies(180, "Ringing")
    call.callee_replies(200, "OK")
    return call


def test_script_is_loaded_as_sems_loads_it(sems: FakeSems, background: FakeBackground) -> None:
    assert sems.threads == [background.run]
    assert not hasattr(sems.ivr, "config")


def test_waiting_caller_hears_music(sems: FakeSems, background: FakeBackground) -> None:
    call = sems.invite(ARGUMENTS)
    assert (call.status, heard(call)) == (200, "jazz")
    entry = background.entries[0]
    assert (entry.call, entry.tenant, entry.queue, entry.caller) == ("0190-c", 1, 7, "+74951234567")


def test_free_agent_rings_before_the_caller_is_answered(sems: FakeSems, background: FakeBackground) -> None:
    background.offer = OfferMade(5, "sip:101@demo", 20.0)
    call = sems.invite(ARGUMENTS)
    assert (call.sent, call.callee) == (["180"], "trying")
    call.callee_replies(200, "OK")
    assert call.sent == ["180", "200"]
    assert background.of(ReportJoin) == [ReportJoin(5)]


def test_call_without_a_queue_is_refused(sems: FakeSems) -> None:
    call = sems.invite("X-KS-Arg: queue=x\r\n")
    assert (call.status, call.stopped) == (400, True)


def test_agent_gets_only_our_headers_and_music_stops_at_the_join(
    sems: FakeSems, background: FakeBackground
) -> None:
    call = joined(sems, background)
    assert call.callee_headers.split("\r\n")[:3] == ["X-KS-Call: 0190-c", "X-KS-Leg: agent", "X-KS-Offer: 5"]
    assert "queue=7" not in call.callee_headers
    assert (call.playing, call.media) == ([], False)
    assert background.of(ReportJoin) == [ReportJoin(5)]


@pytest.mark.parametrize(("code", "outcome"), [(486, OfferOutcome.BUSY), (603, OfferOutcome.REJECTED)])
def test_agent_who_fails_leaves_the_music(
    sems: FakeSems, background: FakeBackground, code: int, outcome: OfferOutcome
) -> None:
    call = sems.invite(ARGUMENTS)
    background.post(OfferMade(5, "101", 20.0))
    call.callee_replies(code)
    assert (call.stopped, heard(call)) == (False, "jazz")
    assert background.of(ReportOffer) == [ReportOffer(5, outcome, code)]
    background.post(OfferMade(6, "102", 20.0))
    assert call.callee_uri == "sip:102@kalibri.internal"


def test_ring_timeout_cancels_the_agent(sems: FakeSems, background: FakeBackground) -> None:
    call = sems.invite(ARGUMENTS)
    background.post(OfferMade(5, "101", 20.0))
    call.fire(20.0)
    assert call.callee_sent == ["INVITE", "CANCEL"]
    assert heard(call) == "jazz"


def test_second_agent_at_once_is_no_fault_of_his(sems: FakeSems, background: FakeBackground) -> None:
    sems.invite(ARGUMENTS)
    background.post(OfferMade(5, "101", 20.0))
    background.post(OfferMade(6, "102", 20.0))
    assert background.of(ReportOffer) == [ReportOffer(6, OfferOutcome.FAILED, 488)]


def test_agent_hangs_up_and_is_answered(sems: FakeSems, background: FakeBackground) -> None:
    call = joined(sems, background)
    call.callee_bye()
    assert call.callee_sent[-1] == "200"
    assert call.sent == ["200", "BYE"]
    assert call.stopped
    [ended] = background.of(ReportTalkEnd)
    assert ended.by == "agent"  # type: ignore[attr-defined]


@pytest.mark.parametrize("ringing", [False, True])
def test_caller_hangs_up(sems: FakeSems, background: FakeBackground, ringing: bool) -> None:
    call = sems.invite(ARGUMENTS)
    if ringing:
        background.post(OfferMade(5, "101", 20.0))
    call.bye()
    assert call.stopped
    assert not call.callee
    assert background.of(LeaveQueue) == [LeaveQueue("caller hung up")]


def test_cancel_is_noticed_though_nothing_but_a_request_tells_it(
    sems: FakeSems, background: FakeBackground
) -> None:
    background.offer = OfferMade(5, "101", 20.0)
    call = sems.invite(ARGUMENTS)
    call.cancel()
    assert call.callee_sent == ["INVITE", "CANCEL"]
    assert background.of(LeaveQueue) == [LeaveQueue("caller hung up")]


def test_what_comes_after_the_end_touches_no_session(sems: FakeSems, background: FakeBackground) -> None:
    call = sems.invite(ARGUMENTS)
    call.bye()
    sems.advance(6)
    assert call.reaped
    background.post(OfferMade(5, "101", 20.0))
    with pytest.raises(ServerCrash):
        call.session.flush()


def test_callback_by_keys(sems: FakeSems, background: FakeBackground) -> None:
    call = sems.invite(ARGUMENTS)
    call.dtmf(1)
    assert "callback-confirm" in heard(call)
    call.dtmf(1)
    background.post(CallbackTaken(True))
    assert heard(call) == "callback-accepted"
    call.play_out()
    assert call.stopped
    assert call.sent == ["200", "BYE"]


def test_key_of_an_empty_info_is_ignored(sems: FakeSems) -> None:
    call = sems.invite(ARGUMENTS)
    call.dtmf(1818587693)
    assert heard(call) == "jazz"


def test_diversion_calls_its_target(sems: FakeSems, background: FakeBackground) -> None:
    call = sems.invite(ARGUMENTS)
    background.post(Diverted("200", "full"))
    assert call.callee_uri == "sip:200@kalibri.internal"
    call.callee_replies(200)
    assert call.playing == []


def test_reinvite_is_answered_by_sems(sems: FakeSems) -> None:
    call = sems.invite(ARGUMENTS)
    assert sems.reinvite(call) is True


def test_shutdown_ends_the_calls_in_order(sems: FakeSems, background: FakeBackground) -> None:
    call = sems.invite(ARGUMENTS)
    sems.shut_down()
    assert call.stopped
    assert background.of(LeaveQueue) == [LeaveQueue("host stopped")]


def test_prompt_is_followed_by_music(sems: FakeSems, background: FakeBackground) -> None:
    background.settings = QueueSettings(music="jazz", greeting="welcome")
    call = sems.invite(ARGUMENTS)
    assert heard(call) == "welcome"
    call.play_out()
    assert heard(call) == "jazz"
