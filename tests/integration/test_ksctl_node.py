"""ksctl node: what an operator types and sees."""

from __future__ import annotations

import psycopg
import pytest

from kalibri.config import Config
from kalibri.services import node as nodes
from tests.support.fix_ksctl import Ksctl


def test_nodes_from_birth_to_removal(ksctl: Ksctl) -> None:
    said = ksctl.ok("node add m1 --kind media --address udp:192.0.2.7:5070 --host n2").stderr
    assert said == "media node m1 added at udp:192.0.2.7:5070\n"
    ksctl.ok("node add c1 --kind controller --address udp:192.0.2.8:22000")
    assert ksctl.ok("node list --kind media -o csv").csv == [
        {
            "kind": "media",
            "name": "m1",
            "host": "n2",
            "address": "udp:192.0.2.7:5070",
            "enabled": "true",
            "state": "",
            "weight": "",
            "capacity": "300",
            "sessions": "",
            "packets_per_second": "",
            "load": "",
            "heartbeat_age": "",
        }
    ]
    ksctl.ok("node set m1 --disable --address udp:192.0.2.9:5070")
    shown = ksctl.ok("node show m1 -o json").json
    assert (shown["enabled"], shown["address"]) == (False, "udp:192.0.2.9:5070")
    assert ksctl.ok("node show c1 -o json").json["host"] == "n1"
    ksctl.ok("node rm m1")
    assert [row["name"] for row in ksctl.ok("node list -o json").json] == ["c1"]


def test_heartbeat_is_shown_by_its_age(ksctl: Ksctl, db: psycopg.Connection, pg_config: Config) -> None:
    nodes.register_nodes(db, pg_config)
    db.execute(
        "UPDATE node SET heartbeat_at = clock_timestamp() - interval '3 hours 40 minutes' WHERE kind = 'proxy'"
    )
    table = ksctl.ok("node list --kind proxy").stdout.splitlines()
    assert table[0].endswith("HEARTBEAT")
    assert table[1].split() == ["proxy", "n1-proxy", "n1", "udp:127.0.0.1:5066", "yes", *"-----", "3", "h"]
    assert 13_000 < ksctl.ok("node list --kind proxy -o json").json[0]["heartbeat_age_seconds"] < 13_500


@pytest.mark.parametrize(
    ("exit_code", "words", "message"),
    [
        (1, "node add x --kind media --address udp:example.org:5070", '"example.org" is no IP address'),
        (1, "node add x --kind rtp --address here", '"here" is no address: write udp:192.0.2.10:5070'),
        (2, "node add x --kind toaster --address udp:192.0.2.1:1", "'toaster' is not one of 'proxy', 'rtp'"),
        (2, "node add x --kind rtp", "Missing option '--address'"),
        (3, "node set nothing --disable", 'there is no node "nothing"'),
        (3, "node rm nothing", 'there is no node "nothing"'),
    ],
)
def test_refusals(ksctl: Ksctl, exit_code: int, words: str, message: str) -> None:
    assert message in ksctl.fails(exit_code, words)


def test_taken_name_is_refused(ksctl: Ksctl) -> None:
    ksctl.ok("node add x --kind rtp --address udp:192.0.2.1:1")
    assert "a node of this name exists already" in (
        ksctl.fails(4, "node add x --kind media --address udp:192.0.2.1:2")
    )
