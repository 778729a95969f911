"""Questions to a running Kamailio: is it ready, are all its processes still there, has its memory grown.

    probe = KamailioProbe(("127.0.0.1", port), pid=kamailio.pid, rpc_socket=home / "run/kamailio_rpc.sock")
    probe.wait_ready(10)
    before = probe.workers()
    ...                                     # torture
    probe.assert_alive(before)              # answers OPTIONS, no worker lost or replaced
    probe.rpc("stats.get_statistics", "shmem:")

Readiness is a real answer to OPTIONS (any final response), never a pid.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.sip_message import SipResponse, parse_message
from tests.support.sip_syntax import SipSyntaxError

#: Repetition of the question while no answer comes.
_ASK_AGAIN_SECONDS = 0.25


class NotAlive(AssertionError):
    """The proxy does not answer, or lost a process."""


def options_request(local: tuple[str, int], target: tuple[str, int], transport: str = "UDP") -> bytes:
    """Build an OPTIONS to the proxy itself."""
    tag, branch = secrets.token_hex(6), secrets.token_hex(8)
    lines = [
        f"OPTIONS sip:{target[0]}:{target[1]} SIP/2.0",
        f"Via: SIP/2.0/{transport} {local[0]}:{local[1]};branch=z9hG4bK{branch};rport",
        f"From: <sip:probe@{local[0]}>;tag={tag}",
        f"To: <sip:{target[0]}:{target[1]}>",
        f"Call-ID: probe-{branch}@{local[0]}",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ask_options(target: tuple[str, int], timeout: float = 2.0) -> SipResponse | None:
    """Send OPTIONS over UDP until a final response comes; None when none comes in time."""
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((target[0], 0))
        question = options_request(sock.getsockname(), target)
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(min(left, _ASK_AGAIN_SECONDS))
            sock.sendto(question, target)
            if answer := _receive(sock):
                return answer
    return None


def _receive(sock: socket.socket) -> SipResponse | None:
    try:
        message = parse_message(sock.recv(65536))
    except (TimeoutError, ConnectionRefusedError, SipSyntaxError):
        return None
    return message if isinstance(message, SipResponse) and message.code >= 200 else None


@dataclass(frozen=True)
class KamailioProbe:
    """One Kamailio: its UDP address, and its main pid and RPC socket when they are known."""

    address: tuple[str, int]
    pid: int | None = None
    rpc_socket: Path | None = None

    def wait_ready(self, timeout: float = 15.0) -> None:
        """Wait for an answer to OPTIONS."""
        if ask_options(self.address, timeout) is None:
            raise NotAlive(f"no answer to OPTIONS from {self.address} in {timeout:g} s")

    def workers(self) -> frozenset[int]:
        """Return the pids of the main process and all its children."""
        assert self.pid
        children = [Path(task, "children") for task in Path(f"/proc/{self.pid}/task").iterdir()]
        return frozenset([self.pid, *(int(pid) for file in children for pid in file.read_text().split())])

    def assert_alive(self, before: frozenset[int] = frozenset(), timeout: float = 3.0) -> None:
        """Fail unless OPTIONS is answered and the processes are the same as `before`."""
        if ask_options(self.address, timeout) is None:
            raise NotAlive(f"no answer to OPTIONS from {self.address} in {timeout:g} s")
        if before and (now := self.workers()) != before:
            raise NotAlive(f"processes before {sorted(before)}, now {sorted(now)}")

    def rpc(self, method: str, *params: str | int, timeout: float = 5.0) -> Any:
        """Call a JSON-RPC method over the datagram socket and return its result."""
        assert self.rpc_socket
        question = {"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1}
        # a short path of its own: unix socket names end at 107 bytes
        with (
            tempfile.TemporaryDirectory(prefix="ksr") as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        ):
            sock.bind(os.path.join(folder, "s"))
            os.chmod(os.path.join(folder, "s"), 0o777)  # the answer may come from another user
            os.chmod(folder, 0o711)
            sock.settimeout(timeout)
            sock.sendto(json.dumps(question).encode(), str(self.rpc_socket))
            answer = json.loads(sock.recv(1 << 20))
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def shared_memory_used(self) -> int:
        """Return the bytes of shared memory in use (real_used of core.shmmem)."""
        return int(self.rpc("core.shmmem")["real_used"])

    def private_memory_kb(self) -> dict[int, int]:
        """Return the private dirty memory of each process, in kB (for 'memory stays flat')."""
        return {pid: _private_kb(pid) for pid in self.workers()}


def _private_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean")))
