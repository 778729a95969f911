"""A real RTPProxy node, two phones, and the part of a controller: a call that is recorded as docs/contracts.md says."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from callcore.errors import Unavailable
from callcore.ids import uuid7
from kalibri.config import Config
from rtpproxy_ctl.ask import ask, ask_version
from tests.support.net_loop import NetLoop
from tests.support.recordings import TestCall
from tests.support.rtp_peer import RtpPeer

START_SECONDS = 20
ASK_SECONDS = 10
NOTHING = np.zeros(0, np.int16)
PORTS_OF_A_NODE = 32


class RecNode:
    """One node process; `rec` and `spool` are its own folders below the home of the instance."""

    def __init__(self, config: Config, name: str = "n1-rtp-1") -> None:
        self.name = name
        self.spool = config.rtp_spool_directory / name
        self.final = config.rtp_recording_directory / name
        self.control = ("127.0.0.1", _free_port())
        first = _free_range()
        self._command = [
            sys.executable,
            "-m",
            "rtpproxy_ctl.node",
            "--control",
            f"127.0.0.1:{self.control[1]}",
        ]
        self._command += ["--ports", f"{first}-{first + PORTS_OF_A_NODE - 1}"]
        self._command += ["--spool", str(self.spool), "--recordings", str(self.final)]
        self.log = config.home / f"{name}.log"
        self.start()

    def start(self, *, file_limit_bytes: int | None = None) -> None:
        """Start it and wait until it answers; file_limit_bytes: no file may become longer."""
        limit = [] if file_limit_bytes is None else ["prlimit", f"--fsize={file_limit_bytes}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*limit, *self._command], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        for _ in range(START_SECONDS * 10):
            assert self.process.poll() is None, self.log.read_text()
            try:
                ask_version(self.control, 1)
                return
            except Unavailable:
                select.select([], [], [], 0.1)  # ends with the process; ask() waits for the answer
        raise AssertionError(self.log.read_text())

    def end(self, how: signal.Signals) -> None:
        """End it by a signal."""
        self.process.send_signal(how)
        self.process.wait(20)

    def ask(self, command: str) -> str:
        """Send a command."""
        return ask(self.control, command, ASK_SECONDS)


class RecordedSession:
    """A call through a node, recorded; what the controller would do is done by name."""

    def __init__(self, config: Config, node: RecNode, loop: NetLoop, *, codecs: str = "c0,8,9") -> None:
        now = datetime.now(UTC)
        ms = int(now.timestamp() * 1000)
        self.call = TestCall(
            config, uuid7(ms, os.urandom(10)), uuid7(ms, os.urandom(10)), NOTHING, NOTHING, now
        )
        self.node, self._codecs, self._handle = node, codecs, f"h{self.call.call_id.hex}"
        self.caller, self.callee = RtpPeer(loop, payload_type=0), RtpPeer(loop, payload_type=0)
        self.segment = 0
        self._loop = loop
        self._set_up()

    def _set_up(self) -> None:
        offered = self.node.ask(f"U{self._codecs} {self._handle} 127.0.0.1 {self.caller.port} A")
        answered = self.node.ask(f"L{self._codecs} {self._handle} 127.0.0.1 {self.callee.port} A B")
        self.callee.remote = ("127.0.0.1", int(offered.split()[0]))
        self.caller.remote = ("127.0.0.1", int(answered.split()[0]))

    def tell(self, kind: str, **facts: object) -> None:
        """Add a line to the manifest."""
        self.call.tell(kind, datetime.now(UTC), **facts)

    def begin(self) -> None:
        """Begin to record."""
        assert self.caller.remote is not None
        assert self.callee.remote is not None
        self.tell(
            "start",
            recording_id=str(self.call.recording_id),
            call=str(self.call.call_id),
            tenant=0,
            node=self.node.name,
            host=self.call.config.node_name,
            by="demand",
            a="100",
            b="200",
            spool_dir=str(self.node.spool),
            final_dir=str(self.node.final),
        )
        self._open()
        self.tell("side", side="caller", local_port=self.caller.remote[1], codecs=["0", "8"], dtmf_pt=None)
        self.tell("side", side="callee", local_port=self.callee.remote[1], codecs=["0", "8"], dtmf_pt=None)

    def _open(self) -> None:
        self.segment += 1
        name = f"{self.call.recording_id}.{self.segment}.pcap"
        self.tell("segment", file=name, n=self.segment)
        for tags in ("A B", "B A"):
            assert self.node.ask(f"Cs {self._handle} {name} {tags}") == "0"

    def _close(self) -> None:
        for tags in ("A B", "B A"):
            assert self.node.ask(f"N {self._handle} {tags}") == "0"

    def pause(self) -> None:
        """Write nothing from now on."""
        self._close()
        self.tell("pause", by="demand")

    def resume(self) -> None:
        """Go on, in a new file."""
        self.tell("resume", by="demand")
        self._open()

    def move_caller(self) -> None:
        """Do what a re-INVITE does that gives the caller another port."""
        before = self.caller
        self.caller = RtpPeer(self._loop, payload_type=before.payload_type)
        self.caller.remote = before.remote
        before.close()
        self.node.ask(f"U{self._codecs} {self._handle} 127.0.0.1 {self.caller.port} A B")

    def speak(self, caller: list[bytes], callee: list[bytes]) -> None:
        """Let both sides say something at once, and wait until the other side has heard the last of it."""
        heard = [(self.callee, self.caller, caller), (self.caller, self.callee, callee)]
        goals = [(peer, len(peer.received) + len(frames)) for peer, _, frames in heard]
        for _, speaker, frames in heard:
            speaker.play(frames)
        for peer, goal in goals:
            peer.wait_received(goal, 60)

    def delete(self, reason: str = "ended") -> None:
        """End the call: the node moves the file."""
        self.node.ask(f"D {self._handle} A B")
        self.tell("stop", reason=reason)

    def close(self) -> None:
        """Give the sockets back."""
        self.caller.close()
        self.callee.close()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free_range() -> int:
    """Return the first of so many ports that nobody uses just now."""
    start = 40_000 + os.getpid() * PORTS_OF_A_NODE % 20_000
    for first in [*range(start, 60_000, PORTS_OF_A_NODE), *range(40_000, start, PORTS_OF_A_NODE)]:
        socks = []
        try:
            for port in range(first, first + PORTS_OF_A_NODE):
                socks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                socks[-1].bind(("127.0.0.1", port))
            return int(first)
        except OSError:
            continue
        finally:
            for sock in socks:
                sock.close()
    raise AssertionError("no free ports")


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]
