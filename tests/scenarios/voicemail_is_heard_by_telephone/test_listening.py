"""A subscriber listens to his messages by telephone: real proxy, media host, nodes; what is heard, octet by octet."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from callcore import speech
from callcore.g711 import alaw_encode
from kalibri import db
from kalibri.services import ivr
from tests.support.baresip import tone_share
from tests.support.call_centre import CallCentre
from tests.support.ivr_centre import IvrCentre, audio, install_prompts
from tests.support.rtp_peer import FRAME_BYTES, cut_frames
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone

PIN = "4711"
#: What the two callers say: a tone each.
TONES = (400, 700)
SPOKEN_SECONDS = 2.0
MENU = "mailbox-menu"
#: Of the end of each sound, when another one follows at once.
LOST_FRAMES = 5
#: What would be heard again and again, and need not be that long here.
LONG = (MENU, "mailbox-deleted", "mailbox-kept", "mailbox-unplayable", "mailbox-refused", "mailbox-locked")
VOICEMAIL = """
nodes:
  take: {kind: record, say: p-hello, mailbox: "{called}", max_seconds: 60, next: bye, on_failure: bye}
  bye: {kind: hangup, say: p-bye}
"""


@pytest.fixture(scope="module")
def messages(live_switch: Any) -> Iterator[None]:
    """The mailbox 103 takes calls, with few words; nothing of it is left afterwards."""
    install_prompts(live_switch)
    install_prompts(live_switch, LONG)
    with db.connect_tool(live_switch.config, application_name="test") as conn:
        tenant = live_switch.tenant_id
        ivr.add(conn, live_switch.config, tenant_id=tenant, name="voicemail", source=VOICEMAIL)
    live_switch.ksctl("account", "service", "forward", "-t", "demo", "103", "always", "voicemail")
    live_switch.save()
    yield
    with live_switch.connect() as conn:
        conn.execute("DELETE FROM account_forward")
        conn.execute("DELETE FROM mailbox_phone")
    for name in LONG:
        live_switch.ksctl("prompt", "rm", name, "-t", "demo")
    live_switch.save()


@pytest.fixture
def centre(live_centre: CallCentre, messages: None) -> Iterator[IvrCentre]:
    """The instance; mailboxes are empty before and after."""
    made = IvrCentre(live_centre)
    _empty(made)
    yield made
    _empty(made)


def _empty(centre: IvrCentre) -> None:
    for message in listed(centre):
        centre.switch.ksctl("voicemail", "rm", message["recording_id"], "-t", "demo")


def listed(centre: IvrCentre) -> list[dict[str, Any]]:
    """Return the messages of 103, the oldest first."""
    found: list[dict[str, Any]] = centre.switch.ksctl_json("voicemail", "list", "103", "-t", "demo")
    return found[::-1]


def tone(hz: int) -> list[bytes]:
    samples = [round(9000 * math.sin(2 * math.pi * hz * n / 8000)) for n in range(int(8000 * SPOKEN_SECONDS))]
    return cut_frames(alaw_encode(_array(samples)).tobytes())


def _array(samples: Sequence[int]) -> Any:
    import numpy as np

    return np.array(samples, np.int16)


def leave(centre: IvrCentre, *tones: int) -> list[dict[str, Any]]:
    """Let 100 leave messages; return them as they are listed, the oldest first."""
    for number, hz in enumerate(tones, len(listed(centre)) + 1):
        call = centre.call("sip:103@demo.test", username="100")
        centre.hears(call, "p-hello", "beep", seconds=60)
        call.media.play(tone(hz))
        call.media.wait_played()
        call.media.press("#")
        call.wait_ended()
        centre.switch.wait(lambda count=number: len(listed(centre)) >= count, 90, "the message is stored")
    return listed(centre)


def played(centre: IvrCentre, message: dict[str, Any]) -> bytes:
    """Return a message as the caller must hear it, made of its MP3 without help of ours."""
    config = centre.switch.config
    [file] = centre.switch.rows(
        "SELECT path FROM recording_file WHERE recording_id = %s AND name IN ('wav', 'mp3')"
        " ORDER BY name DESC LIMIT 1",
        [message["recording_id"]],
    )
    path = Path(config.recording_directory) / file["path"]
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", "8000", "-f", "alaw", "-"]
    sound = subprocess.run(command, capture_output=True, check=True).stdout
    return sound[: len(sound) // FRAME_BYTES * FRAME_BYTES]


def is_tone(sound: bytes, hz: int) -> bool:
    """Tell whether a message is what was said into it."""
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "alaw", "-ar", "8000", "-i", "-", "-f", "s16le", "-"],
        input=sound,
        capture_output=True,
        check=True,
    ).stdout
    samples = [int.from_bytes(raw[at : at + 2], "little", signed=True) for at in range(0, len(raw), 2)]
    return tone_share(samples[4000:12000], hz) > 0.8


def header(number: int, message: dict[str, Any], language: str = "ru") -> tuple[str, ...]:
    """Return what is said before a message."""
    left_at = datetime.fromisoformat(message["left_at"])
    now = datetime.now(UTC)  # the tenant has set no zone
    said = ("mailbox-number", *speech.number(number, language), *speech.moment(left_at, now, language))
    return (*said, "mailbox-from", *speech.digits(message["caller"], language))


def most(sound: bytes) -> bytes:
    """Return a sound without its end: what comes next may begin while a busy node still has frames of it."""
    whole = len(sound) // FRAME_BYTES - LOST_FRAMES
    return sound[: whole * FRAME_BYTES]


def hears(centre: IvrCentre, call: Call, *names: str, language: str = "ru", times: int = 1) -> None:
    """Wait until the caller has heard these prompts, one after the other, so many times."""
    wanted = most(centre.sound(names, language))
    call.phone.wait(lambda: audio(call).count(wanted) >= times, 40, f"hears {' '.join(names)} {times} times")


def hears_message(centre: IvrCentre, call: Call, message: dict[str, Any]) -> None:
    sound = most(played(centre, message))
    call.phone.wait(lambda: sound in audio(call), 40, f"hears message {message['recording_id']}")


def order(centre: IvrCentre, call: Call, *sounds: bytes | tuple[str, ...]) -> None:
    """Tell that these were heard one behind the other."""
    heard, at = audio(call), 0
    for sound in sounds:
        wanted = most(sound if isinstance(sound, bytes) else centre.sound(sound))
        found = heard.find(wanted, at)
        assert found >= 0, f"not heard behind octet {at}: {sound if isinstance(sound, tuple) else 'message'}"
        at = found + len(wanted)


def lamp(phone: Phone) -> str:
    """Return what the phone was told last: "yes 1/0", and what its message key calls."""
    told = phone.requests("NOTIFY")
    if not told:
        return ""
    text = told[-1].body.decode()
    found = [re.search(rf"{name}: (\S+)", text) for name in ("Messages-Waiting", "Voice-Message")]
    assert all(found), text
    assert "Message-Account: sip:*98@demo.test" in text
    return " ".join(match[1] for match in found if match)


def watches(centre: IvrCentre) -> Phone:
    """Return the phone of 103, which watches its own mailbox."""
    phone = centre.centre.phone("103", media=True)
    phone.watches = True
    phone.register()
    headers = [("Event", "message-summary"), ("Accept", "application/simple-message-summary")]
    assert phone.request("SUBSCRIBE", "sip:103@demo.test", headers=headers).code == 200
    return phone


def lamp_is(phone: Phone, expected: str) -> None:
    phone.wait(lambda: lamp(phone) == expected, 30, f"the lamp is {expected}: {lamp(phone)}")


def listens(call: Call) -> Call:
    """Let a phone send silence: one that sends nothing is asked whether it is still there."""
    call.media.play([b"\xd5" * FRAME_BYTES], repeat=True)
    return call


def story(centre: IvrCentre, call: Call) -> list[dict[str, Any]]:
    """Return what the story of an ended call says of the mailbox."""

    def told() -> list[dict[str, Any]] | None:
        rows = centre.switch.call_rows(call.call_id)
        events = centre.switch.events(rows[0]["call_id"]) if rows else []
        found = [event for event in events if event["kind"].startswith("mailbox.")]
        return found if found and found[-1]["kind"] == "mailbox.end" else None

    return centre.switch.wait(told, 30, "the story of the mailbox") or []


def kinds(centre: IvrCentre, call: Call) -> list[str]:
    return [event["kind"].partition(".")[2] for event in story(centre, call)]


def test_messages_are_heard_kept_and_deleted_by_keys(centre: IvrCentre) -> None:
    first, second = leave(centre, *TONES)
    sounds = [played(centre, first), played(centre, second)]
    assert [is_tone(sound, hz) for sound, hz in zip(sounds, TONES, strict=True)] == [True, True]
    phone = watches(centre)
    lamp_is(phone, "yes 2/0")

    call = listens(phone.call("sip:*98@demo.test"))
    two_new = ("mailbox-you-have", "number-2", "message-new-few")
    hears(centre, call, *two_new)
    hears_message(centre, call, first)
    lamp_is(phone, "yes 1/1")
    hears(centre, call, MENU)
    call.media.press("2")
    hears(centre, call, "mailbox-deleted")
    hears_message(centre, call, second)
    lamp_is(phone, "no 0/2")
    call.media.press("9")
    hears(centre, call, *header(1, first), "mailbox-is-deleted")
    call.media.press("2")
    hears(centre, call, "mailbox-kept")
    call.media.press("2")
    hears(centre, call, "mailbox-deleted", times=2)
    order(
        centre, call, two_new, header(1, first), sounds[0], (MENU,), ("mailbox-deleted",), header(2, second)
    )
    order(centre, call, header(2, second), sounds[1], (*header(1, first), "mailbox-is-deleted"))
    assert len(listed(centre)) == 2  # until he hangs up
    call.hang_up()
    lamp_is(phone, "no 0/1")
    [left] = listed(centre)
    assert (left["recording_id"], left["heard_by"]) == (second["recording_id"], "telephone 103")
    told = kinds(centre, call)
    assert told[:3] == ["open", "message", "heard"]
    assert told[-2:] == ["removed", "end"]
    assert [told.count(kind) for kind in ("deleted", "kept", "heard")] == [2, 1, 2]
    removed = centre.switch.rows(
        "SELECT kind, by FROM recording_event WHERE recording_id = %s ORDER BY event_id",
        [first["recording_id"]],
    )
    assert [row["kind"] for row in removed if row["by"] == "telephone 103"] == ["play", "heard", "remove"]

    # What was heard is an old message now, and is heard again.
    call = listens(phone.call("sip:*98@demo.test"))
    hears(centre, call, "mailbox-you-have", "number-1-n", "message-old-one")
    hears_message(centre, call, second)
    call.media.press("0")
    hears(centre, call, "goodbye")
    call.wait_ended()
    lamp_is(phone, "no 0/1")


def test_who_hangs_up_in_the_middle_has_not_heard_it(centre: IvrCentre) -> None:
    [message] = leave(centre, TONES[0])
    beginning = played(centre, message)[: 10 * FRAME_BYTES]
    call = listens(centre.call("sip:*98@demo.test", username="103"))
    call.phone.wait(lambda: beginning in audio(call), 30, "the message begins")
    call.hang_up()
    assert "heard" not in kinds(centre, call)
    assert listed(centre)[0]["heard_at"] is None

    # A file that is on another machine is told, and stays new.
    centre.switch.rows(
        "UPDATE recording SET host = 'elsewhere' WHERE recording_id = %s RETURNING 1",
        [message["recording_id"]],
    )
    call = listens(centre.call("sip:*98@demo.test", username="103"))
    hears(centre, call, *header(1, message))
    hears(centre, call, "mailbox-unplayable", MENU)
    call.hang_up()
    [why] = [event["data"]["why"] for event in story(centre, call) if event["kind"] == "mailbox.unplayable"]
    assert why == "it lies on elsewhere"
    assert listed(centre)[0]["heard_at"] is None
    centre.switch.rows(
        "UPDATE recording SET host = %s WHERE recording_id = %s RETURNING 1",
        [centre.switch.config.node_name, message["recording_id"]],
    )


def press(call: Call, keys: str) -> None:
    for key in keys:
        call.media.press(key)


def test_a_pin_opens_it_from_elsewhere_and_wrong_ones_lock_it(centre: IvrCentre, tmp_path: Path) -> None:
    switch = centre.switch
    file = tmp_path / "pin"
    file.write_text(f"{PIN}\n")
    access = switch.ksctl_json(
        *("voicemail", "phone", "103", "-t", "demo", "--pin-file", str(file), "--language", "en")
    )
    assert (access["has_pin"], access["language"]) == (True, "en")
    [row] = switch.rows("SELECT pin_hash FROM mailbox_phone WHERE name = '103'")
    assert PIN not in row["pin_hash"]

    call = centre.call("sip:*98103@demo.test", username="100")
    hears(centre, call, "mailbox-enter-pin", language="en")
    press(call, "1234#")
    hears(centre, call, "mailbox-wrong-pin", "mailbox-enter-pin", language="en")
    press(call, f"{PIN}#")
    hears(centre, call, "mailbox-empty", language="en")
    hears(centre, call, "goodbye", language="en")
    call.wait_ended()

    # Through a scenario: whoever calls gives extension and PIN, and comes back to the scenario.
    uri = centre.scenario(
        """
language: en
nodes:
  who: {kind: collect, say: p-menu, into: box, max_digits: 3, wait_seconds: 60, next: box, on_failure: bye}
  box: {kind: mailbox, mailbox: "{box}", next: bye, on_failure: sorry}
  bye: {kind: hangup, say: p-bye}
  sorry: {kind: hangup, say: p-sorry}
"""
    )
    call = centre.call(uri, username="101")
    hears(centre, call, "p-menu")
    press(call, "103")
    hears(centre, call, "mailbox-enter-pin", language="en")
    press(call, f"{PIN}#")
    hears(centre, call, "mailbox-empty", language="en")
    hears(centre, call, "p-bye")
    call.wait_ended()
    assert centre.path(call) == ["who", "box", "bye"]

    # Three wrong ones a call; after the fifth nobody gets in, not even with the right one.
    for tries in (3, 2):
        call = centre.call("sip:*98103@demo.test", username="100")
        hears(centre, call, "mailbox-enter-pin", language="en")
        for number in range(1, tries + 1):
            press(call, "000#")
            if number < 3:
                hears(centre, call, "mailbox-wrong-pin", language="en", times=number)
        if tries == 3:
            hears(centre, call, "mailbox-refused", language="en")
            call.wait_ended()
    press(call, f"{PIN}#")
    hears(centre, call, "mailbox-locked", language="en")
    call.wait_ended()
    reasons = [event["data"]["reason"] for event in story(centre, call) if event["kind"] == "mailbox.refused"]
    assert reasons == ["wrong", "wrong", "locked"]
    access = switch.ksctl_json("voicemail", "phone", "103", "-t", "demo", "--unlock")
    assert (access["failures"], access["locked_until"]) == (0, None)

    # A mailbox that there is not asks for a PIN like any other; who gives none takes the failure branch.
    call = centre.call(uri, username="101")
    hears(centre, call, "p-menu")
    press(call, "999")
    hears(centre, call, "mailbox-enter-pin", language="en")
    press(call, "*")
    hears(centre, call, "goodbye", language="en")
    hears(centre, call, "p-sorry")
    call.wait_ended()
