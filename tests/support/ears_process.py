"""ks-ears as a process, somebody who asks it, and RTP for its ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from callcore.g711 import alaw_encode, ulaw_encode
from kalibri.config import PROJECT_ROOT
from tests.support.ears_sounds import FRAME, Samples

PATIENCE_SECONDS = 60.0
_PCMU, _PCMA = 0, 8


class Asker:
    """A client of ks-ears."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.connect(str(path))
        except OSError:
            self.sock.close()
            raise
        self._rest = b""

    def ask(self, operation: str, **fields: object) -> None:
        """Send a request."""
        self.raw(json.dumps({"op": operation, **fields}).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        """Send anything."""
        self.sock.sendall(data)

    def line(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Any] | None:
        """Return the next line; None: nothing came in this time. Raises ConnectionError."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                more = self.sock.recv(65_536)
            except TimeoutError:
                return None
            if not more:
                raise ConnectionError("ks-ears hung up")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))

    def told(self, operation: str) -> dict[str, Any]:
        """Return the next line of this kind; others are passed over."""
        while True:
            line = self.line()
            assert line is not None, f"no {operation} comes"
            if line["op"] == operation:
                return line

    def listen(self, name: str, **fields: object) -> tuple[str, int]:
        """Have a leg listened to; return where its RTP goes."""
        self.ask("listen", id=name, **fields)
        line = self.told("listening")
        return line["address"], line["port"]

    def detail(self) -> str:
        """Return what ks-ears says of itself."""
        self.ask("ping")
        return str(self.told("pong")["detail"])

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


def packet(
    samples: Samples, number: int, *, alaw: bool = True, source: int = 7, time_at: int | None = None
) -> bytes:
    """Return an RTP packet with G.711."""
    stamp = number * FRAME if time_at is None else time_at
    header = bytes([0x80, _PCMA if alaw else _PCMU]) + (number & 0xFFFF).to_bytes(2, "big")
    header += (stamp & 0xFFFFFFFF).to_bytes(4, "big") + source.to_bytes(4, "big")
    return header + (alaw_encode(samples) if alaw else ulaw_encode(samples)).tobytes()


def send(
    samples: Samples, target: tuple[str, int], *, alaw: bool = True, pace: float = 0.002, source: int = 7
) -> None:
    """Send audio as RTP, some times as fast as a call, so that no socket overflows."""
    samples = np.pad(samples, (0, -len(samples) % FRAME))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(len(samples) // FRAME):
            frame = samples[number * FRAME : (number + 1) * FRAME]
            sock.sendto(packet(frame, number, alaw=alaw, source=source), target)
            time.sleep(pace)


class EarsProcess:
    """ks-ears, started as an instance starts it."""

    def __init__(self, home: Path, dsn: str, **settings: object) -> None:
        self._home = home
        self._environment = {
            **os.environ,
            "KALIBRI_DATABASE_DSN": dsn,
            "KALIBRI_DATABASE_CONNECT_TIMEOUT_MS": "30000",
            **{f"KALIBRI_EARS_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = home / "run" / "ks-ears.sock"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "tools.ks_ears", "--home", str(self._home)]
        self._process = subprocess.Popen(command, env=self._environment, cwd=PROJECT_ROOT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert self._process.poll() is None, "ks-ears ended"
            assert time.monotonic() < deadline, "ks-ears does not answer"
            try:
                asker = Asker(self.socket)
            except OSError:
                time.sleep(0.05)
                continue
            asker.detail()
            asker.close()
            return

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; return its exit code."""
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(timeout=PATIENCE_SECONDS)

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None
