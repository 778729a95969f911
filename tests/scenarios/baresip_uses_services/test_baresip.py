"""A phone that is not of our making uses the services: forwarding, hold and transfer, pickup, park."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

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
