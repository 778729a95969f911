"""A broadcast with real proxy, media hosts and engine: each answer, each refusal, each key; processes killed."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from callcore.attempt import Outcome
from tests.scenarios.campaign_dials_everybody_once.conftest import outcomes, wait_for
from tests.support.call_centre import CallCentre, assert_music
from tests.support.dial_field import DialField
from tests.support.dialled_people import People
from tests.support.fix_carriers import Carriers
from tests.support.sip_call import CallState
from tests.support.sip_message import SipRequest
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

PATIENCE = 60.0
KEYS = {
    "1": {"action": "repeat"},
    "2": {"action": "queue"},
    "3": {"action": "callback"},
    "9": {"action": "opt_out", "prompt": "goodbye"},
}


def test_each_answer_and_refusal_is_told_and_everybody_dialled_once(
    live_switch: Switch, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    expected = {
        people.number(1): (Plan.answer(), Outcome.ANSWERED),
        people.number(2): (Plan.answer(bye_after=0.0), Outcome.UNHEARD),
        people.number(3): (Plan.reject(486), Outcome.BUSY),
        people.number(4): (Plan.reject(404), Outcome.INVALID),
        people.number(5): (Plan.reject(603), Outcome.DECLINED),
        people.number(6): (Plan.reject(480, ring_code=180), Outcome.NO_ANSWER),
        people.number(7): (Plan.reject(503), Outcome.CONGESTED),
        people.number(8): (
            Plan.reject(480, headers=[("Reason", 'Q.850;cause=17;text="User busy"')]),
            Outcome.BUSY,
        ),
        people.number(9): (Plan.ring(), Outcome.NO_ANSWER),
        # No route leads there: our own proxy says 404, and that is no fault of the number.
        "99999000001": (Plan.answer(), Outcome.OURS),
    }
    people.plans = {number: plan for number, (plan, _) in expected.items()}
    sale = field.campaign(f"every-{people.prefix}", leads=list(expected), ring_seconds=5)
    wait_for(live_switch, lambda: len(outcomes(field, sale)) == len(expected), "all settled")
    field.check()
    assert outcomes(field, sale) == {number: outcome.value for number, (_, outcome) in expected.items()}
    for number in expected:
        assert len(people.calls_of(number)) == (0 if number.startswith("9999") else 1)
    results = {lead["external_id"]: (lead["state"], lead["result"]) for lead in field.leads(sale)}
    assert results[people.number(1)] == ("done", "reached")
    assert results[people.number(4)] == ("done", "no_number")
    assert results[people.number(5)] == ("done", "declined")
    assert results[people.number(3)] == results["99999000001"] == ("waiting", None)
    heard = people.calls_of(people.number(1))[0].media
    assert len({packet.payload for packet in heard.received}) >= 20, "the message was not heard"


def test_opt_out_counts_while_the_person_is_still_on_the_line(
    live_switch: Switch, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    number = people.number(1)
    sale = field.campaign(f"opt-{people.prefix}", leads=[number], keys=KEYS)
    call = people.wait_call(number).wait_answered()
    call.media.wait_received(10)
    call.media.press("9")
    listed = "SELECT do_not_call_scope(%s, %s, %s, now())::text"
    wait_for(live_switch, lambda: field.value(listed, field.tenant, sale, number), "listed")
    call.wait_ended(30)
    wait_for(live_switch, lambda: outcomes(field, sale) == {number: "opted_out"}, "settled")
    assert field.leads(sale)[0]["result"] == "do_not_call"
    field.check()


def test_press_two_waits_in_the_queue_and_talks_to_an_agent(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    eve = live_centre.agent(login=False)
    sales = live_centre.queue([eve], wrapup_seconds=0)
    number = people.number(1)
    sale = field.campaign(f"queue-{people.prefix}", keys=KEYS, queue_id=sales.queue_id, run=False)
    field.lead(sale, number, name="Anna", variables={"debt": "120"})
    field.value("SELECT campaign_step(%s, %s, 'start', 'test')::text", field.tenant, sale)
    call = people.wait_call(number).wait_answered()
    call.media.wait_received(10)
    call.media.press("2")
    entry = sales.wait_entry("waiting", seconds=30)
    assert (entry["caller"], entry["variables"]["debt"], entry["variables"]["lead_name"]) == (
        number,
        "120",
        "Anna",
    )
    assert_music(live_switch, call.media, frames=10)
    eve.phone.register()
    eve.do("login", "test")
    eve.call().wait_answered()
    eve.wait("busy")
    call.hang_up()
    eve.wait("free")
    wait_for(live_switch, lambda: outcomes(field, sale) == {number: "answered"}, "settled")
    (attempt,) = field.attempts(sale)
    assert (attempt["facts"]["talked"], attempt["facts"]["choice"]) == (True, "queue")


def test_press_three_leaves_a_callback(
    live_switch: Switch, live_centre: CallCentre, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers)
    sales = live_centre.queue([], callback_enabled=True)
    number = people.number(1)
    sale = field.campaign(f"back-{people.prefix}", leads=[number], keys=KEYS, queue_id=sales.queue_id)
    call = people.wait_call(number).wait_answered()
    call.media.wait_received(10)
    call.media.press("3")
    entry = sales.wait_entry("waiting", seconds=30)
    assert (entry["kind"], entry["number"]) == ("callback", number)
    call.wait_ended(30)
    wait_for(live_switch, lambda: outcomes(field, sale) == {number: "answered"}, "settled")


def test_two_campaigns_at_once_keep_their_lines_and_dial_their_own(
    live_switch: Switch, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers, media=False)
    rests = Plan.reject(486, ring_code=180, final_after=0.5)
    up: dict[str, int] = {"0": 0, "1": 0}

    def choose(invite: SipRequest) -> Plan:
        ringing = [call for call in list(people.carrier.calls) if call.state is not CallState.ENDED]
        for which in up:
            own = [call for call in ringing if f"{people.prefix}{which}" in call.invite.uri]
            up[which] = max(up[which], len(own))
        return rests

    people.carrier.choose = choose
    first = [people.number(serial) for serial in range(12)]
    second = [people.number(100_000 + serial) for serial in range(12)]
    names = (f"first-{people.prefix}", f"second-{people.prefix}")
    one = field.campaign(names[0], leads=first, lines=4, run=False)
    two = field.campaign(names[1], leads=second, lines=2, run=False)
    for campaign in (one, two):
        field.value("SELECT campaign_step(%s, %s, 'start', 'test')::text", field.tenant, campaign)
    wait_for(live_switch, lambda: len(outcomes(field, one)) == len(first), "the first is settled")
    wait_for(live_switch, lambda: len(outcomes(field, two)) == len(second), "the second is settled")
    assert outcomes(field, one) == dict.fromkeys(first, "busy")
    assert outcomes(field, two) == dict.fromkeys(second, "busy")
    assert all(len(people.calls_of(number)) == 1 for number in first + second)
    assert up["0"] <= 4
    assert up["1"] <= 2
    begins = [min(a["ordered_at"] for a in field.attempts(campaign)) for campaign in (one, two)]
    ends = [max(a["ended_at"] for a in field.attempts(campaign)) for campaign in (one, two)]
    assert max(begins) < min(ends), "one did not wait for the other"
    field.check()


def test_hours_consent_and_lists_hold_until_they_allow_it(
    live_switch: Switch, carriers: Carriers, field: DialField
) -> None:
    people = People(live_switch, carriers, media=False)
    silent, listed, agreed = (people.number(serial) for serial in (1, 2, 3))
    people.plans[agreed] = Plan.reject(486)
    name = f"lawful-{people.prefix}"
    later = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").lower()
    sale = field.campaign(
        name,
        hours=f"{later} 10:00-11:00",
        consent_required=True,
        consent_exemption="",
        purpose="news",
        run=False,
    )
    field.lead(sale, silent)
    for number in (listed, agreed):
        field.lead(sale, number, consent_basis="form")
    field.value("SELECT do_not_call_add(%s, NULL, %s, 'test')", field.tenant, listed)
    field.value("SELECT campaign_step(%s, %s, 'start', 'test')::text", field.tenant, sale)
    held = "SELECT reason::text FROM campaign_hold WHERE campaign_id = %s ORDER BY since DESC"
    wait_for(live_switch, lambda: field.value(held, sale) == "hours", "the hours are closed")
    assert not people.carrier.calls
    live_switch.rows(
        "UPDATE campaign SET hours = 'mon-sun 00:00-24:00' WHERE campaign_id = %s RETURNING name", [sale]
    )
    wait_for(live_switch, lambda: outcomes(field, sale) == {agreed: "busy"}, "who agreed is called")
    results = {lead["external_id"]: lead["result"] for lead in field.leads(sale)}
    assert results == {silent: "no_consent", listed: "do_not_call", agreed: None}
    assert len(people.carrier.calls) == 1
    field.check()


@pytest.mark.parametrize("victim", ["ks-dial", "media-1"])
def test_a_killed_process_dials_nobody_twice_and_loses_nobody(
    live_switch: Switch, carriers: Carriers, field: DialField, victim: str
) -> None:
    people = People(live_switch, carriers, media=False)
    numbers = [people.number(serial) for serial in range(24)]
    people.plans = dict.fromkeys(numbers, Plan.reject(486, ring_code=180, final_after=0.4))
    sale = field.campaign(f"kill-{people.prefix}", leads=numbers, lines=6, calls_per_second=20)
    wait_for(live_switch, lambda: len(people.carrier.calls) >= 6, "some are dialled")
    pid = live_switch.instance.pid(victim)
    os.kill(pid, signal.SIGKILL)
    wait_for(
        live_switch,
        lambda: {lead["external_id"] for lead in field.leads(sale) if lead["last_outcome"]} == set(numbers),
        "every lead has had its attempt",
    )
    wait_for(
        live_switch,
        lambda: all(attempt["state"] == "settled" for attempt in field.attempts(sale)),
        "all attempts are settled",
    )
    field.check()
    for number in numbers:
        attempts = [attempt for attempt in field.attempts(sale) if attempt["number"] == number]
        # Each attempt dials at most once, and only one that was lost is followed by another so soon.
        assert len(people.calls_of(number)) <= len(attempts)
        assert sum(attempt["outcome"] == "busy" for attempt in attempts) <= 1
    live_switch.instance.wait_back(victim, pid)  # others use this instance after us
