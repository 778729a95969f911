"""A node as a real process with the real RTPProxy of the rtp.io wheel."""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from callcore.errors import Unavailable
from rtpproxy_ctl.ask import ask, ask_capability, ask_counters, ask_version
from rtpproxy_ctl.protocol import (
    PROTOCOL_VERSION,
    SINGLE_SHOT_CAPABILITY,
    ErrorCode,
    RtpError,
)

FRAME = bytes([0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 9]) + bytes(160)
START_SECONDS = 20


class Node:
    """A node process and the folders it was given."""

    def __init__(self, folder: Path, control: tuple[str, int], ports: tuple[int, int]) -> None:
        self.spool, self.recordings, self.control = folder / "spool", folder / "rec", control
        self.log = folder / "node.log"
        command = [sys.executable, "-m", "rtpproxy_ctl.node", "--control", f"{control[0]}:{control[1]}"]
        command += ["--ports", f"{ports[0]}-{ports[1]}"]
        command += ["--spool", str(self.spool), "--recordings", str(self.recordings)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def wait_ready(self) -> None:
        for _ in range(START_SECONDS * 10):
            assert self.process.poll() is None, self.log.read_text()
            try:
                assert ask_version(self.control, 1) == PROTOCOL_VERSION
            except Unavailable:
                # Not a fixed wait: ends with the process, and ask() itself waits for the answer.
                select.select([], [], [], 0.1)
            else:
                return
        pytest.fail(self.log.read_text())

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(20)


def free_ports() -> tuple[tuple[str, int], tuple[int, int]]:
    """A control socket and a few pairs for RTP that nobody uses just now."""
    with ExitStack() as stack:
        control = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        control.bind(("127.0.0.1", 0))
        for first in range(40_000, 60_000, 32):
            try:
                with ExitStack() as trial:
                    for port in range(first, first + 32):
                        trial.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(
                            ("127.0.0.1", port)
                        )
            except OSError:
                continue
            return control.getsockname(), (first, first + 31)
    raise AssertionError("no free ports")


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[[], Node]]:
    control, ports = free_ports()
    nodes: list[Node] = []

    def start() -> Node:
        nodes.append(Node(tmp_path, control, ports))
        nodes[-1].wait_ready()
        return nodes[-1]

    yield start
    for node in nodes:
        if node.process.poll() is None:
            node.end(signal.SIGKILL)


def record_a_call(node: Node, frames: int) -> None:
    """Send RTP from A to B through the node while A is recorded, and see every frame arrive."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b,
    ):
        for sock in (a, b):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(5)
        ask(node.control, f"U call-1 127.0.0.1 {a.getsockname()[1]} from", 5)
        port_for_a = int(ask(node.control, f"L call-1 127.0.0.1 {b.getsockname()[1]} from to", 5).split()[0])
        assert ask(node.control, "Cs call-1 call-1.pcap from to", 5) == "0"
        for _ in range(frames):
            a.sendto(FRAME, ("127.0.0.1", port_for_a))
            assert b.recv(2000) == FRAME


def test_a_node_tells_version_capability_and_counters(start_node: Callable[[], Node]) -> None:
    node = start_node()
    assert ask_capability(node.control, SINGLE_SHOT_CAPABILITY, 5)
    assert not ask_capability(node.control, 20991231, 5)
    assert ask_counters(node.control, ["nsess_created", "npkts_rcvd"], 5) == {
        "nsess_created": 0,
        "npkts_rcvd": 0,
    }


def test_a_refused_command_names_its_reason(start_node: Callable[[], Node]) -> None:
    node = start_node()
    with pytest.raises(RtpError) as caught:
        ask(node.control, "Q no-such-call from to", 5)
    assert caught.value.code is ErrorCode.UNKNOWN_SESSION


def test_sigterm_ends_the_node_and_finishes_a_running_recording(start_node: Callable[[], Node]) -> None:
    node = start_node()
    record_a_call(node, 20)
    assert node.end(signal.SIGTERM) == 0
    assert [file.name for file in node.recordings.iterdir()] == ["call-1.pcap"]
    assert (node.recordings / "call-1.pcap").stat().st_size > 20 * len(FRAME)
    assert list(node.spool.iterdir()) == []
    with pytest.raises(Unavailable):
        ask_version(node.control, 1)


def test_the_recording_of_a_killed_node_is_saved_by_the_next_start(start_node: Callable[[], Node]) -> None:
    node = start_node()
    record_a_call(node, 60)
    node.end(signal.SIGKILL)
    assert [file.name for file in node.spool.iterdir()] == ["call-1.pcap"]
    again = start_node()
    assert [file.name for file in again.recordings.iterdir()] == ["call-1.pcap"]
    assert "recovered a recording that was cut short" in again.log.read_text()


def test_a_taken_control_port_ends_the_node_with_a_reason(start_node: Callable[[], Node]) -> None:
    node = start_node()
    second = Node(node.log.parent, node.control, (60_000, 60_031))
    assert second.process.wait(20) == 1
    assert "RTPProxy did not start" in second.log.read_text()
