"""Manifests: read whole, torn, repeated; windows become marks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.recording import RecordingReason
from callcore.recording_manifest import (
    BadManifest,
    Mark,
    Segment,
    Side,
    Window,
    WindowKind,
    marks,
    parse_manifest,
)

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
CALL = UUID("0193523e-0000-7000-8000-000000000001")
RECORDING = UUID("0193523e-0000-7000-8000-000000000002")


def line(seconds: float, kind: str, **facts: Any) -> bytes:
    return (
        json.dumps({"at": (START + timedelta(seconds=seconds)).isoformat(), "kind": kind, **facts}).encode()
        + b"\n"
    )


FIRST = line(
    0,
    "start",
    recording_id=str(RECORDING),
    call=str(CALL),
    tenant=7,
    node="n1-rtp-1",
    host="n1",
    by="queue",
    a="74951112233",
    b="100",
    spool_dir="/s",
    final_dir="/f",
)


def test_a_whole_manifest() -> None:
    manifest = parse_manifest(
        FIRST
        + line(0, "segment", file="r.1.pcap", n=1)
        + line(0, "side", side="caller", local_port=4000, codecs=["0", "101"], dtmf_pt=101)
        + line(0, "side", side="callee", local_port=4002, codecs=["9"], dtmf_pt=None)
        + line(5, "pause", by="demand")
        + line(9, "resume", by="demand")
        + line(9, "segment", file="r.2.pcap", n=2)
        + line(20, "stop", reason="ended")
    )
    assert (manifest.recording_id, manifest.call_id, manifest.tenant_id) == (RECORDING, CALL, 7)
    assert manifest.reason is RecordingReason.QUEUE
    assert manifest.segments == (Segment(1, "r.1.pcap"), Segment(2, "r.2.pcap"))
    assert manifest.ports == {4000: Side.CALLER, 4002: Side.CALLEE}
    pause = Window(WindowKind.PAUSE, None, START + timedelta(seconds=5), START + timedelta(seconds=9))
    assert manifest.windows == (pause,)
    assert (manifest.stopped_at, manifest.stop_reason) == (START + timedelta(seconds=20), "ended")


@given(st.integers(0, 400))
def test_a_manifest_cut_anywhere_is_read_as_far_as_it_goes(cut: int) -> None:
    rest = line(1, "hold", side="callee") + line(2, "unhold", side="callee") + line(3, "stop", reason="ended")
    manifest = parse_manifest(FIRST + rest[:cut])
    assert manifest.recording_id == RECORDING
    assert len(manifest.windows) == (1 if cut >= len(line(1, "hold", side="callee")) - 1 else 0)


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_passed_over(garbage: bytes) -> None:
    with pytest.raises(BadManifest):
        parse_manifest(garbage)
    assert parse_manifest(FIRST + garbage.replace(b"\n", b" ") + b"\n").call_id == CALL


@pytest.mark.parametrize("name", ["../x.pcap", "a/b.pcap", "", ".", ".."])
def test_a_segment_never_leaves_its_folder(name: str) -> None:
    with pytest.raises(BadManifest):
        parse_manifest(FIRST + line(0, "segment", file=name, n=1))


def test_windows_that_overlap_repeat_or_never_end() -> None:
    manifest = parse_manifest(
        FIRST
        + line(1, "music", side="callee", on=True)
        + line(2, "hold", side="caller")
        + line(3, "hold", side="caller")
        + line(4, "music", side="callee", on=False)
        + line(5, "unhold", side="callee")
        + line(6, "pause", by="x")
    )
    found = marks(manifest.windows, origin=START + timedelta(seconds=0.5), duration_ms=7000)
    assert found == (
        Mark(WindowKind.MUSIC, Side.CALLEE, 500, 3500),
        Mark(WindowKind.HOLD, Side.CALLER, 1500, 7000),
        Mark(WindowKind.PAUSE, None, 5500, 7000),
    )


def test_a_window_before_or_after_the_audio_is_no_mark() -> None:
    window = Window(WindowKind.HOLD, Side.CALLER, START, START + timedelta(seconds=1))
    assert marks([window], origin=START + timedelta(seconds=2), duration_ms=5000) == ()
    assert marks([window], origin=START - timedelta(seconds=9), duration_ms=5000) == ()


def test_numbers_that_phones_wrote_can_be_stored() -> None:
    odd = FIRST.replace(b"74951112233", rb"\u0000\ud800x")
    assert parse_manifest(odd).a_number == "??x"
