"""The pipeline with real PostgreSQL and ffmpeg: from a manifest to a listed MP3."""

from __future__ import annotations

import json

import numpy as np
import psycopg

from callcore.recording import RecordingState
from kalibri.config import Config
from kalibri.services import recording as recordings
from tests.support.fix_ksctl import Ksctl
from tests.support.recordings import read_wav, recorded_call
from tools.ks_rec import settle


def test_a_recorded_call_becomes_a_listed_mp3(
    pg_config: Config, ksctl: Ksctl, db: psycopg.Connection
) -> None:
    recordings.set_policy(db, tenant_id=0, keep_wav=True, keep_original=True)
    call = recorded_call(pg_config)
    assert settle(pg_config)
    (row,) = ksctl.ok("recording list -o json").json
    assert (row["recording_id"], row["call_id"]) == (str(call.recording_id), str(call.call_id))
    assert (row["state"], row["duration_ms"], row["reason"]) == ("indexed", 2000, "route")
    shown = ksctl.ok(f"recording show {str(call.recording_id)[:13]} -o json").json
    assert [file["name"] for file in shown["files"]] == ["mp3", "pcap-1", "wav"]
    assert [event["kind"] for event in shown["events"]] == ["spooled", "stored"]
    wav = pg_config.recording_directory / shown["files"][2]["path"]
    samples, rate = read_wav(wav)
    assert rate == 8000
    assert np.array_equal(samples, call.expected)
    left = [
        path
        for folder in ("rtp/manifest", "rtp/work", "rtp/rec/n1-rtp-1")
        for path in (pg_config.home / folder).iterdir()
    ]
    assert left == []


def test_export_writes_audio_and_an_index_with_checksums(pg_config: Config, ksctl: Ksctl) -> None:
    call = recorded_call(pg_config)
    assert settle(pg_config)
    folder = pg_config.home / "out"
    ksctl.ok("recording", "export", str(call.recording_id), "--to", str(folder))
    (entry,) = json.loads((folder / "index.json").read_text())
    assert entry["file"] == f"{call.recording_id}.mp3"
    assert (folder / entry["file"]).stat().st_size == entry["bytes"]
    assert [e["kind"] for e in ksctl.ok(f"recording show {call.recording_id} -o json").json["events"]][
        -1
    ] == "export"


def test_a_recording_without_any_audio_is_listed_with_no_file(
    pg_config: Config, db: psycopg.Connection
) -> None:
    nothing = np.zeros(0, np.int16)
    call = recorded_call(pg_config, seconds=0, caller=nothing, callee=nothing)
    assert settle(pg_config)
    found = recordings.find(db, recording_id=call.recording_id)
    assert (found.state, found.duration_ms) == (RecordingState.INDEXED, 0)
    assert recordings.files(db, recording_ids=[call.recording_id]) == []
