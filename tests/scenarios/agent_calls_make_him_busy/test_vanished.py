"""Who vanishes without BYE from a conversation that no media host hears holds no agent; nobody stays in a dead call."""

from __future__ import annotations

import pytest

from tests.support.call_centre import Agent, CallCentre
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone

#: Kamailio's own OPTIONS come once a minute; ours end a conversation within ten seconds on a machine that is not busy.
SOON_SECONDS = 40.0


def talk(call_centre: CallCentre, eve: Agent) -> tuple[Call, Call]:
    """Let a caller of a queue and an agent talk directly."""
    sales = call_centre.queue([eve], wrapup_seconds=0)
    call = call_centre.caller().call(sales.uri)
    answered = eve.call().wait_answered()
    eve.wait("busy")
    assert answered.call_id == call.call_id  # no media host between them
    return call, answered


def asked(phone: Phone, call: Call) -> int:
    """Return how often a phone was asked whether it is still in a call."""
    return len([item for item in phone.requests("OPTIONS") if item.headers.get("Call-ID") == call.call_id])


def ended_reason(call_centre: CallCentre, call: Call) -> str:
    """Wait for the end in the story of a call and return what it says."""
    statement = (
        "SELECT e.data FROM call_event e JOIN call c USING (call_id)"
        " WHERE e.kind = 'call.end' AND c.sip_call_id = %s"
    )
    row = call_centre.switch.wait(
        lambda: next(iter(call_centre.switch.rows(statement, [call.call_id])), None),
        15,
        "the story of the end",
    )
    assert row["data"]["by"] == "system"
    return str(row["data"]["reason"])


@pytest.mark.parametrize("vanishes", ["agent", "caller"])
def test_a_side_that_vanished_frees_the_other(call_centre: CallCentre, vanishes: str) -> None:
    eve = call_centre.agent()
    call, answered = talk(call_centre, eve)
    gone, left = (answered, call) if vanishes == "agent" else (call, answered)
    gone.phone.wait(lambda: asked(gone.phone, call), 20, "the first question, which is answered")
    gone.phone.deaf = True
    left.wait_ended(SOON_SECONDS)
    eve.wait("free")
    assert left.ended_by == "remote"
    assert ended_reason(call_centre, call) == "phone gone"
    gone.phone.deaf = False


def test_who_only_listens_is_left_alone(call_centre: CallCentre) -> None:
    """Both answer OPTIONS all the time: nothing ends, and each was asked several times."""
    eve = call_centre.agent()
    call, answered = talk(call_centre, eve)

    eve.phone.wait(lambda: asked(eve.phone, call) >= 4, SOON_SECONDS, "questions to the agent")
    call.phone.wait(lambda: asked(call.phone, call) >= 3, SOON_SECONDS, "questions to the caller")
    assert eve.state == "busy"
    assert call.hold().code == 200  # the CSeq of our questions disturbs nobody's own
    assert answered.hold().code == 200
    call.hang_up()
    answered.wait_ended()
    eve.wait("free")
