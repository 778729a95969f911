"""The journal in a real Kamailio: one file a worker, and all of it stored when the workers are killed."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psycopg

from kalibri.config import Config
from tests.support.rpc_kamailio import rpc_kamailio
from tools.ks_cdr import CdrDaemon

REQUESTS = 60
#: The writer is made, and first used, before Kamailio forks.
SCRIPT = """
import KSR
from kalibri.journal import JournalWriter

journal = JournalWriter({directory!r}, "n1", "kemitest")


class Handlers:
    def child_init(self, rank):
        return 0

    def ksr_request_route(self, msg):
        journal.event("request", method=KSR.pv.gete("$rm"))
        KSR.sl.send_reply(200, "OK")
        return 1


def mod_init():
    journal.event("proxy.start", dialogs=[])
    return Handlers()
"""


def pids_of(directory: Path) -> set[int]:
    return {int(path.name.split("-")[3]) for path in directory.glob("*.jsonl")}


def test_nothing_is_lost_when_workers_are_killed(pg_config: Config, db: psycopg.Connection) -> None:
    directory = pg_config.journal_directory
    script = SCRIPT.format(directory=str(directory))
    with contextlib.closing(CdrDaemon(pg_config)) as daemon, rpc_kamailio(script) as proxy:
        for _ in range(REQUESTS):
            proxy.options()
        assert daemon.settle()
        workers = pids_of(directory) - {proxy.process.pid}
        assert 1 <= len(workers) <= 2  # each has a file of its own, which is kept while it lives
        assert proxy.process.pid in pids_of(directory)
        os.kill(workers.pop(), signal.SIGKILL)
        proxy.process.wait(20)  # the death of one worker ends them all
        assert daemon.settle()
    assert list(directory.iterdir()) == []
    told = db.execute("SELECT kind, count(*) FROM call_event GROUP BY kind ORDER BY kind").fetchall()
    assert told == [("proxy.start", 1), ("request", REQUESTS)]
    assert db.execute("SELECT count(*) FROM journal_quarantine").fetchall() == [(0,)]
