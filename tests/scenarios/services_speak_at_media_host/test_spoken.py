"""Where there are media hosts: codes are confirmed by voice, voice mail takes calls, agents' states are watched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kalibri import db
from kalibri.config import PROJECT_ROOT
from kalibri.services import account_service
from tests.support.call_centre import CallCentre
from tests.support.ivr_centre import IvrCentre


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


@pytest.mark.parametrize("condition", ["always", "unreachable"])
def test_voice_mail_answers_for_who_is_away(centre: IvrCentre, condition: str) -> None:
    source = Path(PROJECT_ROOT / "conf/ivr/voicemail.yaml").read_text()
    centre.store(source, "voicemail")
    with db.connect_tool(centre.switch.config, application_name="test") as conn:
        of = {"tenant_id": centre.switch.tenant_id, "username": "103"}
        account_service.forward(conn, **of, condition=condition, to="voicemail")
    centre.switch.save()
    call = centre.call("sip:103@demo.test")
    centre.hears(call, "voicemail-greeting", "ivr-leave-message", seconds=60)
    call.hang_up()
    story = centre.story(call)
    assert centre.path(call)[0] == "take"
    told = next(event["data"] for event in story if event["kind"] == "call.forward")
    assert (told["account"], told["condition"]) == ("103", condition)


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
