"""Nodes: addresses in one form, what a host registers at its start, heartbeats by the database's clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from callcore.errors import AlreadyExists, BadInput, NotFound
from callcore.states import NodeKind
from kalibri import db as database
from kalibri.config import Config
from kalibri.config_sections import RtpConfig
from kalibri.db import Conn
from kalibri.services import node as nodes
from kalibri.services.node import BadAddress, check_address
from tools.instance.processes import processes, rtp_control

CHANGES = "SELECT count(*) FROM change_log WHERE noun = 'node'"


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def config(pg_config: Config) -> Config:
    return with_nodes(pg_config, 2)


def with_nodes(config: Config, count: int) -> Config:
    return replace(config, rtp=RtpConfig(nodes=count))


def listed(conn: Conn, kind: NodeKind | None = None) -> dict[str, str]:
    return {node.name: node.address for node in nodes.list_nodes(conn, kind=kind)}


def test_host_registers_its_proxy_and_rtp_nodes(conn: Conn, config: Config) -> None:
    names = ["n1-proxy", "n1-rtp-1", "n1-rtp-2", "n1-rtpc-1", "n1-rtpc-2", "n1-media-1"]
    assert nodes.register_nodes(conn, config) == names
    assert listed(conn) == {
        "n1-proxy": "udp:127.0.0.1:5066",
        "n1-rtp-1": "udp:127.0.0.1:22222",
        "n1-rtp-2": "udp:127.0.0.1:22223",
        "n1-rtpc-1": "udp:127.0.0.1:22100",
        "n1-rtpc-2": "udp:127.0.0.1:22110",
        "n1-media-1": "udp:127.0.0.1:5080",
    }
    proxy = nodes.find(conn, name="n1-proxy")
    assert (proxy.kind, proxy.host, proxy.enabled, proxy.heartbeat_at) == ("proxy", "n1", True, None)
    assert proxy.data == {"registered_by": "ksinit", "sip": "udp:127.0.0.1:5060"}


def test_addresses_and_names_are_those_of_the_processes(conn: Conn, config: Config) -> None:
    nodes.register_nodes(conn, config)
    for number in (1, 2):
        host, port = rtp_control(config, number)
        assert nodes.find(conn, name=f"n1-rtp-{number}").address == f"udp:{host}:{port}"
    registered = {nodes.node_of_process(config, item.name) for item in processes(config)} - {None}
    assert registered == set(listed(conn))


def test_second_start_changes_nothing(conn: Conn, config: Config) -> None:
    nodes.register_nodes(conn, config)
    nodes.change(conn, name="n1-rtp-1", enabled=False)
    nodes.beat(conn, names=["n1-rtp-1"])
    before, logged = nodes.find(conn, name="n1-rtp-1"), database.fetch_value(conn, CHANGES)
    nodes.register_nodes(conn, config)
    after = nodes.find(conn, name="n1-rtp-1")
    assert (after.enabled, after.heartbeat_at) == (False, before.heartbeat_at)
    assert database.fetch_value(conn, CHANGES) == logged


def test_changed_configuration_moves_and_forgets_own_nodes_only(conn: Conn, config: Config) -> None:
    nodes.register_nodes(conn, config)
    nodes.register_nodes(conn, replace(config, node_name="n2"))
    nodes.add(conn, name="m1", kind=NodeKind.MEDIA, host="n1", address="udp:127.0.0.1:5070")
    changed = replace(config, rtp=RtpConfig(nodes=1, control_base_port=30_000))
    nodes.register_nodes(conn, changed)
    assert listed(conn, NodeKind.RTP) == {
        "n1-rtp-1": "udp:127.0.0.1:30000",
        "n2-rtp-1": "udp:127.0.0.1:22222",
        "n2-rtp-2": "udp:127.0.0.1:22223",
    }
    assert listed(conn, NodeKind.MEDIA) == {
        "m1": "udp:127.0.0.1:5070",
        "n1-media-1": "udp:127.0.0.1:5080",
        "n2-media-1": "udp:127.0.0.1:5080",
    }


def test_heartbeat_has_an_age_by_the_clock_of_the_database(conn: Conn, config: Config) -> None:
    nodes.register_nodes(conn, config)
    nodes.beat(conn, names=["n1-rtp-1", "unknown"])
    logged = database.fetch_value(conn, CHANGES)
    conn.execute("UPDATE node SET heartbeat_at = now() - interval '90 seconds' WHERE name = 'n1-rtp-2'")
    ages = {node.name: node.heartbeat_age_seconds for node in nodes.list_nodes(conn)}
    assert ages["n1-proxy"] is None
    assert 0 <= (ages["n1-rtp-1"] or -1) < 30
    assert 90 <= (ages["n1-rtp-2"] or -1) < 120
    assert database.fetch_value(conn, CHANGES) == logged


def test_nodes_are_added_changed_and_removed(conn: Conn) -> None:
    made = nodes.add(conn, name="m1", kind=NodeKind.MEDIA, host="n2", address="udp:192.0.2.7:05070")
    assert made.address == "udp:192.0.2.7:5070"
    with pytest.raises(AlreadyExists, match="a node of this name"):
        nodes.add(conn, name="m1", kind=NodeKind.RTP, host="n2", address="udp:192.0.2.7:1")
    changed = nodes.change(conn, name="m1", enabled=False, address="tcp:192.0.2.8:5070")
    assert (changed.enabled, changed.address, changed.host) == (False, "tcp:192.0.2.8:5070", "n2")
    nodes.remove(conn, name="m1")
    for gone in (nodes.find, nodes.change, nodes.remove):
        with pytest.raises(NotFound, match='there is no node "m1"'):
            gone(conn, name="m1")


def test_names_have_a_form(conn: Conn) -> None:
    with pytest.raises(BadInput, match="name of the node"):
        nodes.add(conn, name="two words", kind=NodeKind.RTP, host="n1", address="udp:192.0.2.7:1")
    with pytest.raises(BadInput, match='host: ""'):
        nodes.add(conn, name="x", kind=NodeKind.RTP, host="", address="udp:192.0.2.7:1")


@pytest.mark.parametrize(
    ("kind", "text", "stored"),
    [
        (NodeKind.MEDIA, "udp:[2001:DB8::0:1]:5070", "udp:2001:db8::1:5070"),
        (NodeKind.MEDIA, "udp:2001:db8::1:5070", "udp:2001:db8::1:5070"),
        (NodeKind.CONTROLLER, "tcp:rtp.example.org:22000", "tcp:rtp.example.org:22000"),
        (NodeKind.MEDIA, "udp:media.example.org:5070", None),
        (NodeKind.RTP, "udp:[::zz]:5070", None),
        (NodeKind.RTP, "192.0.2.1:5070", None),
        (NodeKind.RTP, "sctp:192.0.2.1:5070", None),
        (NodeKind.RTP, "udp:192.0.2.1", None),
        (NodeKind.RTP, "udp:192.0.2.1:0", None),
        (NodeKind.RTP, "udp:192.0.2.1:65536", None),
    ],
)
def test_address_has_one_form(kind: NodeKind, text: str, stored: str | None) -> None:
    if stored is None:
        with pytest.raises(BadAddress):
            check_address(kind, text)
    else:
        assert check_address(kind, text) == stored
