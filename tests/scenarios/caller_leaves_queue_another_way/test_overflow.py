"""Where callers go who are not served, by reason: what they are told first, numbers, URIs, and other queues."""

from __future__ import annotations

import pytest

from tests.support.call_centre import CallCentre
from tests.support.ivr_centre import IvrCentre
from tests.support.sip_phone import Phone

REASONS = {"closed": {"enabled": False}, "empty": {"join_when": "logged_in"}, "full": {"max_size": 0}}


def registered(centre: CallCentre) -> Phone:
    other = centre.phone("103", media=True)
    other.register()
    return other


@pytest.mark.parametrize("anchor", ["never", "always"])
@pytest.mark.parametrize("reason", REASONS)
def test_the_reason_is_said_before_the_caller_is_sent_on(
    speaking_centre: IvrCentre, reason: str, anchor: str
) -> None:
    centre = speaking_centre.centre
    other = registered(centre)
    overflow = {reason: {"kind": "account", "value": "103", "announcement": "p-sorry"}}
    sales = centre.queue([], anchor=anchor, overflow=overflow, **REASONS[reason])
    call = speaking_centre.call(sales.uri)
    speaking_centre.hears(call, "p-sorry")
    other.wait_call().wait_answered()
    assert [entry["end_reason"] for entry in sales.entries] == [reason]
    call.hang_up()
    other.calls[0].wait_ended()
    other.unregister()


def test_what_is_said_on_the_way_to_another_queue(speaking_centre: IvrCentre) -> None:
    centre = speaking_centre.centre
    support = centre.queue([])
    overflow = {"timeout": {"kind": "queue", "value": support.name, "announcement": "p-bye"}}
    sales = centre.queue([], max_wait_seconds=1, overflow=overflow)
    call = speaking_centre.call(sales.uri)
    speaking_centre.hears(call, "p-bye")
    assert [entry["state"] for entry in support.entries] == ["waiting"]
    call.hang_up()


@pytest.mark.parametrize("kind", ["number", "uri"])
def test_a_number_or_a_uri_outside(live_centre: CallCentre, kind: str) -> None:
    other = live_centre.phone("103")
    other.register()
    live_centre.switch.add_route("^84950000077$", "account:103", priority=77)
    live_centre.switch.save()
    ip, port = other.address
    value = {"number": "84950000077", "uri": f"sip:somebody@{ip}:{port}"}[kind]
    sales = live_centre.queue([], max_wait_seconds=1)
    live_centre.switch.ksctl(
        "queue", "edit", sales.name, "-t", "demo", "--overflow", f"timeout={kind}:{value}"
    )
    call = live_centre.caller().call(sales.uri)
    other.wait_call().wait_answered()
    assert sales.wait_entry("ended")["end_reason"] == "timeout"
    call.hang_up()
    other.calls[0].wait_ended()
    other.unregister()


def test_who_is_rejected_after_he_waited_hears_the_end(live_centre: CallCentre) -> None:
    overflow = {"timeout": {"kind": "reject", "value": "486"}}
    sales = live_centre.queue([], max_wait_seconds=1, overflow=overflow)
    assert live_centre.caller().call(sales.uri).wait_ended(30).ended_by == "remote"
    assert sales.wait_entry("ended")["end_reason"] == "timeout"


def test_a_supervisor_ejects_to_a_number_and_to_nobody_who_is_not_there(live_centre: CallCentre) -> None:
    switch = live_centre.switch
    other = live_centre.phone("103")
    other.register()
    switch.add_route("^84950000078$", "account:103", priority=78)
    switch.save()
    sales = live_centre.queue([])
    call = live_centre.caller().call(sales.uri)
    entry = str(sales.wait_entry("waiting")["entry_id"])
    for target, code in (("account:nobody", 1), ("queue:nowhere", 3), ("gateway:out", 1), ("103", 1)):
        switch.ksctl("entry", "eject", entry, "-t", "demo", "--to", target, code=code)
    assert sales.wait_entry("waiting")["state"] == "waiting"
    switch.ksctl("entry", "eject", entry, "-t", "demo", "--to", "number:84950000078")
    other.wait_call().wait_answered()
    call.hang_up()
    other.unregister()
