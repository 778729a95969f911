"""Two tenants on one switch: the same user names, and no way from one to the other but public numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.net_loop import NetLoop
from tests.support.sip_phone import Phone
from tests.support.switch import Switch

DOMAIN = "other.test"


@pytest.fixture
def other_tenant(switch: Switch) -> int:
    """The tenant "other" with its domain, an account 100 as in the first tenant, and one 900 of its own."""
    known = switch.rows("SELECT tenant_id FROM tenant WHERE name = 'other'")
    if known:
        return int(known[0]["tenant_id"])
    tenant_id = int(switch.insert("tenant", name="other", realm=DOMAIN)["tenant_id"])
    switch.insert("domain", tenant_id=tenant_id, name=DOMAIN)
    for username in ("100", "101", "900"):
        switch.add_account(username, tenant_id=tenant_id, realm=DOMAIN)
    switch.save()
    return tenant_id


@pytest.fixture
def phones(switch: Switch, net_loop: NetLoop, other_tenant: int) -> Iterator[dict[str, Phone]]:
    """Registered phones by address of record."""
    made = [switch.phone(net_loop, name) for name in ("100", "101")]
    made += [
        Phone(net_loop, name, DOMAIN, password=f"pw{name}", proxy=switch.address)
        for name in ("100", "101", "900")
    ]
    for phone in made:
        phone.register()
    yield {phone.uri: phone for phone in made}
    for phone in made:
        phone.unregister()
        phone.close()


@pytest.mark.parametrize("domain", ["demo.test", DOMAIN])
def test_same_user_names_ring_in_their_own_tenant(
    switch: Switch, other_tenant: int, phones: dict[str, Phone], domain: str
) -> None:
    call = phones[f"sip:100@{domain}"].call("101")
    call.hang_up()
    assert [uri for uri, phone in phones.items() if phone.calls] == [f"sip:100@{domain}", f"sip:101@{domain}"]
    wanted = switch.tenant_id if domain == "demo.test" else other_tenant
    row = switch.cdr(call.call_id)
    assert (row["tenant_id"], row["account"], row["final_code"]) == (wanted, "100", 200)


@pytest.mark.parametrize("target", ["sip:900@demo.test", f"sip:900@{DOMAIN}", f"sip:101@{DOMAIN}"])
def test_accounts_of_another_tenant_cannot_be_called(
    switch: Switch, phones: dict[str, Phone], target: str
) -> None:
    call = phones["sip:100@demo.test"].invite(target)
    assert call.wait_ended().code == 404
    assert not [uri for uri, phone in phones.items() if phone.calls and uri != "sip:100@demo.test"]
    row = switch.cdr(call.call_id)
    assert (row["tenant_id"], row["final_code"], row["cause"]) == (switch.tenant_id, 404, "no_route")


def test_accounts_of_another_tenant_get_no_message(phones: dict[str, Phone]) -> None:
    assert phones["sip:100@demo.test"].message(f"sip:900@{DOMAIN}", "hello").code == 404
    assert phones["sip:100@demo.test"].message("sip:900@demo.test", "hello").code == 404
    assert not phones[f"sip:900@{DOMAIN}"].requests("MESSAGE")


def test_password_of_one_tenant_is_none_in_the_other(
    switch: Switch, net_loop: NetLoop, other_tenant: int
) -> None:
    with Phone(net_loop, "102", DOMAIN, password="pw102", proxy=switch.address) as stranger:
        assert stranger.register(code=0).code == 401
        assert stranger.invite("101").wait_ended().code == 407


def test_routes_of_a_tenant_are_its_own(switch: Switch, other_tenant: int, phones: dict[str, Phone]) -> None:
    switch.add_route("^8497777", "reject:603", priority=600, tenant_id=other_tenant)
    switch.save()
    assert phones[f"sip:100@{DOMAIN}"].invite("84977770001").wait_ended().code == 603
    assert phones["sip:100@demo.test"].invite("84977770001").wait_ended().code == 404


@pytest.mark.parametrize("package", ["dialog", "presence", "message-summary"])
def test_lines_and_mailboxes_of_another_tenant_cannot_be_watched(
    phones: dict[str, Phone], package: str
) -> None:
    watcher = phones["sip:100@demo.test"]
    watcher.watches = True
    for target in (f"sip:100@{DOMAIN}", f"sip:900@{DOMAIN}", "sip:900@demo.test"):
        assert watcher.request("SUBSCRIBE", target, headers=[("Event", package)]).code == 404
    assert watcher.requests("NOTIFY") == []
