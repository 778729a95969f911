"""A phone that is not of our making uses the services: forwarding, hold and transfer, pickup, park."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.baresip import Baresip, tone_share, wave_samples
from tests.support.call_centre import CallCentre
from tests.support.net_loop import NetLoop
from tests.support.switch import Switch

MakePhone = Callable[..., Baresip]
#: Each phone sends a tone of its own.
TONES = {"100": 400, "101": 700, "102": 1000}
SECOND = 16_000


@pytest.fixture
def phones(live_centre: CallCentre, net_loop: NetLoop, tmp_path: Path) -> Iterator[MakePhone]:
    """Return a maker of registered baresips; services are gone afterwards."""
    switch = live_centre.switch
    with ExitStack() as stack:

        def make(username: str, answer: str = "manual") -> Baresip:
            phone = stack.enter_context(
                Baresip(
                    net_loop,
                    tmp_path / username,
                    username,
                    switch.DOMAIN,
                    proxy=switch.address,
                    password=f"pw{username}",
                    answer=answer,
                    tone_hz=TONES[username],
                )
            )
            phone.wait_registered(30)
            return phone

        yield make
    with switch.connect() as conn:
        for table in ("account_service", "account_forward"):
            conn.execute(f"DELETE FROM {table}".encode())
    switch.save()


def hears(switch: Switch, phone: Baresip) -> None:
    """Wait until a second more of sound has come in the latest call."""
    size = phone.recording().stat().st_size
    switch.wait(lambda: phone.recording().stat().st_size > size + SECOND, 30, f"sound at {phone.username}")


def heard(phone: Baresip, hz: int) -> bool:
    """Tell whether the last half second of the latest call, which is over, was this tone."""
    return tone_share(wave_samples(phone.recording())[-6000:-2000], hz) > 0.8


def test_forwarding_is_set_and_followed(live_switch: Switch, phones: MakePhone) -> None:
    caller, forwards, other = phones("100"), phones("101"), phones("102", "auto")
    forwards.dial("*72102")
    forwards.wait_event("CALL_CLOSED", timeout=30)  # a voice has said that it is on
    live_switch.save()
    caller.dial("101")
    caller.wait_event("CALL_ESTABLISHED", timeout=30)
    other.wait_event("CALL_ESTABLISHED", timeout=30)
    hears(live_switch, caller)
    hears(live_switch, other)
    caller.hang_up()
    other.wait_event("CALL_CLOSED")
    assert heard(caller, TONES["102"])
    assert heard(other, TONES["100"])
    assert not [event for event in forwards.events if event["type"] == "CALL_INCOMING"]


def test_do_not_disturb_is_set_and_ended(live_switch: Switch, phones: MakePhone) -> None:
    caller, called = phones("100"), phones("101")
    called.dial("*78")
    called.wait_event("CALL_CLOSED", timeout=30)  # a voice has said that it is on
    live_switch.save()
    caller.dial("101")
    refused = caller.wait_event("CALL_CLOSED", timeout=30)
    assert "480" in refused["param"]
    assert not [event for event in called.events if event["type"] == "CALL_INCOMING"]
    called.dial("*79")
    called.wait_event("CALL_CLOSED", 2, timeout=30)
    live_switch.save()
    caller.dial("101")
    called.wait_event("CALL_INCOMING", timeout=30)
    caller.hang_up()
    called.wait_event("CALL_CLOSED", 3, timeout=30)


VOICEMAIL = """
nodes:
  take: {kind: record, say: moment, mailbox: "{called}", max_seconds: 60, next: bye, on_failure: bye}
  bye: {kind: hangup, say: ivr-message-saved}
"""


def test_a_message_is_left_and_heard_with_keys(
    live_switch: Switch, phones: MakePhone, tmp_path: Path
) -> None:
    switch, file = live_switch, tmp_path / "voicemail.yaml"
    file.write_text(VOICEMAIL)
    switch.ksctl("ivr", "add", "voicemail", str(file), "-t", "demo")
    switch.ksctl("account", "service", "forward", "-t", "demo", "101", "always", "voicemail")
    switch.save()
    caller, called = phones("100"), phones("101")

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = switch.ksctl_json("voicemail", "list", "101", "-t", "demo")
        return found

    before = len(listed())
    caller.dial("101")
    caller.wait_event("CALL_ESTABLISHED", timeout=30)
    switch.wait(lambda: has_recorded(switch, 3.0), 60, "three seconds of the message are recorded")
    caller.command("sndcode", "#")
    caller.wait_event("CALL_CLOSED", timeout=30)
    switch.wait(lambda: len(listed()) > before, 90, "the message is stored")
    [message] = [one for one in listed() if one["heard_at"] is None]
    assert message["caller"] == "100"

    called.dial("*98")
    called.wait_event("CALL_ESTABLISHED", timeout=30)
    switch.wait(lambda: hears_tone(called, TONES["100"]), 60, "the message is heard")
    called.command("sndcode", "2")
    called.command("sndcode", "0")
    called.wait_event("CALL_CLOSED", timeout=30)
    switch.wait(lambda: len(listed()) == before, 30, "the message is deleted")


def has_recorded(switch: Switch, seconds: float) -> bool:
    """Tell whether the latest call has been recorded for so long."""
    [call] = switch.rows("SELECT call_id FROM call ORDER BY started_at DESC LIMIT 1")
    began = [event["at"] for event in switch.events(call["call_id"]) if event["kind"] == "recording.started"]
    return bool(began) and (datetime.now(UTC) - began[0]).total_seconds() > seconds


def hears_tone(phone: Baresip, hz: int) -> bool:
    """Tell whether half a second of what has come so far is this tone."""
    data = phone.recording().read_bytes()[44:]  # its header tells no length before the call is over
    samples = list(struct.unpack(f"<{len(data) // 2}h", data[: len(data) // 2 * 2]))
    return any(
        tone_share(samples[start : start + 4000], hz) > 0.8 for start in range(0, len(samples) - 4000, 2000)
    )


def test_hold_and_blind_transfer(live_switch: Switch, phones: MakePhone) -> None:
    caller, agent, other = phones("100"), phones("101", "auto"), phones("102", "auto")
    caller.dial("101")
    agent.wait_event("CALL_ESTABLISHED", timeout=30)
    hears(live_switch, caller)
    agent.command("hold")
    agent.command("transfer", "sip:102@demo.test")
    other.wait_event("CALL_ESTABLISHED", timeout=30)
    caller.wait_event("CALL_ESTABLISHED", 2, timeout=30)
    hears(live_switch, other)
    hears(live_switch, caller)
    other.hang_up()
    caller.wait_event("CALL_CLOSED", 2, timeout=30)
    assert heard(other, TONES["100"])
    assert heard(caller, TONES["102"])


def test_pickup(live_switch: Switch, phones: MakePhone) -> None:
    for name in ("101", "102"):
        live_switch.ksctl("account", "service", "set", "-t", "demo", name, "--pickup-group", "desk")
    live_switch.save()
    caller, called, colleague = phones("100"), phones("101"), phones("102", "auto")
    caller.dial("101")
    called.wait_event("CALL_INCOMING", timeout=30)
    colleague.dial("**101")
    colleague.wait_event("CALL_ESTABLISHED", timeout=30)
    caller.wait_event("CALL_ESTABLISHED", timeout=30)
    called.wait_event("CALL_CLOSED", timeout=30)
    hears(live_switch, caller)
    hears(live_switch, colleague)
    caller.hang_up()
    colleague.wait_event("CALL_CLOSED", 2, timeout=30)  # its call to the code was the first
    assert heard(caller, TONES["102"])
    assert heard(colleague, TONES["100"])


def test_park_and_take_back(live_switch: Switch, phones: MakePhone) -> None:
    caller, parker, other = phones("100"), phones("101", "auto"), phones("102")
    caller.dial("101")
    parker.wait_event("CALL_ESTABLISHED", timeout=30)
    hears(live_switch, caller)
    parker.command("transfer", "sip:*713@demo.test")
    caller.wait_event("CALL_ESTABLISHED", 2, timeout=30)
    (waiting,) = live_switch.wait(
        lambda: live_switch.ksctl_json("call", "parked", "-t", "demo"), 30, "the call is parked"
    )
    assert (waiting["slot"], waiting["parker"]) == (3, "101")
    hears(live_switch, caller)  # music
    other.dial("*713")
    other.wait_event("CALL_ESTABLISHED", timeout=30)
    hears(live_switch, other)
    hears(live_switch, caller)
    other.hang_up()
    caller.wait_event("CALL_CLOSED", 2, timeout=30)
    assert heard(other, TONES["100"])
    assert heard(caller, TONES["102"])
