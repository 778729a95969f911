"""Accounts register where they may, as often as they may, and only with the right password."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.fix_instance import Instance
from tests.support.fix_switch import SETTINGS
from tests.support.net_loop import NetLoop
from tests.support.sip_message import SipResponse
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.sipp import SippRun
from tests.support.switch import Switch


def test_register_and_unregister(switch: Switch, net_loop: NetLoop) -> None:
    with switch.phone(net_loop, "100") as caller, switch.phone(net_loop, "101") as phone:
        answer = phone.register(expires=120)
        (binding,) = answer.contacts
        assert binding.uri.port == phone.address[1]
        assert 110 <= int(binding.params.get("expires") or 0) <= 120
        caller.call("101").hang_up()
        assert phone.unregister().contacts == []
        assert caller.invite("101").wait_ended().code == 480
    kinds = switch.wait(lambda: _told(switch, "101"), 10, "journal of the registrations")
    assert kinds == ["account.unregistered", "account.registered"]


def _told(switch: Switch, username: str) -> list[str]:
    rows = switch.rows(
        "SELECT kind FROM call_event WHERE kind LIKE 'account.%%' AND data ->> 'username' = %s"
        " ORDER BY at DESC LIMIT 2",
        [username],
    )
    kinds = [row["kind"] for row in rows]
    return kinds if kinds[:1] == ["account.unregistered"] else []


def test_contacts_are_limited(switch: Switch, net_loop: NetLoop) -> None:
    switch.add_account("190", max_contacts=2)
    switch.save()
    phones = [switch.phone(net_loop, "190") for _ in range(3)]
    try:
        phones[0].register()
        assert len(phones[1].register().contacts) == 2
        assert phones[2].register(code=0).code in (403, 503)
        phones[1].register()  # one that is there may be refreshed
        phones[0].unregister()
        phones[2].register()
    finally:
        for phone in phones:
            phone.register(0, code=0)
            phone.close()


def test_domain_that_is_not_the_account_s_own_is_refused(switch: Switch, net_loop: NetLoop) -> None:
    if not switch.rows("SELECT FROM domain WHERE name = 'second.test'"):
        switch.insert("domain", tenant_id=switch.tenant_id, name="second.test")
        switch.save()
    with Phone(net_loop, "100", "nowhere.test", password="pw100", proxy=switch.address) as phone:
        assert phone.register(code=0).code == 403
    # A domain of the tenant (one realm for both), but not given to this account.
    with Phone(net_loop, "100", "second.test", password="pw100", proxy=switch.address) as phone:
        assert phone.register(code=0).code == 403
        assert phone.invite("sip:101@demo.test").wait_ended().code == 403


def test_account_cannot_register_or_call_as_another(switch: Switch, net_loop: NetLoop) -> None:
    with switch.phone(net_loop, "100", auth_username="101", password="pw101") as phone:
        assert phone.register(code=0).code == 403
        assert phone.invite("102").wait_ended().code == 403


def test_unknown_user_and_wrong_password_get_equal_answers(switch: Switch, net_loop: NetLoop) -> None:
    answers = []
    for username in ("100", "no-such-user"):
        with switch.phone(net_loop, username, password="wrong") as phone:
            answers.append(_shape(phone.register(code=0)))
            assert len(phone.requests("REGISTER")) == 0
            assert phone.invite("101").wait_ended().code == 407
    assert answers[0] == answers[1]
    assert answers[0][0] == "SIP/2.0 401 Unauthorized"


def _shape(response: SipResponse) -> tuple[str, list[str], str]:
    challenge = response.need("WWW-Authenticate")
    return response.start_line(), response.headers.names(), challenge.partition("nonce=")[0]


def test_sipp_registers_many(switch: Switch, sipp: Callable[..., SippRun]) -> None:
    sipp(
        "uac_register",
        remote=switch.address,
        caller="102",
        callee="102",
        domain="demo.test",
        auth=("102", "pw102"),
        challenge=401,
        contact_user="102",
        contact_host="127.0.0.1:9",
        calls=20,
    ).wait()
    sipp(
        "uac_register",
        remote=switch.address,
        caller="102",
        callee="102",
        domain="demo.test",
        auth=("102", "pw102"),
        challenge=401,
        contact_user="102",
        contact_host="127.0.0.1:9",
        expires=0,
    ).wait()


def test_internal_headers_never_pass(switch: Switch, net_loop: NetLoop) -> None:
    lies = [("X-KS-Call", "01890000-0000-7000-8000-000000000000"), ("x-ks-tenant", "1"), ("X-Other", "stays")]
    with switch.phone(net_loop, "100") as alice, switch.phone(net_loop, "101") as bob:
        bob.register()
        bob.plan = Plan.answer(headers=[("X-KS-Lie", "1"), ("X-Other", "back")])
        call = alice.invite("101", headers=lies).wait_answered()
        other = bob.wait_call().wait_answered()
        assert other.invite.headers.get("X-Other") == "stays"
        assert call.request("INFO", headers=lies).code == 200
        other.hang_up(headers=lies)
        assert not bob.seen_headers("X-KS-")
        assert not alice.seen_headers("X-KS-")
        bob.unregister()
    assert str(switch.cdr(call.call_id)["call_id"]) != lies[0][1]


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE"])
def test_forged_dialogs_are_refused(switch: Switch, net_loop: NetLoop, method: str) -> None:
    host, port = switch.address
    with switch.phone(net_loop, "100") as alice, switch.phone(net_loop, "101") as bob:
        bob.register()
        call = alice.call("101")
        assert call.dialog is not None
        token = str(call.dialog.route_set[0])
        for route in (f"<sip:{host}:{port};lr>", f"<sip:{host}:{port};lr;ksc={'0' * 32}--{'0' * 20}>", token):
            request = alice.make_request(method, str(bob.contact), [("Route", route)])
            request.headers.put("To", "<sip:101@demo.test>;tag=forged")
            response = alice.finish(net_loop.run(lambda r=request: alice.exchange(r)), 10)
            assert response.code == 481, route
        # Whoever has a call of his own has its Call-ID and its token too: a way round routes, limits and CDR.
        if method != "BYE":
            own = call.dialog.request(method)
            own.headers.put("To", "<sip:101@demo.test>;tag=forged")
            own.uri = str(bob.contact)
            assert alice.finish(net_loop.run(lambda: alice.exchange(own)), 10).code == 481
        assert not [item for item in bob.requests(method) if item.to_addr.tag == "forged"]
        call.hang_up()
        bob.unregister()


@pytest.fixture
def sha_switch(_swept: None) -> Iterator[Switch]:
    """An instance whose digest algorithm is SHA-256."""
    instance = Instance({**SETTINGS, "proxy.digest_algorithm": "SHA-256"})
    try:
        instance.up()
        made = Switch(instance)
        for username in ("100", "101"):
            made.add_account(username)
        made.save()
        yield made
    finally:
        instance.remove()


def test_sha256_digest_and_locations_that_survive_a_restart(sha_switch: Switch, net_loop: NetLoop) -> None:
    with sha_switch.phone(net_loop, "100") as alice, sha_switch.phone(net_loop, "101") as bob:
        bob.register()
        challenge = bob.received[0].message.need("WWW-Authenticate")
        assert "algorithm=SHA-256" in challenge
        alice.call("101").hang_up()
        with sha_switch.phone(net_loop, "100", password="wrong") as liar:
            assert liar.register(code=0).code == 401
        sha_switch.wait(
            lambda: sha_switch.rows("SELECT FROM kamailio.location"), 10, "the contact in the database"
        )
        before = sha_switch.instance.pid("kamailio")
        assert sha_switch.instance.ksinit("restart", "kamailio").returncode == 0
        sha_switch.instance.wait_back("kamailio", before)
        call = alice.call("101")
        call.hang_up()
    assert sha_switch.cdr(call.call_id)["final_code"] == 200
