"""The calls of the demonstration: SIPp as phones and carriers, one after the other."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kalibri.config import Config
from tools.demo.configuration import ACCOUNTS, DID, DOMAIN, Ports
from tools.demo.tls_phone import TlsPhone, handshake
from tools.instance.files import certificate_files

SCENARIOS = Path(__file__).parent / "sipp"
#: The address that the phone behind NAT believes to have (RFC 1918).
PRIVATE_ADDRESS = "192.168.77.10"
CALL_SECONDS = 60
TALK_MS = 2000
#: Longest life of a call to the queue: it waits until agents, who answer one after the other, have served it.
QUEUE_SECONDS = 300
#: Calls that talk at the same time, and how fast they come.
CALLS_AT_ONCE, CALLS_PER_SECOND = 200, 40
#: How often SIPp repeats a request on UDP (RFC 3261 gives up after 32 s, which is the eleventh time).
REPETITIONS = 11


@dataclass(frozen=True)
class Outcome:
    """What became of one demonstration call, as its caller saw it."""

    title: str
    ok: bool
    detail: str
    #: Calls that it stands for in the switch's own books; a registration is none.
    calls: int = 1

    def failed(self, why: str) -> Outcome:
        """Return it as failed for this reason, and for its own if it has one."""
        return replace(self, ok=False, detail=f"{why}; {self.detail}" if self.detail else why)

    def told(self, story: str, *, media: int = 1) -> Outcome:
        """Return it with its story, if it went well; without media (packets) it did not."""
        if not self.ok:
            return self
        return replace(self, ok=media > 0, detail=story)


@dataclass(frozen=True)
class Running:
    """A SIPp that is calling."""

    title: str
    process: subprocess.Popen[bytes]
    errors: Path
    calls: int
    #: After which SIPp itself gives up.
    seconds: int = CALL_SECONDS

    def finish(self) -> Outcome:
        """Wait for its end and tell what came of it."""
        try:
            code = self.process.wait(self.seconds + 10)
        except subprocess.TimeoutExpired:
            self.stop()
            return Outcome(self.title, False, f"no end within {self.seconds} s", self.calls)
        detail = "" if code == 0 else _first_error(self.errors) or f"SIPp ended with {code}"
        return Outcome(self.title, code == 0, detail, self.calls)

    def stop(self) -> None:
        """End it at once if it still calls."""
        self.process.kill()
        self.process.wait()


class Phones:
    """Starts SIPp in a folder of its own; everything it starts is ended by it."""

    def __init__(self, config: Config, ports: Ports, folder: Path) -> None:
        self._config, self._ports, self._folder = config, ports, folder
        self._proxy = f"{config.proxy.listen_address}:{config.proxy.sip_port}"
        _make_tone(folder / "tone.alaw")

    def register(self, username: str, port: int, *, contact_host: str = "127.0.0.1") -> Outcome:
        """Register an account from the port on which its phone will answer."""
        keys = {"contact_host": contact_host, "contact_port": str(port)}
        where = "from behind NAT" if contact_host != "127.0.0.1" else "from its own address"
        title = f"{username} registers {where}"
        return self._start(title, "register", username, port=port, keys=keys, calls=0).finish()

    def call(
        self, title: str, number: str, *, scenario: str = "call", expected: int = 0, transport: str = "u1"
    ) -> Outcome:
        """Let account 100 call a number; expected: the refusal that scenario call_refused waits for."""
        keys = {"number": number, "target": DOMAIN}
        places = {"expected": expected}
        return self._start(title, scenario, "100", keys=keys, places=places, more=("-t", transport)).finish()

    def call_by_tls(self, title: str, number: str) -> Outcome:
        """Let account 100 call from a TLS phone that knows the instance's certificate."""
        certificate, _ = certificate_files(self._config)
        folder = self._folder / "tls"
        folder.mkdir(exist_ok=True)
        try:
            secured = handshake(self._config, certificate, CALL_SECONDS)
        except OSError as error:
            return Outcome(title, False, f"TLS: {error}")
        phone = TlsPhone(self._config, folder, certificate)
        problem = phone.call(
            "100", ACCOUNTS["100"], DOMAIN, number, talk=TALK_MS / 1000, answer=CALL_SECONDS / 2
        )
        return Outcome(title, not problem, problem or secured)

    def call_from_carrier(self, title: str, number: str) -> Outcome:
        """Let the carrier call a number of ours."""
        return self.talk(title, number, talk_ms=TALK_MS).finish()

    def talk(self, title: str, number: str, *, talk_ms: int) -> Running:
        """Let the carrier call a number of ours; returns at once."""
        return self._from_carrier(title, "call_from_carrier", number, talk_ms=talk_ms)

    def burst(self, title: str, number: str, *, at_once: int) -> Outcome:
        """Let the carrier call a number of ours so many times that the calls talk together."""
        more = ("-m", str(at_once), "-r", str(CALLS_PER_SECOND), "-l", str(at_once))
        return self._from_carrier(title, "calls_from_carrier", number, calls=at_once, more=more).finish()

    def queue_callers(self, title: str, number: str, callers: Sequence[str], *, every_ms: int) -> Running:
        """Let people call a number of ours through the carrier, one after the other; each stays until hung up on."""
        (self._folder / "callers.csv").write_text("\n".join(["SEQUENTIAL", *callers, ""]))
        many = ("-m", str(len(callers)), "-l", str(len(callers)), "-r", "1", "-rp", str(every_ms))
        return self._from_carrier(
            title,
            "queue_callers",
            number,
            calls=len(callers),
            more=(*many, "-inf", "callers.csv"),
            seconds=QUEUE_SECONDS,
        )

    def _from_carrier(
        self,
        title: str,
        scenario: str,
        number: str,
        *,
        talk_ms: int = TALK_MS,
        calls: int = 1,
        more: tuple[str, ...] = (),
        seconds: int = CALL_SECONDS,
    ) -> Running:
        return self._start(
            title,
            scenario,
            "79161234567",
            keys={"number": number, "target": self._proxy},
            places={"talk_ms": talk_ms},
            port=self._ports.calling_carrier,
            domain="carrier.example",
            more=more,
            calls=calls,
            seconds=seconds,
        )

    @contextmanager
    def answering(
        self, port: int, scenario: str = "uas_answer", *, contact_host: str = "127.0.0.1"
    ) -> Iterator[None]:
        """Run a phone or carrier on a port."""
        command = self._command(scenario, port, {"contact_host": contact_host}, {})
        process = subprocess.Popen(
            [*command, "-rtp_echo"], cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _command(
        self, scenario: str, port: int | None, keys: dict[str, str], places: dict[str, int]
    ) -> list[str]:
        # SIPp takes a key nearly everywhere, but not as the code of a response that it waits for, nor as a pause.
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        for name, number in places.items():
            text = text.replace(f"{{{name}}}", str(number))
        path = self._folder / f"{scenario}.xml"
        path.write_text(text)
        command = ["sipp", "-sf", str(path), "-i", "127.0.0.1", "-nostdin", "-max_retrans", str(REPETITIONS)]
        command += ["-p", str(port)] if port is not None else []
        for name, value in keys.items():
            command += ["-key", name, value] if value else []
        return command

    def _start(
        self,
        title: str,
        scenario: str,
        user: str,
        *,
        keys: dict[str, str],
        places: dict[str, int] | None = None,
        port: int | None = None,
        domain: str = DOMAIN,
        more: tuple[str, ...] = (),
        calls: int = 1,
        seconds: int = CALL_SECONDS,
    ) -> Running:
        """Start a caller scenario; it ends by itself."""
        password = ACCOUNTS.get(user, "")
        (self._folder / "credentials.csv").write_text(
            f"SEQUENTIAL\n[authentication username={user} password={password}]\n"
        )
        errors = self._folder / "errors"
        errors.unlink(missing_ok=True)
        command = self._command(scenario, port, {"user": user, "domain": domain, **keys}, places or {})
        command += more if "-m" in more else ("-m", "1", *more)
        command += ["-inf", "credentials.csv", "-timeout", str(seconds), "-timeout_error"]
        command += ["-trace_err", "-error_file", "errors", self._proxy]
        process = subprocess.Popen(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return Running(title, process, errors, calls, seconds)


def _first_error(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return next(
        (line.split(": ", 1)[-1][:160] for line in lines if ":" in line and "events occurred" not in line), ""
    )


def _make_tone(path: Path) -> None:
    """Make two seconds of a 425 Hz tone as A-law frames."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=425:duration=2",
        "-ar",
        "8000",
    ]
    subprocess.run([*command, "-ac", "1", "-f", "alaw", str(path)], check=True, stdin=subprocess.DEVNULL)


def place_calls(phones: Phones, ports: Ports) -> Iterator[Outcome]:
    """Place the demonstration's calls, and tell each outcome as it comes."""
    yield phones.register("101", ports.phone, contact_host=PRIVATE_ADDRESS)
    yield phones.register("102", ports.busy_phone)
    with ExitStack() as stack:
        stack.enter_context(phones.answering(ports.phone, contact_host=PRIVATE_ADDRESS))
        stack.enter_context(phones.answering(ports.carrier))
        yield phones.call_from_carrier("carrier calls our number, account 101 answers behind NAT", DID)
        yield phones.call("100 calls 101", "101")
        yield phones.call(
            "100 calls 8495…: prefix rewritten, cheap carrier dead, dear one answers", "84957654321"
        )
        yield phones.call("100 calls 112: emergency passes every limit", "112")
        yield phones.call("100 calls 101, holds the call and takes it back", "101", scenario="call_held")
        yield phones.call("100 calls 101 from a TCP phone", "101", transport="t1")
        yield phones.call_by_tls("100 calls 101 from a TLS phone (baresip)", "101")
        burst = f"the carrier calls us {CALLS_AT_ONCE} times, all talking at once"
        yield phones.burst(burst, DID, at_once=CALLS_AT_ONCE)
    refused = "call_refused"
    yield phones.call(
        "100 calls a premium number: rejected 403", "88091234567", scenario=refused, expected=403
    )
    yield phones.call("100 calls 900: redirected 302", "900", scenario=refused, expected=302)
    yield phones.call("100 calls 999: no route, 404", "999", scenario=refused, expected=404)
    with phones.answering(ports.busy_phone, "uas_busy"):
        yield phones.call("100 calls 102: busy 486, not failed over", "102", scenario=refused, expected=486)
    with phones.answering(ports.busy_phone, "uas_ring"):
        yield phones.call("100 calls 102 and gives up while it rings", "102", scenario="call_cancelled")
