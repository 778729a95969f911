"""Lamps and presence show calls and phones at whichever proxy they are, and not for ever when that proxy has died."""

from __future__ import annotations

from typing import TypeAlias
from xml.etree import ElementTree

from tests.scenarios.services_lead_calls_elsewhere.test_presence import PIDF, states, watch
from tests.scenarios.two_proxies_serve_one_office.conftest import Office
from tests.support.faults import start, stop
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

Lamp: TypeAlias = list[tuple[str | None, str | None, str | None]]
OFF: Lamp = []
QUICK = Plan.answer(ring_after=0.05, final_after=0.2)
#: A dead proxy counts for 8 s after its last sign of life; the rest is for a slow machine.
GIVEN_UP_SECONDS = 60


def called(state: str, by: str) -> Lamp:
    return [("recipient", state, f"sip:{by}@demo.test")]


def calling(state: str, whom: str) -> Lamp:
    return [("initiator", state, f"sip:{whom}@demo.test")]


class Watcher:
    """A phone that watches lines, each by a subscription of its own."""

    def __init__(self, office: Office, at: Switch, username: str = "105") -> None:
        self.office, self.at, self.username = office, at, username
        self._phones: dict[str, Phone] = {}

    def watch(self, line: str, package: str = "dialog") -> None:
        phone = self.office.caller(self.at, self.username)
        assert watch(phone, f"sip:{line}@demo.test", package).code == 200
        phone.wait_request("NOTIFY")
        self._phones[line] = phone

    def told(self, line: str) -> list[Lamp]:
        """Return all that was told of a line."""
        return [states(notify) for notify in self._phones[line].requests("NOTIFY")]

    def wait(self, line: str, lamp: Lamp, seconds: float = 20) -> None:
        """Wait until a line shows these calls."""
        self._phones[line].wait(lambda: self.told(line)[-1] == lamp, seconds, f"lamp {lamp}")

    def wait_text(self, line: str, text: str, seconds: float = 20) -> None:
        """Wait until the document of a line has this in it."""
        self._phones[line].wait(
            lambda: text.encode() in self._phones[line].requests("NOTIFY")[-1].body, seconds, text
        )

    def basic(self, line: str) -> str | None:
        """Return whether a line is open."""
        top = ElementTree.fromstring(self._phones[line].requests("NOTIFY")[-1].body)
        return top.findtext(f"{PIDF}tuple/{PIDF}status/{PIDF}basic")

    def wait_basic(self, line: str, basic: str, seconds: float = 20) -> None:
        self._phones[line].wait(lambda: self.basic(line) == basic, seconds, basic)


def test_a_lamp_follows_calls_that_run_at_the_other_proxy(office: Office) -> None:
    watcher = Watcher(office, office.here)
    for line in ("101", "102"):
        watcher.watch(line)
        watcher.wait(line, OFF)
    target = office.phone(office.there, "102")
    call = office.phone(office.there, "101").invite("102").wait_ringing()
    watcher.wait("102", called("early", "101"))
    watcher.wait("101", calling("trying", "102"))
    target.wait_call().answer()
    watcher.wait("102", called("confirmed", "101"))
    watcher.wait("101", calling("confirmed", "102"))
    call.wait_answered().hang_up()
    watcher.wait("102", OFF)
    watcher.wait("101", OFF)


def test_a_call_that_runs_already_is_shown(office: Office) -> None:
    office.phone(office.there, "102", QUICK)
    call = office.phone(office.there, "101").call("102")
    here, there = Watcher(office, office.here), Watcher(office, office.there, "104")
    for watcher in (here, there):
        watcher.watch("102")
        watcher.wait("102", called("confirmed", "101"))
    call.hang_up()
    for watcher in (here, there):
        watcher.wait("102", OFF)


def test_both_ends_of_a_call_between_the_proxies_are_shown_at_both(office: Office) -> None:
    watchers = [Watcher(office, office.here), Watcher(office, office.there, "104")]
    for watcher in watchers:
        watcher.watch("101")
        watcher.watch("102")
    target = office.phone(office.there, "102")
    call = office.phone(office.here, "101").invite("102").wait_ringing()
    for watcher in watchers:
        watcher.wait("102", called("early", "101"))
        watcher.wait("101", calling("trying", "102"))
    target.wait_call().answer()
    for watcher in watchers:
        watcher.wait("102", called("confirmed", "101"))
        watcher.wait("101", calling("confirmed", "102"))
    call.wait_answered().hang_up()
    for watcher in watchers:
        watcher.wait("102", OFF)
        watcher.wait("101", OFF)


def test_every_member_of_a_group_blinks_and_who_answers_stays_lit(office: Office) -> None:
    office.set("huntgroup add 600 101 102 103 --mode parallel --ring 30")
    watcher = Watcher(office, office.here)
    phones = {
        name: office.phone(at, name)
        for name, at in (("101", office.here), ("102", office.there), ("103", office.there))
    }
    for name in phones:
        watcher.watch(name)
    call = office.caller(office.here).invite("600").wait_ringing()
    for name in phones:
        watcher.wait(name, called("early", "100"))
    phones["102"].wait_call().answer()
    watcher.wait("102", called("confirmed", "100"))
    watcher.wait("101", OFF)
    watcher.wait("103", OFF)
    call.wait_answered().hang_up()
    watcher.wait("102", OFF)


def test_presence_shows_phones_and_agents_of_the_other_proxy(office: Office) -> None:
    with office.here.connect() as conn:
        conn.execute(
            "INSERT INTO agent (tenant_id, name, account_id)"
            " SELECT tenant_id, 'eve', account_id FROM account WHERE username = '103'"
        )
    office.save()
    watcher = Watcher(office, office.here)
    watcher.watch("103", "presence")
    watcher.wait_basic("103", "closed")
    phone = office.phone(office.there, "103", QUICK)
    watcher.wait_basic("103", "open")
    office.there.ksctl("agent", "login", "-t", office.here.TENANT, "eve")
    watcher.wait_text("103", "agent: free")
    office.there.ksctl("pausereason", "add", "-t", office.here.TENANT, "lunch")
    office.there.ksctl("agent", "pause", "-t", office.here.TENANT, "eve", "lunch")
    watcher.wait_text("103", "away")
    call = office.caller(office.there).call("103")
    watcher.wait_text("103", "on-the-phone")
    call.hang_up()
    phone.unregister()
    watcher.wait_basic("103", "closed")


def test_a_dead_proxy_does_not_leave_lamps_lit(office: Office) -> None:
    office.phone(office.there, "102", QUICK)
    call = office.phone(office.there, "101").call("102")
    lamps, phones = Watcher(office, office.here), Watcher(office, office.here, "104")
    lamps.watch("102")
    phones.watch("102", "presence")
    lamps.wait("102", called("confirmed", "101"))
    phones.wait_basic("102", "open")
    stop(office.there, "kamailio")
    try:
        lamps.wait("102", OFF, GIVEN_UP_SECONDS)
        phones.wait_basic("102", "closed", GIVEN_UP_SECONDS)
    finally:
        start(office.there, "kamailio")
    # The call has outlived its proxy.
    phones.wait_basic("102", "open", GIVEN_UP_SECONDS)
    lamps.wait("102", called("confirmed", "anonymous"), GIVEN_UP_SECONDS)
    call.hang_up()
    lamps.wait("102", OFF)
