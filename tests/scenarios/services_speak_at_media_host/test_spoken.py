"""Where there are media hosts: codes are confirmed by voice, voice mail takes calls, agents' states are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalibri import db
from kalibri.config import PROJECT_ROOT
from kalibri.services import account_service
from tests.support.call_centre import CallCentre
from tests.support.ivr_centre import IvrCentre
from tests.support.rtp_peer import known_payload
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan


@pytest.fixture
def centre(live_centre: CallCentre) -> Iterator[IvrCentre]:
    """The instance with media hosts; services are gone afterwards."""
    made = IvrCentre(live_centre)
    yield made
    with made.switch.connect() as conn:
        conn.execute("DELETE FROM account_service")
        conn.execute("DELETE FROM account_forward")
    made.switch.save()


def test_a_code_is_confirmed_by_voice(centre: IvrCentre) -> None:
    call = centre.call("sip:*78@demo.test")
    centre.hears(call, "service-on")
    call.wait_ended()
    with db.connect_tool(centre.switch.config, application_name="test") as conn:
        of = {"tenant_id": centre.switch.tenant_id, "username": "100"}
        assert account_service.find(conn, **of).do_not_disturb
    call = centre.call("sip:*72100@demo.test")
    centre.hears(call, "service-refused")
    call.wait_ended()


@pytest.fixture
def away(centre: IvrCentre) -> Iterator[Callable[[str, str], None]]:
    """Return a maker of a subscriber 103 who forwards on a condition, and whose phone is so."""
    made: list[Phone] = []

    def make(condition: str, to: str) -> None:
        seconds = 1 if condition == "no_answer" else None
        with db.connect_tool(centre.switch.config, application_name="test") as conn:
            of = {"tenant_id": centre.switch.tenant_id, "username": "103"}
            account_service.forward(conn, **of, condition=condition, to=to, seconds=seconds)
        centre.switch.save()
        plan = {"busy": Plan.reject(486), "no_answer": Plan.ring()}.get(condition)
        if plan is not None:
            made.append(centre.centre.phone("103"))
            made[0].plan = plan
            made[0].register()

    yield make
    for phone in made:
        phone.unregister()


CONDITIONS = ["always", "busy", "no_answer", "unreachable"]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_voice_mail_answers_for_who_is_away(
    centre: IvrCentre, away: Callable[[str, str], None], condition: str
) -> None:
    source = Path(PROJECT_ROOT / "conf/ivr/voicemail.yaml").read_text()
    centre.store(source, "voicemail")
    away(condition, "voicemail")
    call = centre.call("sip:103@demo.test")
    centre.hears(call, "voicemail-greeting", "ivr-leave-message", seconds=60)
    call.hang_up()
    story = centre.story(call)
    assert centre.path(call)[0] == "take"
    told = next(event["data"] for event in story if event["kind"] == "call.forward")
    assert (told["account"], told["condition"]) == ("103", condition)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_queue_takes_calls_for_who_is_away(
    centre: IvrCentre, away: Callable[[str, str], None], condition: str
) -> None:
    eve = centre.centre.agent(media=True)
    sales = centre.centre.queue([eve], wrapup_seconds=0)
    away(condition, f"queue:{sales.name}")
    call = centre.centre.caller(media=True).invite("sip:103@demo.test")
    other = eve.call().wait_answered()
    call.wait_answered()
    said = known_payload(1, 7)
    call.media.play(said, repeat=True)
    other.phone.wait(lambda: any(p.payload in set(said) for p in other.media.received), 30, "he is heard")
    call.hang_up()
    other.wait_ended()
    assert sales.wait_entry("ended")["end_reason"] == "served"
    row = centre.switch.cdr(call.call_id)
    told = [
        event["data"] for event in centre.switch.events(row["call_id"]) if event["kind"] == "call.forward"
    ]
    assert [(each["account"], each["condition"], each["to"]) for each in told] == [
        ("103", condition, sales.name)
    ]


def test_the_lamp_of_an_agent_tells_that_he_pauses(centre: IvrCentre) -> None:
    eve = centre.centre.agent()
    watcher = centre.centre.caller()
    watcher.watches = True
    headers = [("Event", "presence")]
    target = f"sip:{eve.phone.username}@demo.test"
    assert watcher.request("SUBSCRIBE", target, headers=headers).code == 200
    eve.do("acd_pause", "lunch", "test")
    watcher.wait(
        lambda: any(b"agent: paused" in notify.body for notify in watcher.requests("NOTIFY")),
        20,
        "the pause is told",
    )
    assert b"away" in watcher.requests("NOTIFY")[-1].body
