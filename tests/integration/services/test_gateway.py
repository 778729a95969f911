"""Gateways, their sources and prices: what is refused, who owns what, exact amounts both ways."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from callcore.errors import AlreadyExists, BadInput, NotFound, StillInUse
from callcore.states import RegistrationState
from kalibri.csv_table import CsvRefused
from kalibri.db import Conn
from kalibri.services import gateway, gateway_rate, group, trunk
from kalibri.services.gateway_rate import Rate
from tests.support.builders import make_tenant
from tests.support.fix_ksctl import Ksctl

SYSTEM = 0


@pytest.fixture
def acme(db: Conn) -> int:
    return make_tenant(db, "acme")


@pytest.fixture
def rival(db: Conn) -> int:
    return make_tenant(db, "rival")


@pytest.fixture
def carrier(db: Conn) -> gateway.Gateway:
    return gateway.add(db, tenant_id=SYSTEM, name="carrier", host="192.0.2.10")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_new_gateway_has_the_defaults_of_the_manual(carrier: gateway.Gateway) -> None:
    assert (carrier.tenant, carrier.port, carrier.transport, carrier.probe) == ("system", 5060, "udp", True)
    assert (carrier.source_networks, carrier.max_calls, carrier.registration) == ((), None, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "two words"}, "host: a host name or an IP address"),
        ({"port": 0}, "port: 1 to 65535"),
        ({"transport": "sctp"}, "transport: udp, tcp or tls"),
        ({"max_calls": -1}, "calls at once"),
        ({"source_networks": ["192.0.2.1/24"]}, "has host bits set"),
        ({"source_networks": ["carrier.example"]}, "does not appear to be an IPv4 or IPv6 network"),
        ({"no_reply_timeout_ms": 5}, "no-reply timeout: 100 to 30000 ms"),
        ({"ring_timeout_seconds": 9999}, "ring timeout: 1 to 3600"),
    ],
)
def test_settings_are_checked(
    db: Conn, carrier: gateway.Gateway, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        gateway.change(db, tenant_id=SYSTEM, name="carrier", **settings)
    assert gateway.find(db, tenant_id=SYSTEM, name="carrier") == carrier


def test_sources_are_added_and_removed_one_by_one(db: Conn, carrier: gateway.Gateway) -> None:
    where: dict[str, Any] = {"tenant_id": SYSTEM, "name": "carrier"}
    after = gateway.add_sources(db, **where, networks=["192.0.2.10", "2001:db8::/32"])
    assert after.source_networks == ("192.0.2.10/32", "2001:db8::/32")
    with pytest.raises(AlreadyExists, match=r"192\.0\.2\.10/32 is a source"):
        gateway.add_sources(db, **where, networks=["192.0.2.10"])
    assert gateway.remove_sources(db, **where, networks=["192.0.2.10"]).source_networks == ("2001:db8::/32",)
    with pytest.raises(NotFound, match="is no source"):
        gateway.remove_sources(db, **where, networks=["192.0.2.10"])


def test_gateway_of_another_owner_is_not_found(db: Conn, acme: int, rival: int) -> None:
    gateway.add(db, tenant_id=acme, name="pbx", host="192.0.2.20")
    for owner in (rival, SYSTEM):
        with pytest.raises(NotFound):
            gateway.find(db, tenant_id=owner, name="pbx")
        with pytest.raises(NotFound):
            gateway.change(db, tenant_id=owner, name="pbx", port=1)
        with pytest.raises(NotFound):
            gateway.remove(db, tenant_id=owner, name="pbx")
        with pytest.raises(NotFound):
            gateway_rate.list_rates(db, tenant_id=owner, gateway="pbx")
        with pytest.raises(NotFound):
            gateway.find_usable(db, tenant_id=owner, name="pbx")


def test_name_means_the_own_gateway_first_then_the_system_one(
    db: Conn, acme: int, rival: int, carrier: gateway.Gateway
) -> None:
    own = gateway.add(db, tenant_id=acme, name="carrier", host="192.0.2.20")
    assert gateway.find_usable(db, tenant_id=acme, name="carrier").gateway_id == own.gateway_id
    assert gateway.find_usable(db, tenant_id=rival, name="carrier").gateway_id == carrier.gateway_id


def route_to(db: Conn, tenant_id: int, kind: str, name: str) -> None:
    db.execute(
        "INSERT INTO route (tenant_id, priority, destination_kind, destination) VALUES (%s, 1, %s, %s)",
        [tenant_id, kind, name],
    )


def test_gateway_stays_while_something_leads_to_it(db: Conn, acme: int, carrier: gateway.Gateway) -> None:
    route_to(db, acme, "gateway", "carrier")
    with pytest.raises(StillInUse, match='route 1 still lead to gateway "carrier"'):
        gateway.remove(db, tenant_id=SYSTEM, name="carrier")
    # A gateway of its own takes the place of the system's for this tenant.
    gateway.add(db, tenant_id=acme, name="carrier", host="192.0.2.20")
    group.add(db, tenant_id=SYSTEM, name="all")
    group.set_member(db, tenant_id=SYSTEM, name="all", gateway="carrier")
    with pytest.raises(StillInUse, match="still a member of a group"):
        gateway.remove(db, tenant_id=SYSTEM, name="carrier")
    group.remove_member(db, tenant_id=SYSTEM, name="all", gateway="carrier")
    gateway.remove(db, tenant_id=SYSTEM, name="carrier")
    with pytest.raises(StillInUse):
        gateway.remove(db, tenant_id=acme, name="carrier")


def test_listing_tells_what_speaks_against_a_gateway(db: Conn, carrier: gateway.Gateway) -> None:
    trunk.add(db, tenant_id=SYSTEM, gateway="carrier", username="u", password="p")
    db.execute("UPDATE gateway SET health = 'down', health_reason = 'OPTIONS unanswered', enabled = false")
    db.execute("UPDATE trunk SET state = 'lost', state_reason = '403'")
    [listed] = gateway.list_gateways(db, tenant_id=None)
    assert listed.registration is RegistrationState.LOST
    assert listed.reason == "out of use; OPTIONS unanswered; registration lost: 403"
    db.execute("UPDATE gateway SET health = 'up', enabled = true")
    db.execute("UPDATE trunk SET state = 'registered', state_reason = ''")
    [listed] = gateway.list_gateways(db, tenant_id=None)
    assert listed.reason == ""


# ---------------------------------------------------------------------------------------------- rates

RATES = (
    "prefix,price_per_minute,connection_fee,first_increment_seconds,next_increment_seconds,currency\n"
    ",2.5,0,60,60,RUB\n"
    "7495,0.000001,0.1,30,6,RUB\n"
    "7800,0,0,1,1,EUR\n"
)


def test_exported_prices_are_the_same_again(db: Conn, carrier: gateway.Gateway, tmp_path: Path) -> None:
    where: dict[str, Any] = {"tenant_id": SYSTEM, "gateway": "carrier"}
    path = write(tmp_path, RATES)
    assert gateway_rate.import_(db, **where, file=path).added == ("default", "7495", "7800")
    assert gateway_rate.import_(db, **where, file=path).unchanged == ("default", "7495", "7800")
    assert "".join(gateway_rate.export(db, **where)) == RATES
    assert gateway_rate.list_rates(db, **where)[1].price_per_minute == Decimal("0.000001")


def test_new_price_list_replaces_the_old_one_at_once(
    db: Conn, carrier: gateway.Gateway, tmp_path: Path
) -> None:
    where: dict[str, Any] = {"tenant_id": SYSTEM, "gateway": "carrier"}
    gateway_rate.import_(db, **where, file=write(tmp_path, RATES))
    path = write(tmp_path, "prefix;price_per_minute\n7495;0,75\n7499;1\n")
    dry = gateway_rate.import_(db, **where, file=path, replace=True, dry_run=True)
    assert (dry.added, dry.changed, dry.removed) == (("7499",), ("7495",), ("default", "7800"))
    assert "".join(gateway_rate.export(db, **where)) == RATES
    gateway_rate.import_(db, **where, file=path, replace=True)
    rates = gateway_rate.list_rates(db, **where)
    assert [rate.prefix for rate in rates] == ["7495", "7499"]
    # What the file does not name stays as it was.
    assert (rates[0].price_per_minute, rates[0].first_increment_seconds) == (Decimal("0.75"), 30)


def test_wrong_prices_are_told_by_line(db: Conn, carrier: gateway.Gateway, tmp_path: Path) -> None:
    text = (
        "prefix,price_per_minute,currency\n"
        "74,1,RUB\n"
        "+75,1,RUB\n"
        "76,-1,RUB\n"
        "77,much,RUB\n"
        "78,,RUB\n"
        "74,2,RUB\n"
        "79,1,rub\n"
        "80,0.0000001,RUB\n"
        "81,12345678901234567890123456789,RUB\n"
        "82,9999999,RUB\n"
    )
    with pytest.raises(CsvRefused) as caught:
        gateway_rate.import_(db, tenant_id=SYSTEM, gateway="carrier", file=write(tmp_path, text))
    assert caught.value.message.splitlines()[1:] == [
        "  line 3: prefix: up to 15 digits",
        "  line 4: price per minute: 0 or more",
        '  line 5: price_per_minute: "much" is not an amount in steps of 0.000001',
        "  line 6: price_per_minute is missing",
        '  line 7: prefix "74" is in line 2 already',
        "  line 8: currency: three capital letters, as RUB",
        '  line 9: price_per_minute: "0.0000001" is not an amount in steps of 0.000001',
        '  line 10: price_per_minute: "12345678901234567890123456789" is not an amount in steps of 0.000001',
        "  line 11: numeric field overflow",
    ]
    assert gateway_rate.list_rates(db, tenant_id=SYSTEM, gateway="carrier") == []


def test_two_prices_may_be_set_in_one_transaction(db: Conn, carrier: gateway.Gateway) -> None:
    with db.transaction():
        for prefix in ("", "7"):
            rate = Rate(prefix=prefix, price_per_minute=Decimal(1))
            gateway_rate.set_rate(db, tenant_id=SYSTEM, gateway="carrier", rate=rate)
    assert len(gateway_rate.list_rates(db, tenant_id=SYSTEM, gateway="carrier")) == 2


def test_too_fine_a_price_is_refused(db: Conn, carrier: gateway.Gateway) -> None:
    rate = Rate(prefix="", price_per_minute=Decimal("0.0000001"))
    with pytest.raises(BadInput, match="finer than the smallest amount"):
        gateway_rate.set_rate(db, tenant_id=SYSTEM, gateway="carrier", rate=rate)


# ---------------------------------------------------------------------------------------------- ksctl


def test_ksctl_gateway_from_birth_to_removal(ksctl: Ksctl) -> None:
    ksctl.ok("gateway add carrier sip.carrier.example --source 192.0.2.0/24 --max-calls 30 --no-probe")
    ksctl.ok("gateway source add carrier 198.51.100.7")
    ksctl.ok("gateway set carrier --transport tls --port 5061 --max-calls none --region none --disable")
    shown = ksctl.ok("gateway show carrier -o json").json
    assert shown["source_networks"] == ["192.0.2.0/24", "198.51.100.7/32"]
    assert (shown["transport"], shown["max_calls"], shown["probe"]) == ("tls", None, False)
    [row] = ksctl.ok("gateway list -o csv").csv
    assert (row["address"], row["reason"]) == ("tls:sip.carrier.example:5061", "out of use")
    assert "is no source" in ksctl.fails(3, "gateway source rm carrier 203.0.113.1")
    assert "source: 10.0.0.1/8 has host bits set" in ksctl.fails(1, "gateway set carrier --source 10.0.0.1/8")
    assert "has a gateway of this name" in ksctl.fails(4, "gateway add carrier h")
    ksctl.ok("gateway rm carrier")
    assert 'no gateway "carrier"' in ksctl.fails(3, "gateway show carrier")


def test_ksctl_prices(ksctl: Ksctl, tmp_path: Path) -> None:
    ksctl.ok("gateway add carrier h")
    ksctl.ok("gateway rate set carrier 2,5")
    ksctl.ok("gateway rate set carrier 0.9 --prefix 7495 --first-increment 30 --next-increment 6")
    assert [row["price_per_minute"] for row in ksctl.ok("gateway rate list carrier -o csv").csv] == [
        "2.500000",
        "0.900000",
    ]
    exported = ksctl.ok("gateway rate export carrier").stdout
    dry = ksctl.ok(
        "gateway rate import carrier --replace --dry-run -", stdin="prefix,price_per_minute\n7,1\n"
    )
    assert dry.stdout == "add 7\nremove default\nremove 7495\n"
    again = ksctl.ok("gateway rate import carrier -", stdin=exported)
    assert again.stderr == "0 added, 0 changed, 2 unchanged\n"
    ksctl.ok("gateway rate rm carrier --prefix 7495")
    assert "no rate for the prefix" in ksctl.fails(3, "gateway rate rm carrier --prefix 7495")
    assert '"free" is not an amount' in ksctl.fails(2, "gateway rate set carrier free")
