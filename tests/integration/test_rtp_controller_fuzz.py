"""Bad input to every socket of the controller: nothing dies, each command gets its one answer, calls go on."""

from __future__ import annotations

import contextlib
import random
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from rtpproxy_ctl.controller.ids import handle
from rtpproxy_ctl.controller.nodes import NodeSpec
from tests.support.fix_rtp import Caller, calling
from tests.support.net_loop import NetLoop
from tests.support.rtp_system import RtpSystem

ROUNDS = 600
GOOD = (
    b"Uc8,101 fuzz@x 127.0.0.1 4000 F;1",
    b"Lc8,101 fuzz@x 127.0.0.1 4002 F;1 T;1",
    b"D fuzz@x F T",
    b"Q fuzz@x F;1 T;1",
    b"Uc8z20 m:0198f000-0000-7000-8000-000000000001:a 127.0.0.1 4 A B tcp:127.0.0.1:9 t && M3:1 k && Lc8 0.0.0.0 0",
    b"P-1 fuzz@x /prompts/a session F T",
    b"C fuzz@x ../../etc/passwd F T",
    b"G nsess_created",
    b"I",
    b'{"jsonrpc":"2.0","id":1,"method":"record.start","params":{"call":"0198f000-0000-7000-8000-000000000001"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"session.list"}',
)


class LyingNode:
    """A node that looks healthy, and answers every other command as `lie` says."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._commands = 0
        self.lie: Callable[[bytes, str], list[bytes]] = lambda cookie, command: []
        self.heard: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def spec(self) -> NodeSpec:
        """Its row: far stronger than the real one, so that it is always asked first."""
        return NodeSpec(
            name="liar", host="n1", address=self._sock.getsockname(), weight=10_000, capacity=1_000_000
        )

    def close(self) -> None:
        """End it."""
        self._sock.close()

    def _run(self) -> None:
        while True:
            try:
                datagram, address = self._sock.recvfrom(65536)
            except OSError:
                return
            cookie, _, command = datagram.partition(b" ")
            self._commands += 1
            text = command.decode()
            if text.startswith("G "):
                counters = {"ncmds_rcvd": self._commands}
                values = " ".join(str(counters.get(name, 0)) for name in text.split()[1:])
                answers = [cookie + b" " + values.encode()]
            elif text.startswith("V"):
                answers = [cookie + b" 1"]
            else:
                self.heard.append(text)
                answers = self.lie(cookie, text)
            for answer in answers:
                with contextlib.suppress(OSError):
                    self._sock.sendto(answer, address)


@pytest.fixture(scope="module")
def liar() -> Iterator[LyingNode]:
    node = LyingNode()
    yield node
    node.close()


@pytest.fixture(scope="module")
def system(liar: LyingNode) -> Iterator[RtpSystem]:
    with RtpSystem(nodes=1, others=[liar.spec]) as running:
        yield running


@pytest.fixture
def caller(net_loop: NetLoop, system: RtpSystem) -> Iterator[Caller]:
    yield from calling(net_loop, system)


def mutants(seed: int) -> Iterator[bytes]:
    """Yield random bytes, and good commands that were cut, stuffed, doubled or had bytes changed."""
    dice = random.Random(seed)
    for _ in range(ROUNDS):
        data = bytearray(dice.choice(GOOD))
        kind = dice.randrange(7)
        if kind == 0:
            data = bytearray(dice.randbytes(dice.randrange(1, 200)))
        elif kind == 1:
            del data[dice.randrange(len(data)) :]
        elif kind == 2:
            at = dice.randrange(len(data))
            data[at:at] = dice.randbytes(dice.randrange(1, 9))
        elif kind == 3:
            data *= dice.randrange(2, 40)
        elif kind == 4:
            data[dice.randrange(len(data))] = dice.randrange(256)
        elif kind == 5:
            data += b" " + dice.choice([b"x", b"\xff", b"&&", b"-1", b"99999999999"]) * dice.randrange(
                1, 4000
            )
        yield bytes(data)


def is_alive(system: RtpSystem) -> bool:
    """Tell whether the controller runs, answers, and has met no fault of its own."""
    child = system.processes["rtpc-1"]
    assert child.poll() is None, system.log("rtpc-1")
    assert "Traceback" not in system.log("rtpc-1"), system.log("rtpc-1")[-4000:]
    return system.ask("V") == "20040107"


@pytest.mark.parametrize("seed", [1, 2])
def test_datagrams(system: RtpSystem, liar: LyingNode, caller: Caller, seed: int) -> None:
    liar.lie = lambda cookie, command: [cookie + b" E98"]
    call = caller.call()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(system.address("rtpc-1"))
        sock.settimeout(5)
        answered = 0
        for data in mutants(seed):
            cookie = secrets.token_hex(4).encode()
            sock.send(cookie + b" " + data)
            answer = sock.recv(65536)
            assert answer.startswith(cookie + b" "), (data, answer)
            text = answer[len(cookie) + 1 :].rstrip(b"\n")
            assert re.match(rb"E\d{1,2}\Z|-?\d|\{|sessions created", text), (data, answer)
            answered += 1
        assert answered == ROUNDS
        for junk in (b"", b" ", b"\n", b"x" * 200 + b" V", b"a\nb V", b"\xff" * 60_000):
            sock.send(junk)
        sock.send(b"last V")
        assert sock.recv(100) == b"last 20040107\n"
        for empty in (b"c1", b"c2 ", b"c3  \t "):
            sock.send(empty)
            assert sock.recv(100).endswith(b" E5\n")
        sock.send(b"c4 U " + b"y" * 9000)
        assert sock.recv(100) == b"c4 E1\n"
    assert is_alive(system)
    call.talk(10)
    call.delete()


def test_a_datagram_that_comes_again_is_not_executed_again(system: RtpSystem, liar: LyingNode) -> None:
    liar.lie = lambda cookie, command: [cookie + b" E98"]

    def sessions() -> int:
        return sum(row["handle"] == handle("again@x") for row in system.rpc("session.list"))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(system.address("rtpc-1"))
        sock.settimeout(5)
        answers = []
        for _ in range(5):
            sock.send(b"same U again@x 127.0.0.1 4000 F;1")
            answers.append(sock.recv(100))
        assert len(set(answers)) == sessions() == 1
        sock.send(b"same D again@x F")  # the same cookie for another command is another command
        assert sock.recv(100) == b"same 0\n"
    system.wait(lambda: sessions() == 0, "session deleted")


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_streams(system: RtpSystem, liar: LyingNode, kind: str) -> None:
    liar.lie = lambda cookie, command: [cookie + b" E98"]

    def connect() -> socket.socket:
        if kind == "tcp":
            return socket.create_connection(system.address("rtpc-1"), 5)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(5)
        try:
            sock.connect(str(system.config.rtp_controller_socket("rtpc-1")))
        except BlockingIOError:
            sock.close()
            raise
        return sock

    with connect() as sock, sock.makefile("rb") as lines:
        for data in mutants(3):
            sock.sendall(data.replace(b"\n", b"?") + b"\n")
        sock.sendall(b"V\n")
        while (line := lines.readline()) and line != b"20040107\n":
            assert re.match(rb"E\d{1,2}\n|-?\d|\{|sessions created|active", line), line
    with connect() as sock:  # a line without end
        with contextlib.suppress(OSError):
            for _ in range(50):
                sock.sendall(b"z" * 10_000)
        assert _closes(sock)
    for _ in range(300):  # connections that say nothing
        with contextlib.suppress(BlockingIOError):  # more than it has accepted so far
            connect().close()
    assert is_alive(system)


def _closes(sock: socket.socket) -> bool:
    """Tell whether the other side closes a connection."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def test_notifications_and_metrics_of_strangers(system: RtpSystem) -> None:
    ports = system.config.rtp_controller_ports(1)
    dice = random.Random(4)
    for port in (ports.notify, ports.metrics):
        for _ in range(30):
            with socket.create_connection((ports.address, port), 5) as sock, contextlib.suppress(OSError):
                sock.sendall(dice.randbytes(dice.randrange(1, 3000)))
        with socket.create_connection((ports.address, port), 5) as sock, contextlib.suppress(OSError):
            sock.sendall(b"\n".join(dice.randbytes(50) for _ in range(500)) + b"\n" + b"f" * 100_000)
    assert is_alive(system)


LIES: dict[str, Callable[[bytes, str], list[bytes]]] = {
    "nothing": lambda cookie, command: [],
    "an error": lambda cookie, command: [cookie + b" E98"],
    "no port": lambda cookie, command: [cookie + b" 0"],
    "a port that is none": lambda cookie, command: [cookie + b" 99999 127.0.0.1"],
    "a negative port": lambda cookie, command: [cookie + b" -5 127.0.0.1"],
    "a name for an address": lambda cookie, command: [cookie + b" 4000 evil.example"],
    "two lines": lambda cookie, command: [cookie + b" 4000 127.0.0.1\nU x"],
    "no text": lambda cookie, command: [cookie],
    "bytes": lambda cookie, command: [cookie + b" \xff\xfe\x00"],
    "a wrong cookie": lambda cookie, command: [b"x" + cookie + b" 4000 127.0.0.1"],
    "somebody's cookie": lambda cookie, command: [b"0 4000 127.0.0.1", b"", b" ", b"\xff"],
    "a long story": lambda cookie, command: [cookie + b" " + b"7" * 60_000],
    "an unknown error": lambda cookie, command: [cookie + b" E4000"],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_node_gets_no_call(system: RtpSystem, liar: LyingNode, caller: Caller, lie: str) -> None:
    liar.lie = LIES[lie]
    system.wait(lambda: system.health()["liar"] in ("up", "probation"), "the liar looks healthy")
    call = caller.call()
    assert call.node() == "rtp-1"
    call.talk(5)
    assert call.delete() == "0"
    assert is_alive(system)


def test_answers_that_come_twice_count_once(system: RtpSystem, liar: LyingNode) -> None:
    liar.lie = lambda cookie, command: [cookie + b" 4000 127.0.0.1"] * 3
    system.wait(lambda: system.health()["liar"] == "up", "the liar looks healthy")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(system.address("rtpc-1"))
        sock.settimeout(5)
        sock.send(b"once U twice@x 127.0.0.1 4000 F;1")
        assert sock.recv(100) == b"once 4000 127.0.0.1\n"
        sock.send(b"then V")
        assert sock.recv(100) == b"then 20040107\n"
    assert system.ask("D twice@x F") == "0"
    assert is_alive(system)
