"""Is a process ready? Each probe asks for a real answer, as its users would; a pid proves nothing.

Probes never raise, never start or stop anything, and take at most about two seconds.
"""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config
from kalibri.db import connect
from kalibri.heartbeat import read_beat
from kalibri.services import schema
from rtpproxy_ctl.ask import ask_version
from tools.instance.alone import is_alone
from tools.instance.processes import DATABASE, INDEX, RUNNER, reachable, rtp_control

TIMEOUT_SECONDS = 2.0

#: A daemon beats once a second; one that has not for so long hangs.
HEARTBEAT_SECONDS = 10.0

STUN_BINDING_REQUEST = 0x0001
STUN_BINDING_SUCCESS = 0x0101
STUN_MAGIC_COOKIE = 0x2112A442


@dataclass(frozen=True)
class Answer:
    """What a probe found."""

    ready: bool
    #: What answered, or what went wrong, for people.
    detail: str


def probe(config: Config, name: str) -> Answer:
    """Ask a process of the instance, or DATABASE or INDEX, whether it is ready."""
    try:
        return Answer(True, _question(config, name)())
    except (OSError, psycopg.Error, KalibriError, _NotReady) as error:
        return Answer(False, " ".join(str(error).split()) or type(error).__name__)


def is_being_started(pid: int) -> bool:
    """Tell whether a pid is still runner.py, before it becomes the process.

    What answers then is left over from an earlier life, and about to be ended.
    """
    try:
        return RUNNER.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


class _NotReady(Exception):
    """It answers, but not as one that is ready."""


def _question(config: Config, name: str) -> Callable[[], str]:
    address = reachable(config.proxy.listen_address)
    if name.startswith("rtp-"):
        return partial(_rtp, rtp_control(config, int(name.removeprefix("rtp-"))))
    if name in config.media_hosts:
        return partial(_sip, reachable(config.media.listen_address), config.media_port(name))
    if name in config.rtp_controllers:
        ports = config.rtp_controller_ports(int(name.removeprefix("rtpc-")))
        return partial(_rtp, (ports.address, ports.control))
    questions: dict[str, Callable[[], str]] = {
        "postgres": partial(_postgres, config),
        DATABASE: partial(_database, config),
        "kamailio": partial(_proxy, config, address),
        "stun": partial(_stun, address, config.stun.port),
        INDEX: partial(_index, config),
        "ks-api": partial(_http, reachable(config.api.listen_address), config.api.port),
        "ks-ears": partial(_ears, config.ears_socket),
        "ks-index": lambda: _index(config) and _heartbeat(config, "ks-index"),
    }
    return questions.get(name, partial(_heartbeat, config, name))


def _postgres(config: Config) -> str:
    with psycopg.connect(config.database_dsn, dbname="postgres", connect_timeout=2) as conn:
        row = conn.execute("SHOW server_version").fetchone()
    return f"PostgreSQL {row[0].split()[0]}" if row else ""


def _database(config: Config) -> str:
    limit_ms = int(TIMEOUT_SECONDS * 1000)
    with connect(
        config, application_name="ksinit", connect_timeout_ms=limit_ms, statement_timeout_ms=limit_ms
    ) as conn:
        state = schema.state(conn)
    if state.empty:
        raise _NotReady("the database has no schema yet")
    return f"schema {state.applied[-1]}" if state.applied else "schema present"


def _rtp(control: tuple[str, int]) -> str:
    return f"protocol {ask_version(control, TIMEOUT_SECONDS)}"


def _proxy(config: Config, address: str) -> str:
    answer = _sip(address, config.proxy.sip_port)
    return f"{answer}, without the database" if is_alone(config) else answer


def _sip(address: str, port: int) -> str:
    with _connected(address, port) as sock:
        own = _host_port(*sock.getsockname()[:2])
        to = _host_port(address, port)
        branch, call_id = (secrets.token_hex(8) for _ in range(2))
        lines = [
            f"OPTIONS sip:{to} SIP/2.0",
            f"Via: SIP/2.0/UDP {own};rport;branch=z9hG4bK{branch}",
            "Max-Forwards: 1",
            f"From: <sip:ksinit@{own}>;tag={branch}",
            f"To: <sip:{to}>",
            f"Call-ID: {call_id}",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
        ]
        answer = _ask(sock, "\r\n".join([*lines, "", ""]).encode(), lambda data: call_id.encode() in data)
    status = answer.split(b"\r\n", 1)[0].decode("utf-8", "replace").removeprefix("SIP/2.0 ")
    if not status.startswith("200"):
        raise _NotReady(f"OPTIONS was answered {status}")
    return f"OPTIONS {status}"


def _stun(address: str, port: int) -> str:
    transaction = secrets.token_bytes(12)
    with _connected(address, port) as sock:
        request = struct.pack("!HHI", STUN_BINDING_REQUEST, 0, STUN_MAGIC_COOKIE) + transaction
        answer = _ask(sock, request, lambda data: data[8:20] == transaction)
    if int.from_bytes(answer[:2], "big") != STUN_BINDING_SUCCESS:
        raise _NotReady("the binding request was refused")
    return "STUN binding"


def _http(address: str, port: int) -> str:
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (http.client.HTTPException, ValueError) as error:
        raise _NotReady(f"GET /health: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise _NotReady(f"GET /health was answered {answer.status}")
    return f"{told['served']} requests served, {told['connections']} connections"


def _ears(path: Path) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_SECONDS)
        sock.connect(str(path))
        sock.sendall(b'{"op": "ping"}\n')
        answer = b""
        while not answer.endswith(b"\n"):
            more = sock.recv(65536)
            if not more:
                raise _NotReady("it hung up")
            answer += more
    return str(json.loads(answer)["detail"])


def _index(config: Config) -> str:
    if not (config.index_directory / "CURRENT").exists():
        raise _NotReady("no index has been built yet")
    return "index present"


def _heartbeat(config: Config, name: str) -> str:
    last = read_beat(config.run_directory, name)
    if last is None:
        raise _NotReady("no sign of life yet")
    if last.age_seconds > HEARTBEAT_SECONDS:
        raise _NotReady(f"no sign of life for {last.age_seconds:.0f} seconds")
    return last.detail or "alive"


def _connected(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.connect((address, port))
    return sock


def _ask(sock: socket.socket, request: bytes, is_answer: Callable[[bytes], bool]) -> bytes:
    """Send a datagram, again after half the time, until an answer to it comes.

    Raises TimeoutError, OSError.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    sock.settimeout(TIMEOUT_SECONDS / 2)
    while time.monotonic() < deadline:
        sock.send(request)
        try:
            answer = sock.recv(65536)
        except TimeoutError:
            continue
        if is_answer(answer):
            return answer
    raise TimeoutError(f"no answer within {TIMEOUT_SECONDS:.0f} seconds")


def _host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
