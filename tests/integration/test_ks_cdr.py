"""ks-cdr as processes: killed anywhere, several at once, the database away; nothing is lost or doubled."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import psycopg
import pytest

from kalibri.journal import JournalWriter
from tests.support.fix_pg import RunningCluster, temporary_cluster
from tests.support.journal_load import CdrProcess, Writer, folded_calls, torn_files, written_events
from tests.support.waiting import wait_until

WRITERS = 4
CALLS = 1200
#: Spreads a writer's load over some ten seconds, so that kills meet ks-cdr at work.
PAUSE_SECONDS = 0.05


class Stage:
    """An instance with a database of its own, a journal directory, and two ks-cdr."""

    def __init__(self, server: RunningCluster, home: Path) -> None:
        self.server = server
        self.dsn = server.dsn("kalibri")
        self.directory = home / "journal"
        self.copies = home / "copies"
        self.copies.mkdir()
        environment = {"KALIBRI_HOME": str(home), "KALIBRI_DATABASE_DSN": self.dsn}
        self.cdrs = [CdrProcess(environment) for _ in range(2)]

    def disturb(self, rng: random.Random, writers: list[Writer]) -> None:
        """Kill ks-cdr at random points while the writers write; meanwhile worse things happen, too."""
        deeds = [self._stop_database, self._kill_database, writers[0].kill]
        while any(writer.running for writer in writers):
            time.sleep(rng.uniform(0.05, 1.5))  # the random point
            victim = rng.choice(self.cdrs)
            victim.kill()
            if deeds:
                deeds.pop()()
            victim.start()
        assert not deeds

    def _stop_database(self) -> None:
        self.server.stop()
        self.server.start_again()

    def _kill_database(self) -> None:
        self.server.kill()
        self.server.start_again()

    def settle(self) -> None:
        """Wait until ks-cdr has stored and deleted every file."""
        wait_until(lambda: not any(self.directory.glob("*.jsonl")), "that all journals are stored")

    def stop(self) -> list[int]:
        """Stop both in order; return their exit codes."""
        return [cdr.stop() for cdr in self.cdrs]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_or_doubled_whoever_is_killed_whenever(tmp_path: Path, seed: int) -> None:
    with temporary_cluster() as server:
        stage = Stage(server, tmp_path)
        writers = [
            Writer(stage.directory, stage.copies, 10 * seed + n, CALLS, PAUSE_SECONDS) for n in range(WRITERS)
        ]
        stage.disturb(random.Random(seed), writers)
        stage.settle()
        assert stage.stop() == [0, 0]
        _compare(stage)


def _compare(stage: Stage) -> None:
    events = written_events(stage.copies)
    assert len(events) > WRITERS * CALLS
    with psycopg.connect(stage.dsn) as conn:
        stored = [row[0] for row in conn.execute("SELECT event_id FROM call_event")]
        quarantined = {row[0] for row in conn.execute("SELECT file FROM journal_quarantine")}
        rows = conn.execute(
            "SELECT call_id, tenant_id, a_number, b_sent, route_ids, gateway_out_id, ringing_at, answered_at,"
            " ended_at, ring_ms, talk_ms, final_code, cause, hung_up_by, attempts FROM call"
        ).fetchall()
    assert len(stored) == len(events)
    assert set(stored) == set(events)
    assert quarantined == torn_files(stage.copies)
    expected = folded_calls(events)
    assert len(rows) == len(expected)
    for call_id, *told, attempts in rows:
        cdr = expected[call_id]
        assert told == [
            *(cdr.tenant_id, cdr.a_number, cdr.b_sent, list(cdr.route_ids), cdr.gateway_out_id),
            *(cdr.ringing_at, cdr.answered_at, cdr.ended_at, cdr.ring_ms, cdr.talk_ms),
            *(cdr.final_code, cdr.cause, cdr.hung_up_by),
        ]
        assert [(a["n"], a["code"]) for a in attempts] == [(a.n, a.code) for a in cdr.attempts]


def test_a_daemon_stores_within_a_second_and_ends_in_order(pg_dsn: str, tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal", "n1", "test")
    daemon = CdrProcess({"KALIBRI_HOME": str(tmp_path), "KALIBRI_DATABASE_DSN": pg_dsn})
    with psycopg.connect(pg_dsn, autocommit=True) as conn:

        def stored() -> int:
            row = conn.execute("SELECT count(*) FROM call_event").fetchone()
            assert row is not None
            return int(row[0])

        writer.event("first")
        wait_until(lambda: stored() == 1, "that the first event is stored")
        written_at = time.monotonic()
        writer.event("second")
        wait_until(lambda: stored() == 2, "that the second event is stored")
        assert time.monotonic() - written_at < 5
    beat = json.loads((tmp_path / "run" / "ks-cdr.beat").read_text())
    assert "events stored" in beat["detail"]
    assert daemon.stop() == 0
