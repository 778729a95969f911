"""Trunks: the carrier's password as HA1 only, and what Kamailio's uac module reads of it."""

from __future__ import annotations

import pytest

from callcore.digest import ha1
from callcore.errors import AlreadyExists, BadInput, NotFound
from kalibri.db import Conn
from kalibri.services import gateway, trunk
from tests.support.builders import make_tenant
from tests.support.fix_ksctl import Ksctl

SYSTEM = 0


@pytest.fixture(autouse=True)
def carrier(db: Conn) -> None:
    gateway.add(db, tenant_id=SYSTEM, name="carrier", host="sip.carrier.example", port=5070, transport="tcp")


def add(db: Conn) -> trunk.Trunk:
    return trunk.add(db, tenant_id=SYSTEM, gateway="carrier", username="0042", password="pw")


def test_domain_realm_and_digest_name_have_sensible_defaults(db: Conn) -> None:
    found = add(db)
    assert (found.domain, found.auth_realm, found.auth_username) == (*2 * ["sip.carrier.example"], "0042")


def test_kamailio_reads_the_registration_with_its_ha1(db: Conn) -> None:
    found = add(db)
    row = db.execute(
        "SELECT l_uuid, r_username, r_domain, realm, auth_username, auth_password, auth_ha1, auth_proxy, expires,"
        " flags FROM kamailio.uacreg"
    ).fetchone()
    secret = ha1("0042", "sip.carrier.example", "pw").md5
    assert row == (
        f"t{found.trunk_id}", "0042", "sip.carrier.example", "sip.carrier.example", "0042", "", secret,
        "sip:sip.carrier.example:5070;transport=tcp", 300, 0,
    )  # fmt: skip
    trunk.change(db, tenant_id=SYSTEM, gateway="carrier", enabled=False)
    assert db.execute("SELECT flags FROM kamailio.uacreg").fetchone() == (1,)


def test_digest_name_and_realm_change_only_with_the_password(db: Conn) -> None:
    add(db)
    with pytest.raises(BadInput, match="give the password too"):
        trunk.change(db, tenant_id=SYSTEM, gateway="carrier", auth_realm="other")
    trunk.change(db, tenant_id=SYSTEM, gateway="carrier", auth_realm="other", password="new")
    settings = trunk.settings(db, tenant_id=SYSTEM, gateway="carrier")
    assert settings.auth_ha1 == ha1("0042", "other", "new").md5
    assert settings.auth_ha1 not in repr(settings)


def test_gateway_has_one_trunk_at_most(db: Conn) -> None:
    add(db)
    with pytest.raises(AlreadyExists, match="has a trunk registration already"):
        add(db)


def test_values_that_would_break_a_header_are_refused(db: Conn) -> None:
    for name, message in (("auth_realm", "realm of the carrier"), ("auth_username", "no colon")):
        with pytest.raises(BadInput, match=message):
            trunk.add(
                db, tenant_id=SYSTEM, gateway="carrier", username="u", password="p", **{name: 'a":b\r\nX: y'}
            )


def test_trunk_of_another_owner_is_not_found(db: Conn) -> None:
    add(db)
    acme = make_tenant(db, "acme")
    with pytest.raises(NotFound):
        trunk.find(db, tenant_id=acme, gateway="carrier")
    with pytest.raises(NotFound):
        trunk.change(db, tenant_id=acme, gateway="carrier", enabled=False)
    with pytest.raises(NotFound):
        trunk.remove(db, tenant_id=acme, gateway="carrier")
    with pytest.raises(NotFound):
        trunk.add(db, tenant_id=acme, gateway="carrier", username="u", password="p")
    assert trunk.list_trunks(db, tenant_id=acme) == []


def test_trunk_goes_with_its_gateway(db: Conn) -> None:
    add(db)
    gateway.remove(db, tenant_id=SYSTEM, name="carrier")
    assert trunk.list_trunks(db, tenant_id=None) == []


def test_ksctl_trunks(ksctl: Ksctl, db: Conn) -> None:
    said = ksctl.ok("trunk add carrier 0042 --auth-realm carrier --password-file -", stdin="secret\n")
    assert said.stderr == "gateway carrier registers as 0042@sip.carrier.example (realm carrier)\n"
    db.execute("UPDATE trunk SET state = 'lost', state_reason = '403 Forbidden'")
    [row] = ksctl.ok("trunk list -o csv").csv
    assert (row["state"], row["state_reason"]) == ("lost", "403 Forbidden")
    secret = ha1("0042", "carrier", "secret").md5
    for output in ("table", "json", "csv"):
        assert secret not in ksctl.ok(f"trunk show carrier -o {output}").stdout
    assert "give the password too" in ksctl.fails(1, "trunk set carrier --auth-username x")
    ksctl.ok("trunk set carrier --auth-username x --expires 120 --password-file -", stdin="new\n")
    assert "the password is empty" in ksctl.fails(1, "trunk set carrier --password-file -", stdin="\n")
    ksctl.ok("trunk rm carrier")
    assert 'no trunk for gateway "carrier"' in ksctl.fails(3, "trunk show carrier")
