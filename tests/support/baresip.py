"""Runner for baresip (Debian baresip-core 1.0.0) without sound card: a phone that is not of our own making.

    with Baresip(loop, tmp_path / "a", "100", proxy.DOMAIN, proxy=proxy.address, password="…") as a, \\
            Baresip(loop, tmp_path / "b", "101", proxy.DOMAIN, proxy=proxy.address, answer="auto") as b:
        a.wait_registered(); b.wait_registered()
        a.dial("101"); b.wait_event("CALL_ESTABLISHED")
        a.hang_up(); b.wait_event("CALL_CLOSED")
        wave_samples(b.recording("dec"))          # what b heard, as linear samples

Each instance has its own folder (configuration, account, recordings, log). Codecs are G.711 only, the
sound sent is a WAV file (8 kHz mono 16 bit; a tone of `tone_hz` when none is given, for ausine wants
48 kHz). Debian's baresip-core has aufile as a source only, so what is received is played into aubridge's
void and written by the sndfile filter. Control goes over ctrl_tcp (JSON in netstrings): every event is
kept in `events`.
"""

from __future__ import annotations

import json
import math
import selectors
import socket
import struct
import subprocess
import wave
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.net_loop import NetLoop
from tests.support.net_ports import free_port
from tests.support.waiting import wait_until

_STARTS = 3
_RATE = 8000
#: A call ends with its file, so the tone is longer than any test.
_TONE_SECONDS = 60

_CONFIG = """poll_method epoll
sip_listen {ip}:{sip_port}
net_interface {ip}
call_max_calls 20
call_local_timeout 120
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
snd_path {home}
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {ip}:{control_port}
audio_source {source}
audio_player aubridge,void
audio_alert aubridge,void_alert
audio_level no
ringback_disabled yes
rtp_stats yes
"""


class Baresip:
    """One running baresip with one account."""

    def __init__(
        self,
        loop: NetLoop,
        home: Path,
        username: str,
        domain: str,
        *,
        proxy: tuple[str, int],
        password: str = "none",
        transport: str = "udp",
        answer: str = "manual",
        register: bool = True,
        tone_hz: int = 440,
        wav: Path | None = None,
        ip: str = "127.0.0.1",
    ) -> None:
        self.loop, self.home, self.username, self.domain, self.ip = loop, home, username, domain, ip
        #: Events of ctrl_tcp in their order: {"type": "CALL_ESTABLISHED", "peeruri": …}.
        self.events: list[dict[str, Any]] = []
        self.sip_port = self.control_port = 0
        self._account = (
            f"<sip:{username}@{domain};transport={transport}>;auth_user={username};auth_pass={password}"
            f';outbound="sip:{proxy[0]}:{proxy[1]};transport={transport}"'
            f";regint={3600 if register else 0};answermode={answer};audio_codecs=pcma,pcmu"
        )
        self._answers: dict[str, dict[str, Any]] = {}
        self._asked = 0
        self._buffer = b""
        self.process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        home.mkdir(parents=True, exist_ok=True)
        self._source = f"aufile,{wav or write_tone(home / 'tone.wav', _TONE_SECONDS, tone_hz)}"

    def __enter__(self) -> Baresip:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and connect to its control socket."""
        for attempt in range(_STARTS):
            self._launch()
            wait_until(lambda: self._ended() or self._connected(), "baresip's control socket", 10)
            if self._sock:
                self._listen(self._sock)
                return
            if attempt == _STARTS - 1:
                raise AssertionError(f"baresip ended\n{self.log()}")

    def _listen(self, sock: socket.socket) -> None:
        """Hear the events; only then make the account, so that the event of its registration is heard too."""
        sock.setblocking(False)
        self.loop.run(lambda: self.loop.watch(sock, selectors.EVENT_READ, self._readable))
        self.command("uanew", self._account)

    def stop(self) -> None:
        """End it (its calls end with a BYE, its registration with an un-REGISTER, if it can)."""
        if self._sock:
            sock, self._sock = self._sock, None
            self.loop.run(lambda: self.loop.unwatch(sock))
            sock.close()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def log(self) -> str:
        """Return its output."""
        return (self.home / "output.log").read_text("utf-8", "replace")

    def command(self, command: str, params: str = "", timeout: float = 5.0) -> str:
        """Run a command of its menu (dial, accept, hangup, listcalls …) and return what it prints."""
        self._asked += 1
        token = str(self._asked)
        text = json.dumps({"command": command, "params": params, "token": token}).encode()
        assert self._sock
        self._sock.send(b"%d:%s," % (len(text), text))
        self._wait(lambda: token in self._answers, timeout, f"answer to {command}")
        answer = self._answers[token]
        assert answer["ok"], f"{command} {params}: {answer}"
        return str(answer["data"])

    def dial(self, target: str) -> None:
        """Call a user of our domain, or a whole URI."""
        self.command("dial", target if ":" in target else f"sip:{target}@{self.domain}")

    def accept(self) -> None:
        """Answer the incoming call."""
        self.command("accept")

    def hang_up(self) -> None:
        """End or refuse the call."""
        self.command("hangup")

    def wait_registered(self, timeout: float = 10.0) -> None:
        """Wait for the 200 to its REGISTER."""
        self.wait_event("REGISTER_OK", timeout=timeout)

    def wait_event(self, kind: str, number: int = 1, timeout: float = 10.0) -> dict[str, Any]:
        """Wait for the `number`-th event of a type (CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED …)."""
        self._wait(lambda: len(self._of(kind)) >= number, timeout, f"{kind} number {number}")
        return self._of(kind)[number - 1]

    def recording(self, side: str = "dec") -> Path:
        """Return the WAV of the last call: "dec" what it heard, "enc" what it sent (whole after the call)."""
        found = sorted(self.home.glob(f"dump-*-{side}.wav"), key=lambda path: path.stat().st_mtime)
        assert found, f"no recording of {self.username}\n{self.log()}"
        return found[-1]

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def _wait(self, condition: Callable[[], object], timeout: float, what: str) -> None:
        def told() -> str:
            return (
                f"{what} ({self.username}), events {[event['type'] for event in self.events]}\n{self.log()}"
            )

        self.loop.wait(condition, timeout, told)

    def _launch(self) -> None:
        self.sip_port, self.control_port = free_port(self.ip), free_port(self.ip)
        values = {"ip": self.ip, "sip_port": self.sip_port, "control_port": self.control_port}
        config = _CONFIG.format(home=self.home, source=self._source, **values)
        (self.home / "config").write_text(config)
        (self.home / "accounts").write_text("")
        with (self.home / "output.log").open("wb") as output:
            self.process = subprocess.Popen(
                ["baresip", "-4", "-s", "-f", str(self.home)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home,
            )

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def _connected(self) -> bool:
        with suppress(OSError):
            self._sock = socket.create_connection((self.ip, self.control_port), 1)
        return self._sock is not None

    def _readable(self, _events: int) -> None:
        assert self._sock
        with suppress(BlockingIOError, ConnectionResetError):
            data = self._sock.recv(65536)
            if not data:
                self.loop.unwatch(self._sock)
            self._buffer += data
        while message := self._next():
            if message.get("event"):
                self.events.append(message)
            else:
                self._answers[message["token"]] = message

    def _next(self) -> dict[str, Any] | None:
        """Take one netstring off the buffer."""
        length, colon, rest = self._buffer.partition(b":")
        if not colon or len(rest) <= int(length):
            return None
        self._buffer = rest[int(length) + 1 :]
        message: dict[str, Any] = json.loads(rest[: int(length)])
        return message


def write_tone(path: Path, seconds: float, hz: float, level: float = 0.5) -> Path:
    """Write a WAV that aufile can play: 8 kHz, mono, 16 bit."""
    count = round(seconds * _RATE)
    samples = [round(32767 * level * math.sin(2 * math.pi * hz * index / _RATE)) for index in range(count)]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE)
        out.writeframes(struct.pack(f"<{count}h", *samples))
    return path


def wave_samples(path: Path) -> list[int]:
    """Read the samples of a 16-bit mono WAV."""
    with wave.open(str(path), "rb") as source:
        data = source.readframes(source.getnframes())
    return list(struct.unpack(f"<{len(data) // 2}h", data))


def tone_share(samples: list[int], hz: float) -> float:
    """Return the share of the power that lies at `hz` (Goertzel): about 1 for a clean tone, 0 without."""
    power = sum(sample * sample for sample in samples)
    if not power:
        return 0.0
    turn = 2 * math.cos(2 * math.pi * hz / _RATE)
    last = before = 0.0
    for sample in samples:
        last, before = sample + turn * last - before, last
    magnitude = last * last + before * before - turn * last * before
    return 2 * magnitude / (len(samples) * power)
