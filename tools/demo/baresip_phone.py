"""A phone that does what it is told while a call goes on: baresip, commanded over its TCP control socket.

It registers, dials, presses keys (RFC 4733), hangs up, and answers by itself when it is called. Decides nothing.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

#: Longest wait for the program's start, for its registration, for an answer to a command.
PATIENCE_SECONDS = 30.0
_STOP_SECONDS = 10.0
#: A call ends with the file that is sent, so it lasts longer than any call here.
TONE_SECONDS = 900

_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{port}
net_interface 127.0.0.1
rtp_ports 40000-44998
call_local_timeout 120
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
audio_source aufile,{tone}
audio_player aubridge,void
audio_alert aubridge,void_alert
audio_level no
ringback_disabled yes
"""


class PhoneError(Exception):
    """The phone did not do what it was told."""


@dataclass(frozen=True)
class Line:
    """The account of a phone, and the proxy that serves it (address:port)."""

    user: str
    password: str
    domain: str
    proxy: str

    @property
    def text(self) -> str:
        """The account as baresip reads it."""
        return (
            f"<sip:{self.user}@{self.domain};transport=udp>;auth_user={self.user};auth_pass={self.password}"
            f';outbound="sip:{self.proxy};transport=udp";regint=600;answermode=auto;audio_codecs=pcma'
        )


@dataclass
class Netstrings:
    """Takes messages off a stream of netstrings ("5:hello,"), whatever pieces it comes in."""

    _left: bytes = field(default=b"")

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Add what was received, and return the messages that are whole now."""
        self._left += data
        whole: list[dict[str, Any]] = []
        while True:
            length, colon, rest = self._left.partition(b":")
            if not colon or len(rest) <= int(length):
                return whole
            whole.append(json.loads(rest[: int(length)]))
            self._left = rest[int(length) + 1 :]


def netstring(message: dict[str, Any]) -> bytes:
    """Return a message as a netstring."""
    text = json.dumps(message).encode()
    return b"%d:%s," % (len(text), text)


class BaresipPhone:
    """One running baresip; leaving the block ends it, with a BYE and an un-REGISTER if it still can."""

    def __init__(self, line: Line, folder: Path, port: int, tone: Path) -> None:
        """port: UDP and TCP of SIP; the next one is TLS's, the one after that the control socket's."""
        self._line, self._folder, self._port, self._tone = line, folder, port, tone
        self._events: list[str] = []
        self._answers: dict[str, dict[str, Any]] = {}
        self._asked = 0
        self._messages = Netstrings()

    def __enter__(self) -> BaresipPhone:
        self._folder.mkdir(parents=True, exist_ok=True)
        config = _CONFIG.format(port=self._port, control=self._port + 2, tone=self._tone)
        (self._folder / "config").write_text(config)
        (self._folder / "accounts").write_text("")
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                ["baresip", "-4", "-f", str(self._folder)],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._socket = self._connect()
            # Only now: the event of its registration is heard, too.
            self._command("uanew", self._line.text)
            self.wait_event("REGISTER_OK")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._end()

    def dial(self, number: str) -> None:
        """Call a number of its domain."""
        self._command("dial", f"sip:{number}@{self._line.domain}")

    def press(self, keys: str) -> None:
        """Press keys in the call that goes on. Raises PhoneError if there is none."""
        self._command("sndcode", keys)

    def hang_up(self) -> None:
        """End the call that goes on."""
        self._command("hangup")

    def wait_event(self, kind: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for the next event of this type (REGISTER_OK, CALL_ESTABLISHED, CALL_CLOSED). Raises PhoneError."""
        deadline = time.monotonic() + seconds
        while kind not in self._events:
            self._read(deadline, kind)
        del self._events[: self._events.index(kind) + 1]

    def _command(self, command: str, params: str = "") -> None:
        self._asked += 1
        token = str(self._asked)
        self._socket.sendall(netstring({"command": command, "params": params, "token": token}))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while token not in self._answers:
            self._read(deadline, f"answer to {command}")
        answer = self._answers.pop(token)
        if not answer.get("ok"):
            raise PhoneError(f"phone {self._line.user}: {command}: {answer.get('data', '')}")

    def _read(self, deadline: float, wanted: str) -> None:
        left = deadline - time.monotonic()
        try:
            self._socket.settimeout(max(0.01, left))
            data = self._socket.recv(65536) if left > 0 else b""
        except OSError:
            data = b""
        if not data:
            raise PhoneError(f"phone {self._line.user}: no {wanted}")
        for message in self._messages.feed(data):
            if message.get("event"):
                self._events.append(str(message.get("type")))
            else:
                self._answers[str(message.get("token"))] = message

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                return socket.create_connection(("127.0.0.1", self._port + 2), 1)
            except OSError:
                time.sleep(0.05)
        output = (self._folder / "output").read_text(errors="replace")
        raise PhoneError(f"phone {self._line.user} does not start: {output[-200:].strip()}")

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def make_tone(path: Path, *, hertz: int) -> Path:
    """Make the WAV file that a phone sends all the time."""
    source = ("-f", "lavfi", "-i", f"sine=frequency={hertz}:duration={TONE_SECONDS}")
    command = ["ffmpeg", "-v", "error", "-y", *source, "-ar", "8000", "-ac", "1", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path
