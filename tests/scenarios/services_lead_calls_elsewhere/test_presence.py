"""A colleague's line is watched: lamp keys (dialog-info) and presence, from the first NOTIFY to the last."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.scenarios.services_lead_calls_elsewhere.conftest import MakePhone
from tests.support.sip_dialog import dialog_as_caller
from tests.support.sip_message import SipRequest, SipResponse
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

DIALOG = "{urn:ietf:params:xml:ns:dialog-info}"
PIDF = "{urn:ietf:params:xml:ns:pidf}"
RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"


def watch(phone: Phone, target: str, package: str = "dialog", expires: int = 600) -> SipResponse:
    phone.watches = True
    headers = [("Event", package), ("Expires", str(expires))]
    return phone.request("SUBSCRIBE", target, headers=headers)


def states(notify: SipRequest) -> list[tuple[str | None, str | None, str | None]]:
    top = ElementTree.fromstring(notify.body)
    return [
        (
            each.get("direction"),
            each.findtext(f"{DIALOG}state"),
            each.findtext(f"{DIALOG}remote/{DIALOG}identity"),
        )
        for each in top.findall(f"{DIALOG}dialog")
    ]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_lamp_follows_the_colleagues_calls(office: Switch, phones: MakePhone, transport: str) -> None:
    watcher = phones("613", register=False, transport=transport)
    answer = watch(watcher, "sip:611@demo.test")
    assert (answer.code, answer.need("Expires")) == (200, "600")
    first = watcher.wait_request("NOTIFY")
    assert states(first) == []
    assert first.from_addr.tag == answer.to_addr.tag
    assert first.need("Subscription-State").startswith("active")
    called = phones("611", Plan.answer(ring_after=0.1, final_after=0.5))
    caller = phones("610", register=False)
    call = caller.call("sip:611@demo.test")
    call.hang_up()
    called.wait_call().wait_ended()
    watcher.wait(lambda: len(watcher.requests("NOTIFY")) >= 4 and not states(watcher.requests("NOTIFY")[-1]))
    told = [states(notify) for notify in watcher.requests("NOTIFY")]
    assert [("recipient", "early", "sip:610@demo.test")] in told
    assert [("recipient", "confirmed", "sip:610@demo.test")] in told
    versions = [
        int(ElementTree.fromstring(each.body).get("version", "")) for each in watcher.requests("NOTIFY")
    ]
    assert versions == list(range(len(versions)))


def test_presence_tells_whether_a_phone_is_there_and_talks(office: Switch, phones: MakePhone) -> None:
    def basics() -> list[str | None]:
        documents = [ElementTree.fromstring(each.body) for each in watcher.requests("NOTIFY")]
        return [each.findtext(f"{PIDF}tuple/{PIDF}status/{PIDF}basic") for each in documents]

    watcher = phones("613", register=False)
    assert watch(watcher, "sip:612@demo.test", "presence").code == 200
    watcher.wait(lambda: basics() == ["closed"], 10, "closed at first")
    phones("612")
    watcher.wait(lambda: basics()[-1] == "open", 10, "open when the phone is there")
    call = phones("610", register=False).call("sip:612@demo.test")
    watcher.wait(lambda: b"on-the-phone" in watcher.requests("NOTIFY")[-1].body, 10, "he talks")
    call.hang_up()
    watcher.wait(lambda: b"on-the-phone" not in watcher.requests("NOTIFY")[-1].body, 10, "he has hung up")


def test_a_subscription_is_refreshed_and_ended(office: Switch, phones: MakePhone) -> None:
    watcher = phones("613", register=False)
    watcher.watches = True
    made = watcher.make_request("SUBSCRIBE", "sip:611@demo.test", [("Event", "dialog")])
    exchange = watcher.loop.run(lambda: watcher.exchange(made))
    dialog = dialog_as_caller(exchange.request, watcher.finish(exchange, 10))
    dialog.local_cseq = max(dialog.local_cseq, exchange.request.cseq.number)

    def again(expires: int) -> SipResponse:
        request = dialog.request("SUBSCRIBE")
        request.headers.items += [("Event", "dialog"), ("Expires", str(expires))]
        request.headers.add("Contact", f"<{watcher.contact}>")
        return watcher.finish(watcher.loop.run(lambda: watcher.exchange(request)), 10)

    watcher.wait_request("NOTIFY", 1)
    assert again(300).need("Expires") == "300"
    assert watcher.wait_request("NOTIFY", 2).need("Subscription-State").startswith("active")
    assert again(0).code == 200

    def told() -> dict[tuple[int, str], str]:
        """State by CSeq and branch: the proxy may repeat a NOTIFY to a busy phone, as the same transaction."""
        return {
            (notify.cseq.number, notify.vias[0].branch): notify.need("Subscription-State")
            for notify in watcher.requests("NOTIFY")
        }

    watcher.wait(lambda: len(told()) >= 3, 10, "the end is told")
    assert [number for number, _ in told()] == [1, 2, 3]
    assert list(told().values())[2] == "terminated;reason=timeout"
    assert again(300).code == 481


def test_what_cannot_be_watched(office: Switch, phones: MakePhone) -> None:
    watcher = phones("613", register=False)
    assert watch(watcher, "sip:611@demo.test", "dialog", 5).code == 423
    assert watch(watcher, "sip:699@demo.test").code == 404
    assert watch(watcher, "sip:611@demo.test", "winfo").code == 489
    ended = watch(watcher, "sip:611@demo.test", expires=0)
    assert ended.code == 200
    assert watcher.wait_request("NOTIFY").need("Subscription-State") == "terminated;reason=timeout"
