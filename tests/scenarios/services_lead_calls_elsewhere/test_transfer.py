"""Transfers between phones: blind and attended, through the proxy, whatever the target has set."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, unquote

from tests.scenarios.services_lead_calls_elsewhere.conftest import MakePhone
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone
from tests.support.switch import Switch

Services = Callable[..., None]


def follow(phone: Phone, call: Call) -> Call:
    """Do what the REFER in a call asks for, as a phone does, and tell the other side of it."""
    phone.wait(lambda: call.referred, 10, "REFER")
    target, _, headers = call.referred[0].strip("<>").partition("?")
    more = [
        (name, unquote(value))
        for name, _, value in (part.partition("=") for part in headers.split("&"))
        if name
    ]
    made = phone.invite(target, headers=more).wait_answered()
    call.notify_refer(200, "OK")
    return made


def test_blind(office: Switch, services: Services, phones: MakePhone) -> None:
    anna, boris, clara = phones("610"), phones("611"), phones("612")
    first = anna.call("sip:611@demo.test")
    taken = boris.wait_call().wait_answered()
    assert first.refer("sip:612@demo.test").code == 202
    made = follow(boris, taken)
    anna.wait(lambda: any("200" in line for line in first.refer_progress), 10, "success is told")
    first.hang_up()
    taken.wait_ended()
    answered = clara.wait_call().wait_answered()
    assert answered.invite.from_addr.uri.user == "611"
    made.hang_up()
    answered.wait_ended()
    told = office.events(office.cdr(first.call_id)["call_id"])
    assert [event["data"]["to"] for event in told if event["kind"] == "call.refer"] == ["<sip:612@demo.test>"]


def test_attended_reaches_the_dialog_whatever_the_target_has_set(
    office: Switch, services: Services, phones: MakePhone
) -> None:
    anna, boris, clara = phones("610"), phones("611"), phones("612")
    first = anna.call("sip:611@demo.test")
    taken = boris.wait_call().wait_answered()
    consulted = anna.call("sip:612@demo.test")
    asked = clara.wait_call().wait_answered()
    services("account service set 612 --dnd", "account service forward 612 always account:613")
    assert consulted.dialog is not None
    dialog = consulted.dialog
    replaces = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"
    assert first.refer(f"sip:612@demo.test?Replaces={quote(replaces)}").code == 202
    made = follow(boris, taken)
    joined = clara.wait_call(2).wait_answered()
    assert joined.invite.need("Replaces") == replaces
    asked.hang_up()  # the phone ends the dialog that was replaced (RFC 3891 section 3)
    consulted.wait_ended()
    first.hang_up()
    taken.wait_ended()
    made.hang_up()
    joined.wait_ended()
