"""Recordings for tests as a controller and a node leave them: a manifest and pcap files of known audio."""

from __future__ import annotations

import json
import os
import time
import wave
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from callcore.g711 import ULAW_DECODED, ulaw_encode
from callcore.ids import uuid7
from kalibri.config import Config
from tests.support.pcap_build import interleaved, stream, write_pcap

CALLER_PORT, CALLEE_PORT = 40_000, 40_002
RATE = 8000
FRAME = 160

Samples = NDArray[np.int16]


def tone(hertz: float, seconds: float, *, seed: int = 0, rate: int = RATE) -> Samples:
    """Return a tone with a little noise, so that no two frames are alike."""
    at = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 300, len(at))
    return np.asarray(8000 * np.sin(2 * np.pi * hertz * at) + noise, np.int16)


def frames(octets: bytes) -> list[bytes]:
    """Cut octets into frames of 20 ms."""
    return [octets[at : at + FRAME] for at in range(0, len(octets), FRAME)]


def read_wav(path: Path) -> tuple[Samples, int]:
    """Return the samples of a WAV, one column a side, and the rate."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return samples.reshape(-1, file.getnchannels()), file.getframerate()


@dataclass
class TestCall:
    """One recorded call: what both sides said, and where its files are."""

    __test__ = False

    config: Config
    recording_id: UUID
    call_id: UUID
    caller: Samples
    callee: Samples
    started_at: datetime
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def manifest(self) -> Path:
        """Where the manifest lies."""
        return self.config.rtp_manifest_directory / f"{self.recording_id}.jsonl"

    def tell(self, kind: str, at: datetime, **data: object) -> None:
        """Add a line to the manifest."""
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        line = {"at": at.isoformat(), "kind": kind, **data}
        self.lines.append(line)
        with self.manifest.open("a", encoding="ascii") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def expected(self) -> Samples:
        """What the WAV must hold: both sides, after G.711."""
        length = max(len(self.caller), len(self.callee))
        sides = [np.pad(heard(side), (0, length - len(side))) for side in (self.caller, self.callee)]
        return np.stack(sides, axis=1)


def heard(samples: Samples) -> Samples:
    """Return samples as they come out of u-law."""
    return ULAW_DECODED[ulaw_encode(samples)]


def recorded_call(
    config: Config,
    *,
    seconds: float = 2.0,
    seed: int = 1,
    tenant: int | None = 0,
    stop: str | None = "ended",
    age_seconds: float = 60.0,
    caller: Samples | None = None,
    callee: Samples | None = None,
    by: str = "route",
    numbers: tuple[str, str] = ("74951112233", "78120000001"),
) -> TestCall:
    """Lay down a call that was recorded `age_seconds` ago; stop None: nobody has ended it. numbers: A and B."""
    started = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=age_seconds)
    ms = int(started.timestamp() * 1000)
    call = TestCall(
        config=config,
        recording_id=uuid7(ms, os.urandom(10)),
        call_id=uuid7(ms, os.urandom(10)),
        caller=tone(440, seconds, seed=seed) if caller is None else caller,
        callee=tone(1000, seconds, seed=seed + 1) if callee is None else callee,
        started_at=started,
    )
    node = "n1-rtp-1"
    spool, final = config.rtp_spool_directory / node, config.rtp_recording_directory / node
    spool.mkdir(parents=True, exist_ok=True)
    call.tell(
        "start",
        started,
        recording_id=str(call.recording_id),
        call=str(call.call_id),
        tenant=tenant,
        node=node,
        host=config.node_name,
        by=by,
        a=numbers[0],
        b=numbers[1],
        spool_dir=str(spool),
        final_dir=str(final),
    )
    call.tell("side", started, side="caller", local_port=CALLER_PORT, codecs="0,101", dtmf_pt=101)
    call.tell("side", started, side="callee", local_port=CALLEE_PORT, codecs="0,101", dtmf_pt=101)
    name = f"{call.recording_id}.1.pcap"
    call.tell("segment", started, file=name, n=1)
    start_us = ms * 1000
    packets = interleaved(
        stream(frames(ulaw_encode(call.caller).tobytes()), port=CALLER_PORT, start_us=start_us, ssrc=1),
        stream(frames(ulaw_encode(call.callee).tobytes()), port=CALLEE_PORT, start_us=start_us, ssrc=2),
    )
    path = write_pcap(final / name, packets)
    old = time.time() - age_seconds
    os.utime(path, (old, old))
    if stop is not None:
        call.tell("stop", started + timedelta(seconds=seconds), reason=stop)
    return call
