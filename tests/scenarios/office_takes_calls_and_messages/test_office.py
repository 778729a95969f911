"""A virtual office from one file: a caller reaches a person, and out of hours her mailbox, her e-mail and her lamp."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support.call_centre import CallCentre
from tests.support.ivr_centre import IvrCentre, install_prompts
from tests.support.postman import Postman
from tests.support.rtp_peer import known_payload
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan

NUMBER = "74957776510"
SOURCE = f"""\
name: moscow
number: "{NUMBER}"
language: ru
greeting: p-hello
hours: mon-sun 00:00-24:00
closed: closed
menu:
  say: p-menu
  keys: {{1: "651", 2: "652", "*": extension}}
operator: "652"
extensions:
  - {{name: "651", display_name: Anna, mail: anna@office.example, ring_seconds: 10}}
  - {{name: "652", display_name: Boris}}
voicemail: {{mailbox: "651", mail: office@office.example}}
"""


@pytest.fixture
def centre(live_centre: CallCentre) -> IvrCentre:
    install_prompts(live_centre.switch)
    return IvrCentre(live_centre)


@pytest.fixture
def passwords(centre: IvrCentre, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The office is there; these are the passwords of its phones."""
    file = tmp_path / "moscow.yaml"
    file.write_text(SOURCE, encoding="utf-8")
    centre.switch.ksctl("office", "create", str(file), "-t", "demo", "--dry-run")
    made = centre.switch.ksctl_json("office", "create", str(file), "-t", "demo")
    centre.switch.save()
    yield {one["name"]: one["password"] for one in made if one["kind"] == "account"}
    centre.switch.ksctl("office", "rm", "moscow", "-t", "demo")
    centre.switch.save()
    for table in ("account", "mailbox", "schedule"):
        column = "username" if table == "account" else "name"
        left = centre.switch.rows(f"SELECT FROM {table} WHERE {column} IN ('651', '652', 'moscow')")
        assert left == [], table


def summaries(phone: Phone) -> list[str]:
    """What the phone was told of its mailbox, each once."""
    told = {notify.cseq.number: notify.body.decode() for notify in phone.requests("NOTIFY")}
    return [brief(text) for text in told.values()]


def brief(text: str) -> str:
    """Return "yes 1/0" of a summary."""
    waiting, counts = re.search(r"Messages-Waiting: (\w+)", text), re.search(r"Voice-Message: (\S+)", text)
    return f"{waiting[1]} {counts[1]}" if waiting and counts else text


def sound_of(letter: EmailMessage, folder: Path) -> float:
    """Return how long the MP3 of a letter plays, in seconds."""
    [part] = letter.iter_attachments()
    assert part.get_content_type() == "audio/mpeg"
    path = folder / "message.mp3"
    path.write_bytes(part.get_content())
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-ar", "8000", "-ac", "1", "-"]
    decoded = subprocess.run(command, capture_output=True, check=True).stdout
    assert (
        max(
            abs(int.from_bytes(decoded[at : at + 2], "little", signed=True))
            for at in range(0, len(decoded), 2)
        )
        > 1000
    )
    return len(decoded) / 16000


def test_a_call_a_message_a_letter_and_a_lamp(
    centre: IvrCentre, passwords: dict[str, str], postman: Postman, tmp_path: Path
) -> None:
    switch = centre.switch
    anna = centre.centre.phone("651", password=passwords["651"], media=True)
    anna.plan = Plan.answer()
    anna.watches = True
    anna.register()
    headers = [("Event", "message-summary"), ("Accept", "application/simple-message-summary")]
    assert anna.request("SUBSCRIBE", "sip:651@demo.test", headers=headers).code == 200
    anna.wait(lambda: summaries(anna)[-1:] == ["no 0/0"], 20, "the mailbox is empty")
    stranger = centre.centre.caller("100")
    assert stranger.request("SUBSCRIBE", "sip:651@demo.test", headers=headers).code == 403

    # In hours: greeting, menu, a key, and they talk.
    call = centre.call(f"sip:{NUMBER}@demo.test")
    centre.hears(call, "p-hello", "p-menu")
    call.media.press("1")
    talk = anna.wait_call().wait_answered()
    said, answered = known_payload(1, 5), known_payload(1, 6)
    call.media.play(said)
    talk.media.play(answered)
    talk.phone.wait(lambda: any(p.payload in set(said) for p in talk.media.received), 20, "Anna hears")
    call.phone.wait(
        lambda: any(p.payload in set(answered) for p in call.media.received), 20, "the caller hears"
    )
    call.hang_up()
    talk.wait_ended()

    # Who dials her extension reaches her too.
    call = centre.call(f"sip:{NUMBER}@demo.test")
    centre.hears(call, "p-hello", "p-menu")
    call.media.press("*")
    centre.hears(call, "ivr-enter-extension")
    for key in "651":
        call.media.press(key)
    second = anna.wait_call(2).wait_answered()
    second.hang_up()
    call.wait_ended()

    # Out of hours: the voice mail, and what follows from it.
    day = (datetime.now(UTC) + timedelta(days=2)).strftime("%a").lower()
    switch.ksctl("schedule", "set", "moscow", "-t", "demo", "--hours", f"{day} 10:00-10:01")
    call = centre.call(f"sip:{NUMBER}@demo.test")
    centre.hears(call, "closed", "ivr-leave-message", "beep", seconds=60)
    call.media.play(known_payload(3, 9))
    call.media.wait_played()
    call.media.press("#")
    centre.hears(call, "ivr-message-saved")
    call.wait_ended()
    anna.wait(lambda: summaries(anna)[-1] == "yes 1/0", 120, "the lamp is on")
    anna.wait(lambda: postman.letters, 60, "the letter came")
    [letter] = postman.letters
    assert postman.to == [["anna@office.example", "office@office.example"]]
    assert letter["Subject"].startswith("Voice message from 100 for 651")
    assert 2.5 < sound_of(letter, tmp_path) < 30

    [message] = switch.ksctl_json("voicemail", "list", "651", "-t", "demo", "--new")
    assert (message["caller"], message["mailbox"], message["heard_at"]) == ("100", "651", None)
    path = switch.ksctl("voicemail", "play", message["recording_id"], "-t", "demo", "--path").strip()
    assert Path(path).read_bytes() == (tmp_path / "message.mp3").read_bytes()
    anna.wait(lambda: summaries(anna)[-1] == "no 0/1", 20, "the lamp is out")
    switch.wait(
        lambda: switch.ksctl_json("voicemail", "list", "651", "-t", "demo")[0]["letter"] == "sent",
        20,
        "it is noted that the letter was sent",
    )
    switch.ksctl("voicemail", "rm", message["recording_id"], "-t", "demo")
    anna.wait(lambda: summaries(anna)[-1] == "no 0/0", 20, "the message is gone")
    assert len(postman.letters) == 1
