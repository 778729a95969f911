"""Debian's rtpengine in userspace, as the yardstick of bench/rtp.py: started, asked over its ng protocol, ended."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.net_ports import free_port

PROGRAM = "/usr/bin/rtpengine"
READY_SECONDS = 10.0

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n"
)


def bencode(value: Any) -> bytes:
    """Write texts, numbers, lists and mappings."""
    if isinstance(value, str):
        data = value.encode()
        return f"{len(data)}:".encode() + data
    if isinstance(value, int):
        return f"i{value}e".encode()
    if isinstance(value, Mapping):
        return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
    return b"l" + b"".join(map(bencode, value)) + b"e"


def bdecode(data: bytes, at: int = 0) -> tuple[Any, int]:
    """Read a value; return it and where it ends."""
    first = data[at : at + 1]
    if first == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if first in (b"l", b"d"):
        items: list[Any] = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = bdecode(data, at)
            items.append(item)
        return (items if first == b"l" else dict(zip(items[::2], items[1::2], strict=True))), at + 1
    colon = data.index(b":", at)
    start = colon + 1
    end = start + int(data[at:colon])
    return data[start:end].decode("utf-8", "replace"), end


class RtpEngine:
    """One rtpengine."""

    def __init__(self, folder: Path, ports: tuple[int, int], threads: int = 2) -> None:
        if not Path(PROGRAM).exists():
            raise RuntimeError(
                "rtpengine is needed to compare with: apt-get install rtpengine-daemon gcc libc6-dev"
            )
        self.control = ("127.0.0.1", free_port())
        self._log = (folder / "rtpengine.log").open("wb")
        recordings = folder / "rtpengine"
        recordings.mkdir()
        self.process = subprocess.Popen(
            [
                PROGRAM,
                "--config-file=none",
                "--table=-1",
                "--interface=127.0.0.1",
                f"--listen-ng=127.0.0.1:{self.control[1]}",
                f"--port-min={ports[0]}",
                f"--port-max={ports[1]}",
                f"--num-threads={threads}",
                f"--recording-dir={recordings}",
                "--recording-method=pcap",
                "--foreground",
                "--log-stderr",
                "--log-level=3",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.connect(self.control)
        self._sock.settimeout(0.3)
        self._wait_ready()

    def __enter__(self) -> RtpEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._sock.close()
        self._log.close()

    def call(self, name: str, ports: tuple[int, int], *, record: bool) -> tuple[int, int]:
        """Set a call up; return the ports to which side A and side B send."""
        common = {
            "call-id": name,
            "from-tag": "A",
            "ICE": "remove",
            "replace": ["origin", "session-connection"],
        }
        offer = self._ask({**common, "command": "offer", "sdp": SDP.format(port=ports[0])})
        answer = self._ask({**common, "command": "answer", "to-tag": "B", "sdp": SDP.format(port=ports[1])})
        if record:
            self._ask({"command": "start recording", "call-id": name, "from-tag": "A"})
        return _port(answer["sdp"]), _port(offer["sdp"])

    def delete(self, name: str) -> None:
        """End a call."""
        self._ask({"command": "delete", "call-id": name, "from-tag": "A", "delete-delay": 0})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        cookie = secrets.token_hex(6)
        for _ in range(10):
            self._sock.send(f"{cookie} ".encode() + bencode(request))
            try:
                told, _, body = self._sock.recv(65536).partition(b" ")
            except TimeoutError:
                continue
            if told.decode() == cookie:
                reply: dict[str, Any] = bdecode(body)[0]
                if reply.get("result") == "error":
                    raise RuntimeError(f"rtpengine: {reply}")
                return reply
        raise RuntimeError("rtpengine does not answer")

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self._sock.send(b"ping " + bencode({"command": "ping"}))
                if self._sock.recv(2048):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("rtpengine did not start")


def _port(sdp: str) -> int:
    return int(sdp.split("m=audio ", 1)[1].split()[0])
