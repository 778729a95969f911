"""Voice mail without a database: what is asked, in which order, and what is told until it is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from kalibri.config import Config
from kalibri.pin import hash_pin
from sems_apps.events import Event
from sems_apps.host.loop import Loop
from sems_apps.host.mailbox_port import MOST_RETRIES, MailboxPort
from sems_apps.host.ports import Entry
from sems_apps.mailbox_actions import (
    BoxClosed,
    BoxOpened,
    BoxRefusal,
    BoxRefused,
    FetchMessage,
    MessageMissing,
    MessageReady,
    NoteHeard,
    OpenBox,
    RemoveMessages,
)
from tests.support.fake_link import FakeLink, HandLoop

NOW = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
CONTENTS = {
    "language": "en",
    "zone": "Europe/Moscow",
    "messages": [{"id": "m1", "caller": "100", "left_at": "2026-11-22T10:00:00+00:00", "is_new": True}],
}
AWAY = BoxRefused(BoxRefusal.AWAY)
WRONG = BoxRefused(BoxRefusal.WRONG)


class Desk:
    """A port with one call."""

    payload_type = 8

    def __init__(self, home: Path) -> None:
        self.loop, self.link = HandLoop(), FakeLink()
        self.entry = Entry("c1", 1, 0, "100")
        self.events: list[Event] = []
        #: Work that waits for a worker.
        self.work: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
        self.config = replace(Config(home=home), node_name="n1")
        self.port = MailboxPort(
            cast(Loop, self.loop), self.config, "n1-media-1", [self.link], self.submit, lambda: NOW
        )

    def post(self, event: Event) -> None:
        self.events.append(event)

    def submit(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.work.append((work, done))

    def do_work(self) -> None:
        """Let the workers do what waits."""
        pending, self.work = self.work, []
        for work, done in pending:
            done(work())

    def told(self) -> list[Event]:
        """Return what the call was told since it was asked last."""
        events, self.events = self.events, []
        return events


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_who_is_known_sees_his_messages_by_the_clock_of_the_tenant(desk: Desk) -> None:
    desk.port.perform(desk, OpenBox("101", True))
    desk.link.answer("contents", (json.dumps(CONTENTS),))
    [opened] = desk.told()
    assert isinstance(opened, BoxOpened)
    assert (opened.language, opened.now.hour, opened.messages[0].caller) == ("en", 21, "100")
    desk.port.perform(desk, OpenBox("101", True))
    desk.link.fail("contents")
    assert desk.told() == [AWAY]


def test_a_pin_is_counted_then_compared_then_forgotten(desk: Desk) -> None:
    kept = hash_pin("4711")
    desk.port.perform(desk, OpenBox("101", False))
    desk.link.answer("language", ("en",))
    assert desk.told() == [BoxClosed("en")]
    desk.port.perform(desk, OpenBox("101", False, "4711"))
    desk.link.answer("try", (json.dumps({"pin_hash": kept}),))
    assert not desk.link.waiting  # not before it was compared
    desk.do_work()
    desk.link.answer("right", ("t",))
    desk.link.answer("contents", (json.dumps(CONTENTS),))
    assert isinstance(desk.told()[0], BoxOpened)
    desk.port.perform(desk, OpenBox("101", False, "4712"))
    desk.link.answer("try", (json.dumps({"pin_hash": kept}),))
    desk.do_work()
    assert desk.told() == [WRONG]
    assert not desk.link.waiting


@pytest.mark.parametrize("refused", ["wrong", "locked"])
def test_what_the_database_refuses_is_not_compared(desk: Desk, refused: str) -> None:
    desk.port.perform(desk, OpenBox("101", False, "4711"))
    desk.link.answer("try", (json.dumps({"refused": refused}),))
    assert desk.told() == [BoxRefused(BoxRefusal(refused))]
    assert not desk.work


@pytest.mark.parametrize(("step", "pin"), [("language", ""), ("try", "4711")])
def test_without_a_database_nobody_gets_in(desk: Desk, step: str, pin: str) -> None:
    desk.port.perform(desk, OpenBox("101", False, pin))
    desk.link.fail(step)
    assert desk.told() == [AWAY]


def test_a_pin_that_was_changed_meanwhile_opens_nothing(desk: Desk) -> None:
    desk.port.perform(desk, OpenBox("101", False, "4711"))
    desk.link.answer("try", (json.dumps({"pin_hash": hash_pin("4711")}),))
    desk.do_work()
    desk.link.answer("right", ("f",))
    assert desk.told() == [WRONG]


def test_one_message_is_made_at_a_time_and_the_latest_wish_counts(desk: Desk) -> None:
    for message in ("m1", "m2", "m3"):
        desk.port.perform(desk, FetchMessage("101", message))
    assert desk.link.names() == ["files"]
    desk.link.answer("files", (json.dumps({"host": "n9", "files": []}),))
    desk.do_work()
    assert desk.told() == [MessageMissing("m1", "no sound is kept of it")]
    assert [params["message"] for _, params in desk.link.sent] == ["m1", "m3"]
    desk.link.answer("files")
    assert desk.told() == [MessageMissing("m3", "the message is gone")]
    desk.port.perform(desk, FetchMessage("101", "m2"))
    desk.link.fail("files")
    assert desk.told() == [MessageMissing("m2", "the database does not answer")]


def test_a_sound_goes_with_the_call_also_when_it_comes_late(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(config: Config, facts: object, payload_type: int, target: Path) -> str:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(f"{target.name}.{payload_type}").write_bytes(b"sound")
        return "mp3"

    monkeypatch.setattr("sems_apps.host.mailbox_port.prepare", prepare)
    desk.port.perform(desk, FetchMessage("101", "m1"))
    desk.link.answer("files", ("{}",))
    desk.do_work()
    [ready] = desk.told()
    assert isinstance(ready, MessageReady)
    file = Path(f"{ready.path}.8")
    assert file.read_bytes() == b"sound"
    assert file.is_relative_to(desk.config.prompt_directory / "messages" / "n1-media-1")
    desk.link.answer("played")
    desk.port.perform(desk, FetchMessage("101", "m1"))
    assert desk.told() == [ready]  # it is not made twice
    desk.port.perform(desk, FetchMessage("101", "m2"))
    desk.link.answer("files", ("{}",))
    desk.port.forget(desk.entry)
    assert file.exists()
    desk.do_work()
    desk.do_work()
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("action", "statement", "params"),
    [
        (NoteHeard("101", "m1"), "heard", {"message": "m1"}),
        (RemoveMessages("101", ("m1", "m2")), "remove", {"messages": "{m1,m2}"}),
    ],
)
def test_what_was_done_is_told_until_the_database_has_it_and_not_for_ever(
    desk: Desk, action: NoteHeard | RemoveMessages, statement: str, params: dict[str, str]
) -> None:
    desk.port.perform(desk, action)
    desk.link.fail(statement)
    desk.port.forget(desk.entry)  # the call is over, the wish is not
    desk.loop.turn()
    desk.link.answer(statement, ("t",))
    assert not desk.loop.later
    _, sent = desk.link.sent[-1]
    assert params.items() <= sent.items()
    assert (sent["by"], sent["mailbox"], sent["tenant"]) == ("telephone 100", "101", 1)
    desk.port.perform(desk, action)
    for _ in range(MOST_RETRIES):
        desk.link.fail(statement)
        desk.loop.turn()
    assert not desk.link.waiting
