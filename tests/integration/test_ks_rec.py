"""ks-rec as a process: without the database, on a full disk, with a recording that cannot be read."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
import pytest

from callcore.recording import RecordingState
from kalibri.config import PROJECT_ROOT, Config
from kalibri.config_sections import DatabaseConfig
from kalibri.db import connect_tool
from kalibri.prompt_audio import to_wav
from kalibri.services import prompt as prompts
from kalibri.services import recording as recordings
from tests.support.fix_pg import temporary_cluster
from tests.support.prompt_cache import lay_down_prompts
from tests.support.rec_process import RecProcess, intake
from tests.support.recordings import TestCall, recorded_call
from tests.support.waiting import wait_until
from tools.ks_rec import settle
from tools.rec.controllers import Controllers
from tools.rec.worker import Worker


def state_of(conn: psycopg.Connection, call: TestCall) -> RecordingState | None:
    found = recordings.list_recordings(conn, recording_ids=[call.recording_id])
    return found[0].state if found else None


@contextmanager
def ks_rec(config: Config) -> Iterator[RecProcess]:
    """A ks-rec whose prompts are compiled already."""
    lay_down_prompts(config.home)
    recorder = RecProcess({"KALIBRI_HOME": str(config.home), "KALIBRI_DATABASE_DSN": config.database_dsn})
    try:
        yield recorder
    finally:
        if recorder.process.poll() is None:
            recorder.kill()


def journal(config: Config) -> list[dict[str, object]]:
    lines = [
        line for path in config.journal_directory.glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    return [json.loads(line) for line in lines]


def alarms(config: Config) -> list[dict[str, object]]:
    return [line for line in journal(config) if line["kind"] == "alarm.raised"]


def test_it_finishes_recordings_beats_and_ends_in_order(pg_config: Config, db: psycopg.Connection) -> None:
    call = recorded_call(pg_config)
    with ks_rec(pg_config) as recorder:
        wait_until(lambda: state_of(db, call) is RecordingState.INDEXED, "that the recording is finished")
        beat = pg_config.run_directory / "ks-rec.beat"
        wait_until(lambda: beat.exists() and "0 to do, 0 going on" in beat.read_text(), "the sign of life")
        assert recorder.stop() == 0
    (event,) = [line for line in journal(pg_config) if line["kind"] == "recording.stored"]
    assert event["call"] == str(call.call_id)
    stored = recordings.find(db, recording_id=call.recording_id)
    assert event["data"] == {
        "recording": str(call.recording_id),
        "seconds": 2.0,
        "bytes": stored.bytes,
        "marks": 0,
    }


def test_recordings_wait_for_the_database(tmp_path: Path) -> None:
    with temporary_cluster() as server:
        config = Config(
            home=tmp_path,
            database=DatabaseConfig(dsn=server.dsn("kalibri"), connect_timeout_ms=30_000),
        )
        server.stop()
        call = recorded_call(config)
        with ks_rec(config) as recorder:
            beat = config.run_directory / "ks-rec.beat"
            wait_until(lambda: beat.exists() and "nothing is lost" in beat.read_text(), "that it waits")
            assert call.manifest.exists()
            server.start_again()
            with closing(connect_tool(config, application_name="test")) as conn:
                wait_until(lambda: state_of(conn, call) is RecordingState.INDEXED, "that it is finished")
            assert recorder.stop() == 0


def test_a_full_disk_raises_an_alarm_and_is_tried_again(pg_config: Config, db: psycopg.Connection) -> None:
    """No file may become longer than 40 kB: a WAV of two seconds has 64 kB."""
    lay_down_prompts(pg_config.home)
    call = recorded_call(pg_config)
    environment = {"KALIBRI_HOME": str(pg_config.home), "KALIBRI_DATABASE_DSN": pg_config.database_dsn}
    with (pg_config.home / "limited.log").open("wb") as log:
        limited = subprocess.Popen(
            ["prlimit", "--fsize=40000", sys.executable, "-m", "tools.ks_rec"],
            cwd=PROJECT_ROOT,
            env={**os.environ, **environment},
            stderr=log,
        )
    try:
        wait_until(lambda: state_of(db, call) is RecordingState.FAILED, "that it fails")
        wait_until(lambda: "too large" in str(alarms(pg_config)), "the alarm")
    finally:
        limited.kill()
        limited.wait()
    failed = recordings.find(db, recording_id=call.recording_id)
    assert (failed.attempts >= 1, failed.retry_at is not None) == (True, True)
    half_written = [path for path in pg_config.rtp_work_directory.iterdir() if path.suffix != ".tmp"]
    assert half_written == []
    with ks_rec(pg_config):
        wait_until(lambda: state_of(db, call) is RecordingState.INDEXED, "that it is finished", 180)
    assert recordings.find(db, recording_id=call.recording_id).error == ""


def test_one_that_cannot_be_read_does_not_hold_up_the_others(
    pg_config: Config, db: psycopg.Connection
) -> None:
    broken = recorded_call(pg_config, age_seconds=300)
    path = next(pg_config.rtp_recording_directory.rglob("*.pcap"))
    whole = path.read_bytes()
    path.write_bytes(b"this is no capture at all, but long enough")
    good = recorded_call(pg_config, seed=5)
    assert not settle(pg_config)
    assert state_of(db, good) is RecordingState.INDEXED
    failed = recordings.find(db, recording_id=broken.recording_id)
    assert (failed.state, "not a pcap file" in failed.error) == (RecordingState.FAILED, True)
    path.write_bytes(whole)
    db.execute("UPDATE recording SET retry_at = NULL")
    assert settle(pg_config)
    assert recordings.find(db, recording_id=broken.recording_id).duration_ms == 2000


def test_a_manifest_that_cannot_be_read_is_put_aside(pg_config: Config) -> None:
    call = recorded_call(pg_config)
    call.manifest.write_bytes(b'{"at": "torn')
    os.utime(call.manifest, (0, 0))
    assert settle(pg_config)
    assert not call.manifest.exists()
    assert (call.manifest.parent / "bad" / call.manifest.name).exists()


class FakeController:
    """Answers session.find as an RTP controller does."""

    def __init__(self, path: Path, result: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        self._result = result
        self.asked: list[dict[str, object]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer, peer.makefile("rb") as lines:
                self.asked.append(json.loads(lines.readline()))
                peer.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "result": self._result}).encode() + b"\n")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.mark.parametrize("known", [True, False])
def test_a_silent_call_is_finished_only_when_no_controller_holds_it(
    pg_config: Config, db: psycopg.Connection, known: bool
) -> None:
    call = recorded_call(pg_config, stop=None, age_seconds=300)
    controller = FakeController(
        pg_config.run_directory / "rtpc-1.sock", [{"call": str(call.call_id)}] if known else []
    )
    try:
        settle(pg_config)
    finally:
        controller.close()
    assert controller.asked[0]["method"] == "session.find"
    assert controller.asked[0]["params"] == {"call": str(call.call_id)}
    assert state_of(db, call) is (None if known else RecordingState.INDEXED)


def test_a_controller_that_is_gone_knows_nothing(tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(tmp_path / "rtpc-1.sock"))
    sock.close()  # the file stays, nobody listens
    assert not Controllers(tmp_path).know(uuid4())


def test_a_controller_that_hangs_is_waited_for_once(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(tmp_path / "rtpc-1.sock"))
        sock.listen()  # and never an answer
        controllers = Controllers(tmp_path, clock=lambda: 1000.0)
        began = time.monotonic()
        assert all(controllers.know(uuid4()) for _ in range(20))
        assert time.monotonic() - began < 10


def test_a_recording_removed_while_it_is_worked_on_leaves_nothing(
    pg_config: Config, db: psycopg.Connection
) -> None:
    call = recorded_call(pg_config)

    def remove(point: str) -> None:
        if point == "put mp3":
            recordings.remove(db, recording_id=call.recording_id, by="somebody")

    intake(pg_config, db)
    with closing(Worker(pg_config, notice=remove)) as worker:
        worker.work()
    assert state_of(db, call) is RecordingState.REMOVED
    assert [path for path in pg_config.recording_directory.rglob("*") if path.is_file()] == []


def test_prompts_are_compiled_by_it_and_follow_the_database(
    pg_config: Config, db: psycopg.Connection
) -> None:
    with ks_rec(pg_config):
        db.execute(
            "INSERT INTO prompt (tenant_id, name, language, version, duration_ms, master)"
            " VALUES (0, 'jingle', 'any', 1, 100, %s)",
            [_silence()],
        )
        path = pg_config.prompt_directory / "0" / "jingle" / "any-1.8"
        wait_until(path.exists, "that the prompt is compiled")
        wait_until(lambda: prompts.is_synchronised(db, pg_config), "that the index shows it")
    assert prompts.path_of(pg_config, tenant_id=9, name="jingle", language="ru") == path.with_suffix("")


def _silence() -> bytes:
    return to_wav(np.zeros(1600, np.int16))
