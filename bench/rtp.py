"""What media costs: a two-way G.711 call through an RTP node, against rtpengine in userspace, and the controller.

    make bench-rtp        table, and bench/out/rtp.json

Relay and recording are measured in interleaved rounds on one machine: the CPU time of the process that relays, for the
same packets from the same generator (bench/rtp_load.c). The controller is measured by calls at a steady rate.
The recording pipeline adds its own figure (bench/recording.py).
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import click

from bench.report import write_report
from bench.rtp_engine import RtpEngine
from bench.rtp_soak import Soak, quantile
from tests.support.rtp_system import RtpSystem

HERE = Path(__file__).parent
#: A call sends packets for this share of a round before the CPU time is read: its first packets cost more.
WARM_SECONDS = 1
RATE, SOAK_SECONDS = 100.0, 600
#: CPU seconds of a bridged call-minute in Asterisk 23, without and with recording (measured elsewhere).
ASTERISK_RELAY, ASTERISK_RECORD = 0.131, 0.282


def cpu_seconds(pid: int) -> float:
    """Return the time that a process's threads have been on a CPU."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Load:
    """The generator, and the two sockets that all calls share."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "rtp_load"
        subprocess.run(["gcc", "-O2", "-Wall", "-o", self._program, HERE / "rtp_load.c"], check=True)
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sock in self._sockets:
            sock.bind(("127.0.0.1", 0))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    @property
    def ports(self) -> tuple[int, int]:
        """Ports of side A and side B."""
        first, second = (int(sock.getsockname()[1]) for sock in self._sockets)
        return first, second

    def measure(self, pid: int, pairs: list[tuple[int, int]], seconds: int) -> tuple[float, float]:
        """Return the CPU seconds of a process for a call-minute, and the share of packets lost."""
        self._run(pairs, WARM_SECONDS)
        before, began = cpu_seconds(pid), time.monotonic()
        sent, received = self._run(pairs, seconds)
        used, took = cpu_seconds(pid) - before, time.monotonic() - began
        return used / (len(pairs) * took / 60), max(0.0, 1 - received / sent)

    def _run(self, pairs: list[tuple[int, int]], seconds: int) -> tuple[int, int]:
        lines = "".join(f"{a} {b}\n" for a, b in pairs)
        fds = [sock.fileno() for sock in self._sockets]
        done = subprocess.run(
            [self._program, str(seconds), *map(str, fds)],
            input=lines,
            capture_output=True,
            text=True,
            check=True,
            pass_fds=fds,
        )
        sent, received = map(int, done.stdout.split())
        return sent, received


class OurRelay:
    """Calls through a controller to a node, as Kamailio sets them up."""

    def __init__(self, system: RtpSystem, ports: tuple[int, int]) -> None:
        self._system, self._ports = system, ports
        self._names: list[str] = []

    def call(self, record: bool) -> tuple[int, int]:
        """Set a call up; return the ports to which A and B send."""
        call = str(uuid.uuid4())
        name = f"{call}@bench;{call}"
        self._names.append(name)
        if record:
            self._system.rpc("record.start", call=call)
        to_b = self._system.ports(f"Uc8 {name} 127.0.0.1 {self._ports[0]} F;1").port
        to_a = self._system.ports(f"Lc8 {name} 127.0.0.1 {self._ports[1]} F;1 T;1").port
        return to_a, to_b

    def end(self) -> None:
        """End all calls and wait until the node has forgotten them."""
        for name in self._names:
            self._system.ask(f"D {name} F T")
        self._names.clear()
        self._system.wait(lambda: not self._system.rpc("session.list"), "calls ended")


class TheirRelay:
    """Calls through rtpengine."""

    def __init__(self, engine: RtpEngine, ports: tuple[int, int]) -> None:
        self._engine, self._ports = engine, ports
        self._names: list[str] = []

    def call(self, record: bool) -> tuple[int, int]:
        """Set a call up; return the ports to which A and B send."""
        self._names.append(str(uuid.uuid4()))
        return self._engine.call(self._names[-1], self._ports, record=record)

    def end(self) -> None:
        """End all calls."""
        for name in self._names:
            self._engine.delete(name)
        self._names.clear()


def plain_relay_cpu(load: Load, folder: Path, calls: int, seconds: int) -> float:
    """Return what the same packets cost a program that only receives and sends, in CPU seconds of a call-minute."""
    program = folder / "rtp_plain"
    subprocess.run(["gcc", "-O2", "-Wall", "-o", program, HERE / "rtp_plain.c"], check=True)
    command = [str(program), str(calls), *map(str, load.ports)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pairs = [(int(a), int(b)) for a, b in (process.stdout.readline().split() for _ in range(calls))]
        used, _ = load.measure(process.pid, pairs, seconds)
        process.stdin.close()
    print(f"        plain C   relay     {used * 1000:7.2f} ms CPU a call-minute")
    return used


def relay_figures(calls: int, rounds: int, seconds: int) -> dict[str, float]:
    """Measure relay and recording of both, in interleaved rounds."""
    figures: dict[tuple[str, bool], list[float]] = {}
    lost: list[float] = []
    settings = {"rtp.record_min_free_mb": 1}
    with (
        tempfile.TemporaryDirectory(prefix="bench-rtp-") as folder,
        RtpSystem(nodes=1, controllers=1, settings=settings) as system,
        RtpEngine(Path(folder), (33_000, 33_000 + 8 * calls)) as engine,
    ):
        load = Load(Path(folder))
        relays: dict[str, tuple[OurRelay | TheirRelay, int]] = {
            "node": (OurRelay(system, load.ports), system.processes["rtp-1"].pid),
            "rtpengine": (TheirRelay(engine, load.ports), engine.process.pid),
        }
        plain: list[float] = []
        for number in range(rounds):
            plain.append(plain_relay_cpu(load, Path(folder), calls, seconds))
            for record in (False, True):
                for name, (relay, pid) in sorted(relays.items(), reverse=bool(number % 2)):
                    pairs = [relay.call(record) for _ in range(calls)]
                    used, missing = load.measure(pid, pairs, seconds)
                    relay.end()
                    figures.setdefault((name, record), []).append(used)
                    lost.append(missing)
                    what = "recording" if record else "relay"
                    told = f"{used * 1000:7.2f} ms CPU a call-minute, lost {missing:.4%}"
                    print(f"round {number + 1} {name:9} {what:9} {told}")
    return _compared(figures) | {
        "relay_packets_lost_ratio_max": max(lost),
        "relay_cpu_s_per_call_minute_plain_c": statistics.median(plain),
    }


def _compared(figures: dict[tuple[str, bool], list[float]]) -> dict[str, float]:
    result: dict[str, float] = {}
    for record, word, asterisk in ((False, "relay", ASTERISK_RELAY), (True, "record", ASTERISK_RECORD)):
        ours, theirs = figures["node", record], figures["rtpengine", record]
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        result |= {
            f"{word}_cpu_ratio_to_rtpengine": statistics.median(ratios),
            f"{word}_cpu_s_per_call_minute": statistics.median(ours),
            f"{word}_cpu_s_per_call_minute_rtpengine": statistics.median(theirs),
            f"{word}_cpu_ratio_to_asterisk": statistics.median(ours) / asterisk,
        }
    return result


def controller_figures(rate: float, seconds: float) -> dict[str, float]:
    """Measure the controller under a steady rate of calls."""
    # Ports enough for all calls that live at once.
    with RtpSystem(nodes=2, controllers=1) as system:
        pid = system.processes["rtpc-1"].pid
        soak = Soak(system.address("rtpc-1"), system.address("rtp-1"))
        soak.run(rate, 2)
        soak.result = type(soak.result)()
        before, began = cpu_seconds(pid), time.monotonic()
        result = soak.run(rate, seconds)
        used, took = cpu_seconds(pid) - before, time.monotonic() - began
        idle_before = cpu_seconds(pid)
        time.sleep(3)
        idle = (cpu_seconds(pid) - idle_before) / 3
        left = len(system.rpc("session.list"))
    calls = len(result.through)
    for letter, times in result.each.items():
        print(
            f"{letter}: p50 {quantile(times, 0.5) * 1000:.2f} ms, p99 {quantile(times, 0.99) * 1000:.2f} ms"
        )
    return {
        "controller_cpu_ms_per_call": used / calls * 1000,
        "controller_cpu_ms_per_call_above_idle": (used - idle * took) / calls * 1000,
        "setup_delay_p99_ms": result.added_p99_ms(),
        "setup_delay_p50_ms": (statistics.median(result.through) - statistics.median(result.direct)) * 1000,
        "setup_direct_p50_ms": statistics.median(result.direct) * 1000,
        "setup_direct_p99_ms": quantile(result.direct, 0.99) * 1000,
        "soak_calls": result.calls,
        "soak_calls_per_s": result.calls / seconds,
        "soak_seconds": seconds,
        "soak_hung": result.hung,
        "soak_errors": result.errors,
        "soak_sessions_left": left,
    }


PARTS: dict[str, Callable[..., dict[str, float]]] = {"relay": relay_figures, "controller": controller_figures}


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--part", type=click.Choice([*PARTS, "all"]), default="all", show_default=True)
@click.option("--calls", default=50, show_default=True, help="Calls at once, for relay and recording.")
@click.option("--rounds", default=7, show_default=True)
@click.option("--seconds", default=6, show_default=True, help="Length of a round.")
@click.option("--rate", default=RATE, show_default=True, help="Calls a second, for the controller.")
@click.option("--soak-seconds", default=SOAK_SECONDS, show_default=True, help="How long it is held.")
def main(part: str, calls: int, rounds: int, seconds: int, rate: float, soak_seconds: int) -> None:
    """Run the benchmark."""
    metrics: dict[str, float] = {}
    if part in ("relay", "all"):
        metrics |= relay_figures(calls, rounds, seconds)
    if part in ("controller", "all"):
        metrics |= controller_figures(rate, soak_seconds)
    metrics["cores"] = len(os.sched_getaffinity(0))
    write_report("rtp", metrics)


if __name__ == "__main__":
    main()
