"""Media of the load of bench/acd.py: a C program sends and counts RTP for all calls at once."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CALLERS, AGENTS = 0, 1
_BUFFER_BYTES = 8 << 20


@dataclass(frozen=True)
class Packets:
    """What was sent, and received by side, so far."""

    flows: int
    sent: int
    by_callers: int
    by_agents: int


class MediaLoad:
    """All RTP of callers and agents; each side has one port, which every SDP of it names."""

    def __init__(self, folder: Path, *, callers_send: bool = True) -> None:
        program = folder / "rtp_flows"
        subprocess.run(["gcc", "-O2", "-Wall", "-o", program, HERE / "rtp_flows.c"], check=True)
        self._callers_send = callers_send
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sock in self._sockets:
            sock.bind(("127.0.0.1", 0))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        descriptors = [sock.fileno() for sock in self._sockets]
        self._process = subprocess.Popen(
            [program, *map(str, descriptors)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
        )

    def port(self, side: int) -> int:
        """Return the port of a side."""
        return int(self._sockets[side].getsockname()[1])

    def begin(self, side: int, flow: int, port: int) -> None:
        """Send to a port of the relay from now on."""
        if side == AGENTS or self._callers_send:
            self._tell(f"+ {side} {flow} {port}\n")

    def end(self, side: int, flow: int) -> None:
        """Send no more."""
        self._tell(f"- {side} {flow}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        os.write(self._process.stdin.fileno(), line.encode())

    def packets(self) -> Packets:
        """Return the counters."""
        self._tell("?\n")
        assert self._process.stdout
        return Packets(*map(int, self._process.stdout.readline().split()))

    def close(self) -> None:
        """Stop sending."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        for sock in self._sockets:
            sock.close()
