"""The calls of the demonstration: SIPp as phones and carriers, one after the other."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kalibri.config import Config
from tools.demo.configuration import ACCOUNTS, DID, DOMAIN, Ports

SCENARIOS = Path(__file__).parent / "sipp"
#: The address that the phone behind NAT believes to have (RFC 1918).
PRIVATE_ADDRESS = "192.168.77.10"
CALL_SECONDS = 30
#: Calls that talk at the same time, and how fast they come.
CALLS_AT_ONCE, CALLS_PER_SECOND = 200, 40


@dataclass(frozen=True)
class Outcome:
    """What became of one demonstration call, as its caller saw it."""

    title: str
    ok: bool
    detail: str
    #: Calls that it stands for in the switch's own books; a registration is none.
    calls: int = 1


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
        return self._run(f"{username} registers {where}", "register", username, port=port, keys=keys, calls=0)

    def call(
        self, title: str, number: str, *, scenario: str = "call", expected: int = 0, transport: str = "u1"
    ) -> Outcome:
        """Let account 100 call a number; expected: the refusal that scenario call_refused waits for."""
        keys = {"number": number, "target": DOMAIN}
        return self._run(title, scenario, "100", keys=keys, expected=expected, more=("-t", transport))

    def call_from_carrier(self, title: str, number: str, *, at_once: int = 1) -> Outcome:
        """Let the carrier call a number of ours, once or so many times that the calls talk together."""
        return self._run(
            title,
            "call_from_carrier" if at_once == 1 else "calls_from_carrier",
            "79161234567",
            keys={"number": number, "target": self._proxy},
            port=self._ports.calling_carrier,
            domain="carrier.example",
            more=("-m", str(at_once), "-r", str(CALLS_PER_SECOND), "-l", str(at_once)),
            calls=at_once,
        )

    @contextmanager
    def answering(
        self, port: int, scenario: str = "uas_answer", *, contact_host: str = "127.0.0.1"
    ) -> Iterator[None]:
        """Run a phone or carrier on a port."""
        command = self._command(scenario, port, {"contact_host": contact_host})
        process = subprocess.Popen(
            [*command, "-rtp_echo"], cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _command(self, scenario: str, port: int | None, keys: dict[str, str], expected: int = 0) -> list[str]:
        # SIPp takes a key nearly everywhere, but not as the code of a response that it waits for.
        text = (SCENARIOS / f"{scenario}.xml").read_text().replace("{expected}", str(expected))
        path = self._folder / f"{scenario}.xml"
        path.write_text(text)
        command = ["sipp", "-sf", str(path), "-i", "127.0.0.1", "-nostdin"]
        command += ["-p", str(port)] if port is not None else []
        for name, value in keys.items():
            command += ["-key", name, value] if value else []
        return command

    def _run(
        self,
        title: str,
        scenario: str,
        user: str,
        *,
        keys: dict[str, str],
        port: int | None = None,
        domain: str = DOMAIN,
        expected: int = 0,
        more: tuple[str, ...] = (),
        calls: int = 1,
    ) -> Outcome:
        """Run one call of a caller scenario to its end."""
        password = ACCOUNTS.get(user, "")
        (self._folder / "credentials.csv").write_text(
            f"SEQUENTIAL\n[authentication username={user} password={password}]\n"
        )
        command = self._command(scenario, port, {"user": user, "domain": domain, **keys}, expected)
        command += more if "-m" in more else ("-m", "1", *more)
        command += [
            "-inf",
            "credentials.csv",
            "-timeout",
            str(CALL_SECONDS),
            "-trace_err",
            "-error_file",
            "errors",
        ]
        errors = self._folder / "errors"
        errors.unlink(missing_ok=True)
        try:
            done = subprocess.run(
                [*command, self._proxy],
                cwd=self._folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=CALL_SECONDS + 10,
            )
        except subprocess.TimeoutExpired:
            return Outcome(title, False, f"no end within {CALL_SECONDS} s", calls)
        detail = "" if done.returncode == 0 else _first_error(errors) or f"SIPp ended with {done.returncode}"
        return Outcome(title, done.returncode == 0, detail, calls)


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
        burst = f"the carrier calls us {CALLS_AT_ONCE} times, all talking at once"
        yield phones.call_from_carrier(burst, DID, at_once=CALLS_AT_ONCE)
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
