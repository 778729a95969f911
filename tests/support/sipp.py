"""Runner for SIPp (Debian sip-tester 3.6.1: UDP and TCP, digest MD5, no TLS): start, wait, fail with the
whole story.

    callee = start_sipp("uas_answer", user="101", ring_ms=200)
    caller = start_sipp("uac_hold", remote=proxy.address, caller="100", callee="101", domain="demo.example",
                        auth=("100", "secret"), calls=5, rate=5)
    caller.wait(); callee.wait()                    # raises SippFailed with errors and messages
    caller.messages()                               # what was sent and received
    start_sipp("uas_reject", code=503, reason="Full", headers=["Retry-After: 30"], calls=2)
    run = start_sipp("uac_invite", remote=..., media=(peer.ip, peer.port), talk_ms=2000)   # an RtpPeer beside
    run.wait_received("SIP/2.0 200"); peer.play(frames, to=run.remote_media())
    start_sipp(path_of_own_xml, remote=..., keys={"number": "7"}, rows=[("100", "secret"), ("101", "secret")])

The scenarios are in tests/support/sipp/*.xml. They are short because repeated pieces stand in blocks.txt:
`expand` puts them together, and the result is left in the run's folder (`run.scenario`), to be run by
hand. Parameters of the library's scenarios with their defaults are in `DEFAULTS`. Programs are always
ended: use `with`, the fixture `sipp`, or `stop`. For TLS and SHA-256 use sip_phone.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.support.net_ports import free_port, is_bound
from tests.support.sdp import parse_sdp
from tests.support.waiting import wait_until

LIBRARY = Path(__file__).parent / "sipp"
#: Parameters of the library's scenarios.
DEFAULTS: Mapping[str, str] = {
    "caller": "100",
    "callee": "[service]",
    "domain": "[remote_ip]:[remote_port]",
    "contact_user": "[service]",
    "contact_host": "[local_ip]:[local_port]",
    "branch": "[branch]",
    "headers": "",
    "version": "1",
    "direction": "sendrecv",
    "talk_ms": "100",
    "ring_ms": "50",
    #: How long a finished call still answers repetitions.
    "linger_ms": "200",
    "silent_ms": "30000",
    "expires": "3600",
    "code": "200",
    "reason": "OK",
    "method": "INFO",
    "refer_to": "sip:102@[remote_ip]",
    "challenge": "407",
    "username": "100",
    "password": "",
    #: G.711 A-law without a header that a callee says, once.
    "audio": "",
}
_STARTS = 3
#: SIPp's own limit comes a little before ours, so that it can still write its logs.
_GRACE_SECONDS = 3.0
_LOG_CHARS = 20_000
_LOOK_SECONDS = 0.2
#: Two workers of the proxy may let a 200 overtake the 180: RFC 3261 leaves the order of answers to UDP.
_OVERTAKEN = re.compile(r"SIP/2\.0 18\d ")
_UNEXPECTED = re.compile(r"Continuing call on unexpected message .*received '(.*)")
_PLACE = re.compile(r"\{\{(\w+)((?: [a-z_]+=[^ }]+)*)\}\}")


class SippFailed(AssertionError):
    """SIPp ended with failed calls, or did not end in time."""


@dataclass(frozen=True)
class SippMessage:
    """One message of SIPp's log."""

    sent: bool
    raw: bytes

    @property
    def first_line(self) -> str:
        """Request-Line or Status-Line."""
        return self.raw.partition(b"\r\n")[0].decode("utf-8", "replace")


def blocks() -> dict[str, str]:
    """Read blocks.txt."""
    lines = (LIBRARY / "blocks.txt").read_text("utf-8").splitlines()
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if line.startswith("== "):
            current = found.setdefault(line[3:].strip(), [])
        elif not line.startswith("#"):
            current.append(line)
    return {name: "\n".join(body).strip("\n") for name, body in found.items()}


def expand(text: str, params: Mapping[str, str]) -> str:
    """Put blocks and parameters into a scenario; a line that is only an empty parameter disappears."""
    known = blocks()

    def fill(part: str, values: Mapping[str, str]) -> str:
        lines = []
        for line in part.split("\n"):
            filled = _PLACE.sub(lambda match: place(match, values), line)
            if filled.strip() or not line.strip():
                lines.append(filled)
        return "\n".join(lines)

    def place(match: re.Match[str], values: Mapping[str, str]) -> str:
        name, more = match[1], dict(item.split("=", 1) for item in match[2].split())
        inner = {**values, **more}
        if name in inner:
            return fill(inner[name], inner)
        if name in known:
            return fill(known[name], inner)
        raise KeyError(f"neither parameter nor block: {name}")

    return fill(text, params)


class SippRun:
    """One running SIPp."""

    def __init__(
        self, home: Path, scenario: Path, process: subprocess.Popen[bytes], ip: str, port: int
    ) -> None:
        self.home, self.scenario, self.process, self.ip, self.port = home, scenario, process, ip, port
        self.limit = 0.0

    def __enter__(self) -> SippRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.ip, self.port

    def wait(self, timeout: float | None = None) -> SippRun:
        """Wait for the end of all calls; raise `SippFailed` unless every one succeeded."""
        code = self.wait_exit(timeout)
        if code != 0:
            raise SippFailed(f"SIPp {self.scenario.name} ended with {code}\n{self.report()}")
        return self

    def wait_exit(self, timeout: float | None = None) -> int:
        """Wait for the end and return SIPp's exit code (0 good, 1 failed calls, 97/99/253/255 no run)."""
        end = time.monotonic() + (timeout or self.limit + _GRACE_SECONDS)
        while time.monotonic() < end:
            with suppress(subprocess.TimeoutExpired):
                code = self.process.wait(_LOOK_SECONDS)
                return code or int(bool(self.unexpected()))
            if self.unexpected():
                self.stop()
                return 1
        self.stop()
        raise SippFailed(f"SIPp {self.scenario.name} did not end\n{self.report()}")

    def unexpected(self) -> list[str]:
        """Return the first lines of messages that the scenario has no place for, but for overtaken answers."""
        path = self.home / "errors.log"
        text = path.read_text("utf-8", "replace") if path.exists() else ""
        return [line for line in _UNEXPECTED.findall(text) if not _OVERTAKEN.match(line)]

    def wait_received(self, start: str, number: int = 1, timeout: float = 10.0) -> None:
        """Wait until `number` received messages begin with `start` ("INVITE ", "SIP/2.0 180")."""
        wait_until(
            lambda: self.count_received(start) >= number,
            f"{number} × {start!r} received by {self.scenario.name}\n{self.report()}",
            timeout,
        )

    def count_received(self, start: str) -> int:
        """Return how many received messages begin with `start` (repetitions count)."""
        return sum(1 for item in self.messages() if not item.sent and item.first_line.startswith(start))

    def messages(self) -> list[SippMessage]:
        """Return the messages sent and received so far."""
        path = self.home / "messages.log"
        return parse_log(path.read_bytes()) if path.exists() else []

    def remote_media(self) -> tuple[str, int]:
        """Return where the other side's last SDP wants RTP: tell it to the peer, `peer.play(…, to=…)`."""
        bodies = [item.raw.partition(b"\r\n\r\n")[2] for item in self.messages() if not item.sent]
        described = [body for body in bodies if b"m=audio" in body]
        if not described:
            raise SippFailed(f"no SDP received by {self.scenario.name}\n{self.report()}")
        sdp = parse_sdp(described[-1])
        return sdp.ip, sdp.port

    def report(self) -> str:
        """Return SIPp's errors, its output and the last messages, for a failure."""
        parts = []
        for name in ("errors.log", "output.log", "messages.log"):
            path = self.home / name
            text = path.read_text("utf-8", "replace") if path.exists() else ""
            if text.strip():
                parts.append(f"--- {name}\n{text[-_LOG_CHARS:]}")
        return "\n".join(parts)

    def stop(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def remove(self) -> None:
        """End it and delete its folder."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def parse_log(data: bytes) -> list[SippMessage]:
    """Read SIPp's -trace_msg file."""
    head = re.compile(rb"^-{20,}.*\n(?:UDP|TCP|TLS) message (sent|received) .*\n\n", re.M)
    starts = list(head.finditer(data))
    ends = [*(match.start() for match in starts[1:]), len(data)][: len(starts)]
    return [
        SippMessage(match[1] == b"sent", data[match.end() : end].removesuffix(b"\n"))
        for match, end in zip(starts, ends, strict=True)
    ]


def start_sipp(
    scenario: str | Path,
    *,
    remote: tuple[str, int] | None = None,
    ip: str = "127.0.0.1",
    port: int = 0,
    transport: str = "u1",
    calls: int = 1,
    rate: float = 10,
    limit: int = 0,
    user: str = "",
    auth: tuple[str, str] | None = None,
    media: tuple[str, int] | None = None,
    headers: Sequence[str] = (),
    rows: Iterable[Sequence[str]] = (),
    keys: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    timeout: float = 30,
    home: Path | None = None,
    **params: str | int,
) -> SippRun:
    """Start SIPp and return when it is bound.

    `scenario` is a name of the library or a path; a "uac_…" needs `remote`. `transport` u1 or t1. `calls`,
    `rate`, `limit` are -m, -r, -l. `user` is -s (callee of a UAC, contact of a UAS). `auth` (user,
    password) makes a UAC expect a challenge (`challenge=401` or 407). `rows` become a sequential -inf file
    ([field0] …). `timeout` bounds the whole run. Everything else is a parameter of the scenario
    (`DEFAULTS`), e.g. `domain="demo.example"`.
    """
    folder = home or Path(tempfile.mkdtemp(prefix="sipp"))
    values = _values(auth, media, headers, params, remote)
    path = _write_scenario(folder, scenario, values)
    command = ["sipp", "-sf", str(path), "-i", ip, "-bind_local", "-t", transport, "-m", str(calls)]
    command += ["-nostdin", "-trace_msg", "-message_file", str(folder / "messages.log")]
    command += ["-trace_err", "-error_file", str(folder / "errors.log"), "-skip_rlimit"]
    command += ["-timeout", f"{timeout:g}s", "-timeout_error", "-r", f"{rate:g}"]
    # a peer that is done closes its TCP connection: that must not fail a call that only lingers
    command += ["-reconnect_close", "false"] if transport.startswith("t") else []
    command += ["-default_behaviors", "all,-abortunexp"] if remote else []  # SippRun.unexpected looks instead
    command += ["-l", str(limit)] if limit else []
    command += ["-s", user] if user else []
    command += _inf(folder, rows)
    for name, value in (keys or {}).items():
        command += ["-key", name, value]
    command += list(options)
    command += [f"{remote[0]}:{remote[1]}"] if remote else []
    run = _launch(command, folder, path, ip, port, transport)
    run.limit = timeout
    return run


def _values(
    auth: tuple[str, str] | None,
    media: tuple[str, int] | None,
    headers: Sequence[str],
    params: Mapping[str, str | int],
    remote: tuple[str, int] | None,
) -> dict[str, str]:
    values = dict(DEFAULTS) | {"headers": "\n".join(headers)}
    values |= {
        "media_ip": media[0] if media else "[local_ip]",
        "media_port": str(media[1] if media else 9000),
    }
    values |= {"begin": "{{begin_auth}}" if auth else "{{begin_plain}}"}
    if auth:
        values |= {"username": auth[0], "password": auth[1]}
    if remote:
        values |= {"contact_user": "{{caller}}"}
    unknown = set(params) - set(values)
    if unknown:
        raise TypeError(f"unknown scenario parameters: {sorted(unknown)}")
    return values | {name: str(value) for name, value in params.items()}


def _write_scenario(folder: Path, scenario: str | Path, values: Mapping[str, str]) -> Path:
    source = LIBRARY / f"{scenario}.xml" if isinstance(scenario, str) else scenario
    path = folder / source.name
    path.write_text(expand(source.read_text("utf-8"), values), "utf-8")
    return path


def _inf(folder: Path, rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [";".join(row) for row in rows]
    if not lines:
        return []
    path = folder / "rows.csv"
    path.write_text("\n".join(["SEQUENTIAL", *lines]) + "\n", "utf-8")
    return ["-inf", str(path)]


def _launch(command: list[str], folder: Path, path: Path, ip: str, port: int, transport: str) -> SippRun:
    """Start until the port could be bound: a free port may be taken by a neighbour between choice and use."""
    kind = "tcp" if transport.startswith("t") else "udp"
    for attempt in range(_STARTS):
        chosen = port or free_port(ip)
        with (folder / "output.log").open("wb") as output:
            process = subprocess.Popen(
                [*command[:1], "-p", str(chosen), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
            )
        run = SippRun(folder, path, process, ip, chosen)
        wait_until(lambda run=run: _is_up(run, kind), f"SIPp on port {chosen}", 10)  # type: ignore[misc]
        if not _port_was_taken(run) or attempt == _STARTS - 1:
            return run
    raise AssertionError("not reached")


def _is_up(run: SippRun, kind: str) -> bool:
    # a TCP caller listens nowhere, but has written or received something as soon as it works
    return (
        run.process.poll() is not None
        or is_bound(run.port, kind)
        or bool(kind == "tcp" and (run.home / "messages.log").exists())
    )


def _port_was_taken(run: SippRun) -> bool:
    return run.process.poll() not in (None, 0) and "Address already in use" in run.report()
