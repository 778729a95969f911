"""A message for somebody whose phone is off waits for it, and arrives once."""

from __future__ import annotations

from tests.scenarios.services_lead_calls_elsewhere.conftest import MakePhone
from tests.support.switch import Switch


def waiting(office: Switch) -> int:
    return int(office.rows("SELECT count(*) AS n FROM stored_message")[0]["n"])


def test_messages_wait_until_the_phone_is_there(office: Switch, phones: MakePhone) -> None:
    sender = phones("610", register=False)
    assert sender.message("sip:612@demo.test", "первое").code == 202
    assert sender.message("sip:612@demo.test", "second").code == 202
    assert waiting(office) == 2
    called = phones("612")
    called.wait_request("MESSAGE", 2, 30)
    office.wait(lambda: waiting(office) == 0, 30, "delivered messages are gone")
    texts = {request.body.decode() for request in called.requests("MESSAGE")}
    assert texts == {"первое", "second"}
    assert called.requests("MESSAGE")[0].from_addr.uri.user == "610"
    assert not called.seen_headers("X-KS-")
    assert sender.message("sip:612@demo.test", "third").code == 200
    assert waiting(office) == 0


def test_too_long_a_message_is_not_kept(office: Switch, phones: MakePhone) -> None:
    sender = phones("610", register=False, transport="tcp")
    assert sender.message("sip:613@demo.test", "x" * 9000).code == 513
    assert waiting(office) == 0
