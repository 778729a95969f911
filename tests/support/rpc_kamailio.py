"""A real Kamailio with a configuration of a few lines: dialogs with variables, and JSON-RPC; no routing.

For tests of programs that ask a running proxy. The proxy's real configuration has fixtures of its own.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kalibri.config import PROJECT_ROOT
from kalibri.rpc import KamailioRpc, ProxyDown

CONFIGURATION = """\
#!KAMAILIO
debug=1
log_stderror=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:{port}
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "dialog.so"
loadmodule "jsonrpcs.so"
modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "{socket}")
"""
#: Calls go to the port of the header X-Callee-Port; other headers of an INVITE become dialog variables.
ROUTE = """\
request_route {
    if (has_totag()) { loose_route(); t_relay(); exit; }
    if (!is_method("INVITE")) { sl_send_reply("200", "OK"); exit; }
    record_route();
    dlg_manage();
    $dlg_var(ks_call) = $hdr(X-KS-Call);
    $dlg_var(ks_tenant) = $hdr(X-Tenant);
    $dlg_var(ks_a) = $fU;
    $dlg_var(ks_b) = $rU;
    $dlg_var(ks_state) = "talking";
    $du = "sip:127.0.0.1:" + $hdr(X-Callee-Port);
    t_relay();
    exit;
}
"""
KEMI = """\
loadmodule "app_python3.so"
modparam("app_python3", "load", "{script}")
kemi.onsend_route_callback="none"
cfgengine "python"
"""
START_ATTEMPTS = 5


@dataclass
class RpcKamailio:
    """A running proxy."""

    socket: Path
    port: int
    process: subprocess.Popen[bytes]

    def options(self) -> None:
        """Send an OPTIONS request and wait for its reply."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(5)
            via = f"Via: SIP/2.0/UDP {_address(sock)};branch=z9hG4bK{time.monotonic_ns()}"
            common = ["Call-ID: options@test", "CSeq: 1 OPTIONS", "Max-Forwards: 70"]
            request = _message("OPTIONS sip:127.0.0.1 SIP/2.0", [via, *common, *_parties("a", "b")])
            sock.sendto(request, ("127.0.0.1", self.port))
            assert sock.recv(65535).startswith(b"SIP/2.0 200")

    def stop(self) -> None:
        """Stop it in order."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def rpc_kamailio(script: str = "") -> Iterator[RpcKamailio]:
    """Run a proxy that answers; it is gone afterwards.

    script: Python that takes over the routing (KEMI), with our packages at hand.
    """
    directory = Path(tempfile.mkdtemp(prefix="kskam-", dir="/tmp"))
    try:
        proxy = _start(directory, script)
        try:
            yield proxy
        finally:
            proxy.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start(directory: Path, script: str) -> RpcKamailio:
    """Somebody may take the free port first: then another one is tried."""
    for _ in range(START_ATTEMPTS):
        proxy = _launch(directory, script)
        if _answers(proxy):
            return proxy
        proxy.stop()
    raise AssertionError(f"Kamailio does not start: {(directory / 'log').read_text()}")


def _launch(directory: Path, script: str) -> RpcKamailio:
    port, path = _free_port(), directory / "rpc.sock"
    file = directory / "kamailio.cfg"
    (directory / "script.py").write_text(script)
    route = KEMI.format(script=directory / "script.py") if script else ROUTE
    file.write_text(CONFIGURATION.format(port=port, socket=path) + route)
    command = (
        f"/usr/sbin/kamailio -DD -E -f {file} -P {directory}/pid -Y {directory} -w {directory} -m 64 -M 8"
    )
    packages = f"{PROJECT_ROOT}:{sysconfig.get_path('purelib')}"
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            command.split(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": packages},
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )
    return RpcKamailio(path, port, process)


def _end_with_parent() -> Callable[[], None]:
    libc = ctypes.CDLL(None)
    pr_set_pdeathsig = 1
    return lambda: libc.prctl(pr_set_pdeathsig, signal.SIGTERM)


def _answers(proxy: RpcKamailio) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and proxy.process.poll() is None:
        with KamailioRpc(proxy.socket, timeout_seconds=0.5) as rpc:
            try:
                rpc.call("core.uptime")
                return True
            except ProxyDown:
                time.sleep(0.05)
    return False


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Phones:
    """A caller and a callee in one: sets calls up through a proxy, one after the other."""

    def __init__(self, proxy: RpcKamailio) -> None:
        self._proxy = ("127.0.0.1", proxy.port)
        self._caller = self._bound()
        self._callee = self._bound()
        self._count = 0

    @staticmethod
    def _bound() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        return sock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._caller.close()
        self._callee.close()

    def call(self, a: str, b: str, headers: Mapping[str, str], *, answer: bool = True) -> None:
        """Set up one call; without an answer it goes on ringing."""
        self._count += 1
        call_id = f"{self._count}-{os.getpid()}@test"
        own = {
            "Contact": f"<sip:{a}@{_address(self._caller)}>",
            "X-Callee-Port": _port(self._callee),
            **headers,
        }
        lines = [f"{name}: {value}" for name, value in own.items()]
        self._send("INVITE", f"sip:{b}@{_address_of(self._proxy)}", call_id, [*lines, *_parties(a, b)])
        invite, source = self._wait(self._callee, call_id, "INVITE")
        status = "200 OK" if answer else "180 Ringing"
        kept = [line for line in invite if re.match("Via|From|Call-ID|CSeq|Record-Route", line)]
        contact = f"Contact: <sip:{b}@{_address(self._callee)}>"
        tagged = f"To: <sip:{b}@test>;tag=callee"
        self._callee.sendto(_message(f"SIP/2.0 {status}", [*kept, tagged, contact]), source)
        reply, _ = self._wait(self._caller, call_id, f"SIP/2.0 {status[:3]}")
        if answer:
            route = next(line for line in reply if line.startswith("Record-Route")).replace("Record-", "", 1)
            parties = [_parties(a, b)[0], tagged]
            self._send("ACK", f"sip:{b}@{_address(self._callee)}", call_id, [route, *parties])
            self._wait(self._callee, call_id, "ACK")

    def _send(self, method: str, uri: str, call_id: str, headers: list[str]) -> None:
        via = f"Via: SIP/2.0/UDP {_address(self._caller)};branch=z9hG4bK{self._count}{method}"
        common = [via, f"Call-ID: {call_id}", f"CSeq: 1 {method}", "Max-Forwards: 70"]
        self._caller.sendto(_message(f"{method} {uri} SIP/2.0", common + headers), self._proxy)

    @staticmethod
    def _wait(sock: socket.socket, call_id: str, begin: str) -> tuple[list[str], tuple[str, int]]:
        while True:
            raw, source = sock.recvfrom(65535)
            lines = raw.decode().split("\r\n")
            if lines[0].startswith(begin) and f"Call-ID: {call_id}" in lines:
                return lines, source


def _parties(a: str, b: str) -> list[str]:
    return [f"From: <sip:{a}@test>;tag=caller", f"To: <sip:{b}@test>"]


def _message(first: str, headers: list[str]) -> bytes:
    return "\r\n".join([first, *headers, "Content-Length: 0", "", ""]).encode()


def _address(sock: socket.socket) -> str:
    return _address_of(sock.getsockname())


def _address_of(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def _port(sock: socket.socket) -> str:
    return str(sock.getsockname()[1])
