"""ksctl call: what an operator sees, and the exit codes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from kalibri.config import Config
from tests.support.events import START, CallBuilder, Journals, talked_call
from tests.support.fix_ksctl import Ksctl
from tests.support.rpc_kamailio import Phones, rpc_kamailio
from tools.ks_cdr import CdrDaemon


@pytest.fixture
def stored(db: psycopg.Connection, pg_config: Config) -> CallBuilder:
    """One call that was talked in, and a ringing one an hour later."""
    db.execute("INSERT INTO tenant (tenant_id, name, realm) VALUES (7, 'acme', 'acme')")
    call = talked_call()
    call.add(65_104, "call.media", a_packets=3000, b_packets=2998, relayed=5998)
    later = CallBuilder(2, start=START + timedelta(hours=1))
    later.start(a="\x1b[31mred", b="200")
    Journals(pg_config).append("a", *call.events, *later.events)
    daemon = CdrDaemon(pg_config)
    assert daemon.settle()
    daemon.close()
    return call


def test_list_shows_the_latest_first_in_every_form(ksctl: Ksctl, stored: CallBuilder) -> None:
    table = ksctl.ok("call list").stdout.splitlines()
    assert table[0].startswith("STARTED AT")
    assert table[0].endswith("HUNG UP BY")
    assert "\\x1b[31mred" in table[1]
    # The gateway has no name any more: its id is shown.
    told = "acme alice 88121234567 +78121234567 6 200 normal 3.0 60.0 callee"
    assert " ".join(table[2].split()) == f"2026-11-22 10:00:00+00:00 {stored.call_id} {told}"
    row = ksctl.ok("call list --answered -o csv").csv[0]
    assert (row["call_id"], row["talk_seconds"], row["code"]) == (str(stored.call_id), "60.0", "200")
    [told] = ksctl.ok("call list --until 2026-11-22T10:30 -o json").json
    assert (told["talk_ms"], told["attempts"][0]["code"]) == (60000, 408)


def test_list_takes_relative_times_and_says_when_there_may_be_more(ksctl: Ksctl, stored: CallBuilder) -> None:
    assert ksctl.ok("call list --until 100000w -o csv").csv == []
    assert "--limit shows more" in ksctl.ok("call list --limit 1").stderr


@pytest.mark.parametrize(
    ("exit_code", "words", "message"),
    [
        (2, "call list --since yesterday", "'yesterday' is no time"),
        (2, "call list --code 99", "99 is not in the range"),
        (3, "call list --gateway none", 'there is no gateway "none"'),
        (3, "call list --tenant nobody", 'there is no tenant "nobody"'),
        (3, "call show ffff", "there is no call whose id begins with"),
        (1, "call show xyz", "is no id of a call"),
        (1, "call live", "the proxy does not answer at"),
    ],
)
def test_refusals(ksctl: Ksctl, exit_code: int, words: str, message: str) -> None:
    assert message in ksctl.fails(exit_code, words)


def test_show_tells_the_story(ksctl: Ksctl, stored: CallBuilder) -> None:
    lines = ksctl.ok(f"call show {str(stored.call_id)[:11]}").stdout.splitlines()
    assert lines[:2] == [
        f"call {stored.call_id}",
        "2026-11-22 10:00:00.000 UTC, tenant acme, node n1, SIP Call-ID 1-1@127.0.0.1",
    ]
    assert lines[3] == (
        "     +0.000 s  → INVITE from account alice at 127.0.0.1:5070 udp: alice calls 88121234567"
    )
    assert lines[8] == "     +2.103 s  ← attempt 2: 180 Ringing"
    assert lines[-2:] == [
        "talked 60.0 s: hung up after talking; hung up first: callee",
        "RTP: caller sent 3000 packets; callee sent 2998 packets; 5998 relayed",
    ]


def test_show_as_json_and_csv_has_the_same_story(ksctl: Ksctl, stored: CallBuilder) -> None:
    told = ksctl.ok(f"call show {stored.call_id} -o json").json
    assert told["call"]["call_id"] == str(stored.call_id)
    assert told["summary"].startswith("talked 60.0 s")
    rows = ksctl.ok(f"call show {stored.call_id} -o csv").csv
    assert [row["text"] for row in rows] == [line["text"] for line in told["lines"]]


def test_show_of_an_ambiguous_id_names_the_candidates(ksctl: Ksctl, stored: CallBuilder) -> None:
    assert str(stored.call_id) in ksctl.fails(1, f"call show {str(stored.call_id)[:2]}")


def test_live_shows_pages_and_works_without_the_database(
    ksctl: Ksctl, db: psycopg.Connection, tmp_path: Path
) -> None:
    db.execute("INSERT INTO tenant (tenant_id, name, realm) VALUES (7, 'acme', 'acme')")
    with rpc_kamailio() as proxy, Phones(proxy) as phones:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "kamailio_rpc.sock").symlink_to(proxy.socket)
        for n in range(3):
            phones.call(f"a{n}", "100", {"X-KS-Call": str(CallBuilder(n).call_id), "X-Tenant": str(6 + n)})
        outcome = ksctl.ok("call live --limit 2 -o csv")
        assert {(row["a"], row["tenant"]) for row in outcome.csv} <= {
            ("a0", "6"),
            ("a1", "acme"),
            ("a2", "8"),
        }
        assert "page 1 of 2, 3 calls" in outcome.stderr
        assert len(ksctl.ok("call live --limit 2 --page 2 -o json").json) == 1
        assert [call["a"] for call in ksctl.ok("call live --tenant acme -o json").json] == ["a1"]
        away = Ksctl({"KALIBRI_DATABASE_DSN": "host=/nowhere", "KALIBRI_HOME": str(tmp_path)})
        assert {row["tenant"] for row in away.ok("call live -o csv").csv} == {"6", "7", "8"}
