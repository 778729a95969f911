"""ks-rec killed anywhere, with real PostgreSQL: no recording is lost, doubled or half-written."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg
import pytest

from callcore.recording import RecordingState
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.db import connect_tool
from kalibri.files import sha256_of
from kalibri.services import recording as recordings
from tests.support.fix_pg import temporary_cluster
from tests.support.prompt_cache import lay_down_prompts
from tests.support.rec_process import RecProcess, run_until
from tests.support.recordings import TestCall, read_wav, recorded_call
from tests.support.waiting import wait_until

RECORDINGS = 24


def environment(config: Config) -> dict[str, str]:
    return {
        "KALIBRI_HOME": str(config.home),
        "KALIBRI_DATABASE_DSN": config.database_dsn,
        "KALIBRI_RECORDING_LEASE_SECONDS": "2",
        "KALIBRI_RECORDING_WORKERS": "2",
    }


def keep_everything(conn: psycopg.Connection) -> None:
    recordings.set_policy(conn, tenant_id=0, keep_wav=True, keep_original=True)


def assert_whole(conn: psycopg.Connection, config: Config, calls: list[TestCall]) -> None:
    """Every recording is there once, sample for sample, and nothing else lies about."""
    rows = {row.recording_id: row for row in recordings.list_recordings(conn)}
    assert rows.keys() == {call.recording_id for call in calls}
    stored = set()
    for call in calls:
        assert rows[call.recording_id].state is RecordingState.INDEXED, rows[call.recording_id]
        files = {file.name: file for file in recordings.files(conn, recording_ids=[call.recording_id])}
        assert set(files) == {"mp3", "wav", "pcap-1"}
        for file in files.values():
            path = recordings.local_path(config, file)
            assert sha256_of(path) == file.sha256
            stored.add(path)
        samples, _ = read_wav(recordings.local_path(config, files["wav"]))
        assert np.array_equal(samples, call.expected)
        events = [event.kind for event in recordings.events(conn, recording_id=call.recording_id)]
        assert events == ["spooled", "stored"]
    assert {path for path in config.recording_directory.rglob("*") if path.is_file()} == stored
    for folder in (config.rtp_manifest_directory, config.rtp_recording_directory, config.rtp_spool_directory):
        assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert [path for path in config.rtp_work_directory.iterdir() if not path.name.endswith(".tmp")] == []


def test_killed_between_any_two_effects(pg_config: Config, db: psycopg.Connection) -> None:
    """One run after the other is killed one point later; each goes on where the one before was."""
    keep_everything(db)
    points = []
    for point in range(1, 40):
        call = recorded_call(pg_config, seconds=0.4, seed=point)
        killed, name = run_until(point, environment(pg_config))
        points.append(name)
        if killed:
            db.execute("UPDATE recording SET retry_at = NULL")
            assert run_until(0, environment(pg_config)) == (False, "")
        files = recordings.files(db, recording_ids=[call.recording_id])
        assert len(files) == 3, (name, recordings.find(db, recording_id=call.recording_id))
        wav = next(file for file in files if file.name == "wav")
        assert np.array_equal(read_wav(recordings.local_path(pg_config, wav))[0], call.expected), name
        assert sha256_of(recordings.local_path(pg_config, wav)) == wav.sha256
        if not killed:
            break
    told = ["mixed", "facts", "told mixed", "encoded", "told encoded", "put mp3", "put wav", "put pcap-1"]
    assert points == [*told, "told stored", "cleared", "told indexed", ""]
    assert list(pg_config.rtp_manifest_directory.glob("*.jsonl")) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_with_the_database_going_away(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with temporary_cluster() as server:
        patient = DatabaseConfig(dsn=server.dsn("kalibri"), connect_timeout_ms=30_000)
        config = Config(home=tmp_path, database=patient)
        with closing(connect_tool(config, application_name="test")) as conn:
            keep_everything(conn)
        calls: list[TestCall] = []
        lay_down_prompts(tmp_path)
        recorder = RecProcess(environment(config))
        deeds: list[Callable[[], None]] = [server.kill, server.stop]
        while len(calls) < RECORDINGS:
            calls += [recorded_call(config, seconds=rng.uniform(0.5, 40), seed=len(calls)) for _ in range(3)]
            time.sleep(rng.uniform(0.05, 1.5))  # the random point
            workers = recorder.children()
            if workers and rng.random() < 0.5:
                os.kill(rng.choice(workers), signal.SIGKILL)
                continue
            recorder.kill()
            if deeds:
                deeds.pop()()
                server.start_again()
            recorder.start()

        def finished() -> bool:
            with closing(connect_tool(config, application_name="test")) as conn:
                rows = recordings.list_recordings(conn, states=[RecordingState.INDEXED])
            return len(rows) == len(calls)

        wait_until(finished, "that all recordings are finished", 240)
        assert recorder.stop() == 0
        with closing(connect_tool(config, application_name="test")) as conn:
            assert_whole(conn, config, calls)
