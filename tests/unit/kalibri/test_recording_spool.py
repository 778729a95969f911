"""Where the files of a recording may lie, and that all of them are found and cleared."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from callcore.recording import SegmentFile
from kalibri.config import Config
from kalibri.recording_spool import Spool, segment_file, written
from rtpproxy_ctl.node import sweep_spool
from tests.support.recordings import recorded_call


def test_what_a_nodes_start_moved_is_found_under_its_number(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    call = recorded_call(config, seconds=0.1)
    manifest = Spool.of(config).read(call.recording_id)
    spool, final = Path(manifest.spool_dir), Path(manifest.final_dir)
    name = manifest.segments[0].file
    (spool / name).write_bytes(b"more")
    sweep_spool(spool, final)
    other = final / name.replace(".pcap", ".1.pcap")
    assert written(manifest) == [final / name, other]
    (spool / name).write_bytes(b"left by a node that never came back")
    assert written(manifest) == [final / name, other, spool / name]


def test_another_recordings_file_is_left_alone(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    one, two = recorded_call(config, seconds=0.1), recorded_call(config, seconds=0.1, seed=9)
    spool = Spool.of(config)
    spool.prepare()
    for call in (one, two):
        for path in (
            spool.wav(call.recording_id),
            spool.mp3(call.recording_id),
            spool.facts(call.recording_id),
        ):
            path.write_bytes(b"x")
    (spool.work / f".{one.recording_id}.wav.abc.tmp").write_bytes(b"half")
    spool.clear(one.recording_id)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == 5
    assert all(str(two.recording_id) in name for name in left)
    spool.clear(one.recording_id)


def test_what_is_known_of_a_segment(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    call = recorded_call(config, seconds=0.1)
    manifest = Spool.of(config).read(call.recording_id)
    path = Path(manifest.final_dir) / manifest.segments[0].file
    at = int(time.time()) - 50
    os.utime(path, (at, at))
    assert segment_file(manifest, manifest.segments[0]) == SegmentFile(
        True, False, datetime.fromtimestamp(at, UTC)
    )
    path.unlink()
    assert segment_file(manifest, manifest.segments[0]) == SegmentFile(False, False, None)
