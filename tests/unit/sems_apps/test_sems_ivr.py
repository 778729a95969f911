"""ivr_menu in SEMS: the same machine, on a fake `ivr` that dies of everything that kills a real SEMS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callcore import ivr_events as ev
from sems_apps.actions import Action, EnterQueue
from sems_apps.events import Entered, OfferMade
from sems_apps.host.ports import Entry
from sems_apps.ivr_actions import (
    AskWorld,
    FindQueue,
    LoadScenario,
    MessageFailed,
    QueueFound,
    RecordMessage,
    ScenarioLoaded,
    TellStory,
    WorldAnswered,
)
from sems_apps.sems_background import wave_header
from sems_apps.settings import QueueSettings
from sems_apps.sounds import Sound
from tests.support.fake_ivr import FakeCall, FakeSems
from tests.support.ivr_world import bundle

ROOT = Path(__file__).resolve().parents[3]
HEADERS = "X-KS-Call: 0190-c\r\nX-KS-Arg: tenant=1;scenario=main;caller=%2B7495\r\n"
SOURCE = """
nodes:
  hello: {kind: play, say: hello, next: main}
  main: {kind: menu, say: menu, keys: {1: web, 2: wait, 3: call, 4: message}, on_failure: bye}
  web: {kind: http, url: "http://crm.test/", into: {x: value}, next: bye, on_failure: sorry}
  wait: {kind: queue, queue: sales, next: bye, on_failure: sorry}
  call: {kind: transfer, to: "account:eve", next: bye, on_failure: sorry}
  message: {kind: record, say: hello, next: bye, on_failure: sorry}
  sorry: {kind: hangup, say: sorry}
  bye: {kind: hangup, say: bye}
"""


class FakeBackground:
    """Plays database, web servers and files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[Action] = []
        self.entry: Entry | None = None
        self.exists = True

    def run(self) -> None:
        """Never run here."""

    def perform(self, entry: Entry, action: Action) -> None:
        self.done.append(action)
        if isinstance(action, EnterQueue):
            entry.post(Entered(QueueSettings(music="jazz"), False))

    def ask(self, entry: Entry, action: Action) -> None:
        self.done.append(action)
        self.entry = entry
        if isinstance(action, LoadScenario):
            loaded = bundle(SOURCE) if self.exists else None
            entry.post(ScenarioLoaded(datetime(2026, 11, 24, tzinfo=UTC), loaded, 404, "none"))
        elif isinstance(action, FindQueue):
            entry.post(QueueFound(action.name, 7))

    def forget(self, entry: Entry) -> None:
        """The session is over."""

    def find(self, tenant: int, sounds: tuple[Sound, ...], language: str) -> str | None:
        path = self.folder / f"{'+'.join(sound.text or sound.kind for sound in sounds)}.wav"
        path.write_bytes(wave_header(160) + bytes(160))
        return str(path)

    def record(self, call: str, on: bool) -> None:
        """Not asked for by scenarios."""

    def last(self, kind: type[Action]) -> Action:
        return [action for action in self.done if isinstance(action, kind)][-1]

    def nodes(self) -> list[object]:
        told = [action for action in self.done if isinstance(action, TellStory)]
        return [action.data["node"] for action in told if action.kind == "ivr.node"]


@pytest.fixture
def background(tmp_path: Path) -> FakeBackground:
    return FakeBackground(tmp_path)


@pytest.fixture
def sems(monkeypatch: pytest.MonkeyPatch, background: FakeBackground) -> Iterator[FakeSems]:
    monkeypatch.setattr("sems_apps.sems_background.start", lambda settings: background)
    with FakeSems(ROOT / "sems_apps" / "sems" / "ivr_menu.py", {"home": "/run/kalibri"}) as server:
        yield server
        assert server.errors == []


def heard(call: FakeCall) -> str:
    return " ".join(Path(path).stem for path in call.playing)


def in_menu(sems: FakeSems) -> FakeCall:
    call = sems.invite(HEADERS)
    assert (call.status, heard(call)) == (200, "hello")
    call.play_out()
    assert heard(call) == "menu"
    return call


def test_a_key_cuts_the_menu_short_and_a_look_up_leads_on(sems: FakeSems, background: FakeBackground) -> None:
    call = in_menu(sems)
    call.dtmf(1)
    asked = background.last(AskWorld)
    assert isinstance(asked, AskWorld)
    assert isinstance(asked.question, ev.AskHttp)
    assert background.entry is not None
    background.entry.post(WorldAnswered(asked.question.token, {"value": "5"}))
    assert heard(call) == "bye"
    assert background.nodes() == ["hello", "main", "web", "bye"]


def test_a_scenario_that_does_not_exist_is_refused(sems: FakeSems, background: FakeBackground) -> None:
    background.exists = False
    assert sems.invite(HEADERS).status == 404


def test_an_invite_that_names_no_scenario_is_400(sems: FakeSems) -> None:
    assert sems.invite("X-KS-Arg: tenant=1\r\n").status == 400


def test_the_queue_and_an_agent_who_ends_the_call(sems: FakeSems, background: FakeBackground) -> None:
    call = in_menu(sems)
    call.dtmf(2)
    assert background.last(EnterQueue) == EnterQueue(7)
    assert heard(call) == "jazz"
    assert background.entry is not None
    background.entry.post(OfferMade(5, "sip:101@demo", 20.0))
    call.callee_replies(200, "OK")
    call.callee_bye()
    assert call.stopped
    assert background.nodes()[-1] == "wait"


def test_a_transfer_that_fails_comes_back(sems: FakeSems, background: FakeBackground) -> None:
    call = in_menu(sems)
    call.dtmf(3)
    assert call.callee == "trying"
    call.callee_replies(486, "Busy Here")
    assert heard(call) == "sorry"


def test_a_message_is_asked_of_the_controller(sems: FakeSems, background: FakeBackground) -> None:
    call = in_menu(sems)
    call.dtmf(4)
    assert heard(call) == "hello+beep"
    call.play_out()
    assert background.last(RecordMessage) == RecordMessage(True)
    assert background.entry is not None
    background.entry.post(MessageFailed())
    assert heard(call) == "sorry"


def test_the_caller_hangs_up(sems: FakeSems, background: FakeBackground) -> None:
    call = in_menu(sems)
    call.bye()
    assert call.stopped
    told = [action for action in background.done if isinstance(action, TellStory)]
    assert (told[-1].kind, told[-1].data["node"], told[-1].data["by"]) == ("ivr.end", "main", "caller")
