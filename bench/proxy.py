"""What a call costs in the proxy: CPU per INVITE…BYE against a bare native Kamailio, and how many are clean.

    make bench-proxy        table, and bench/out/proxy.json

Both proxies run on this machine, take the same SIPp load, and are measured in turn, round by round, by the CPU time
of all their processes. The native one only record-routes and relays; ours also finds the route among 1,000, keeps
the limits, follows the dialog, and writes the journal.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from bench.report import write_report
from tests.support.fix_instance import Instance
from tests.support.kamailio_probe import ask_options
from tests.support.net_ports import free_port
from tests.support.switch import Switch
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
ROUNDS = 5
SECONDS_A_ROUND = 8
CALLS_PER_SECOND = 100
#: Rates tried for max_clean_calls_per_s, each for RATE_SECONDS.
RATES = (50, 100, 150, 200, 300, 400)
RATE_SECONDS = 5
TRIES = 2
WORKERS = 2
#: Both proxies idle this long at the start of each round: what their timers cost is no cost of a call.
IDLE_SECONDS = 3
#: SIPp itself loses a call now and then on a busy machine; more than this share is the proxy's fault.
TOLERATED_FAILURES = 0.005


@dataclass(frozen=True)
class Load:
    """What SIPp saw."""

    done: int
    failed: int
    retransmissions: int


def cpu_seconds(main_pid: int) -> float:
    """Return the time that a process and all its descendants have been on a CPU, in seconds."""
    total = 0
    for pid in descendants(main_pid):
        total += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return total / 1e9


def descendants(pid: int) -> list[int]:
    """Return a process and all that came of it."""
    found = [pid]
    for parent in found:
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        found.extend(int(child) for child in text.split())
    return found


@contextmanager
def native_proxy(folder: Path, uas_port: int) -> Iterator[tuple[int, int]]:
    """Run the native configuration; yield its port and pid."""
    port = free_port()
    text = (HERE / "native.cfg").read_text()
    for name, value in (("BENCH_WORKERS", WORKERS), ("BENCH_PORT", port), ("BENCH_UAS", uas_port)):
        text = text.replace(name, str(value))
    configuration = folder / "native.cfg"
    configuration.write_text(text)
    log = (folder / "native.log").open("w")
    command = ["/usr/sbin/kamailio", "-DD", "-E", "-f", str(configuration), "-P", str(folder / "native.pid")]
    command += ["-Y", str(folder), "-w", str(folder), "-m", "64", "-x", "fm", "-X", "fm"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: ask_options(("127.0.0.1", port), 0.5), "the native proxy", 15)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        log.close()


@contextmanager
def answering_gateway(port: int) -> Iterator[None]:
    """Run SIPp as the gateway that answers every call."""
    command = [
        "sipp",
        "-sf",
        str(HERE / "sipp/uas.xml"),
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-aa",
        "-nostdin",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def place_calls(proxy_port: int, source_port: int, calls: int, rate: int, folder: Path) -> Load:
    """Place calls at an even rate and wait for their end."""
    statistics_file = folder / f"stat-{time.monotonic_ns()}.csv"
    command = ["sipp", "-sf", str(HERE / "sipp/uac.xml"), f"127.0.0.1:{proxy_port}", "-i", "127.0.0.1"]
    command += ["-p", str(source_port), "-m", str(calls), "-r", str(rate), "-nostdin", "-trace_stat"]
    command += [
        "-stf",
        str(statistics_file),
        "-fd",
        "1",
        "-timeout",
        str(calls // rate + 40),
        "-recv_timeout",
        "20000",
    ]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    header, *rows = statistics_file.read_text().splitlines()
    last = dict(zip(header.split(";"), rows[-1].split(";"), strict=False))
    return Load(int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"]), int(last["Retransmissions(C)"]))


@dataclass(frozen=True)
class Subject:
    """A proxy to be measured."""

    name: str
    port: int
    pid: int


def idle_share(subject: Subject) -> float:
    """Return the CPU that the proxy's own timers use, in seconds per second."""
    before, began = cpu_seconds(subject.pid), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds(subject.pid) - before) / (time.monotonic() - began)


def cost_ms(subject: Subject, source_port: int, folder: Path, rate: int) -> float:
    """Return CPU milliseconds of the proxy per call, over one round."""
    idle = idle_share(subject)
    before, began = cpu_seconds(subject.pid), time.monotonic()
    load = place_calls(subject.port, source_port, rate * SECONDS_A_ROUND, rate, folder)
    if load.failed > TOLERATED_FAILURES * (load.done + load.failed):
        sys.exit(f"{subject.name}: {load.failed} calls failed, {load.done} did not")
    used = cpu_seconds(subject.pid) - before - idle * (time.monotonic() - began)
    return 1000 * used / load.done


def clean_rate(subject: Subject, source_port: int, folder: Path) -> int:
    """Return the highest rate at which no call failed; a neighbour on the machine may spoil a first try."""
    best = 0
    for rate in RATES:
        if not any(_is_clean(subject, rate, source_port, folder) for _try in range(TRIES)):
            break
        best = rate
    return best


def _is_clean(subject: Subject, rate: int, source_port: int, folder: Path) -> bool:
    load = place_calls(subject.port, source_port, rate * RATE_SECONDS, rate, folder)
    print(f"  {rate:>4} calls/s: {load.failed} failed, {load.retransmissions} retransmissions", flush=True)
    return not load.failed


def measure(
    subjects: list[Subject], source_port: int, folder: Path, *, rounds: int, rate: int
) -> dict[str, float]:
    """Run the rounds, interleaved, and the search for the highest clean rate."""
    costs: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        for subject in subjects:
            costs[subject.name].append(cost_ms(subject, source_port, folder, rate))
        shown = ", ".join(f"{name} {values[-1]:.2f} ms" for name, values in costs.items())
        print(f"round {number + 1} of {rounds}: {shown}", flush=True)
    ratios = [ours / native for ours, native in zip(costs["kalibri"], costs["native"], strict=True)]
    return {
        "native_cpu_ms_per_call": statistics.median(costs["native"]),
        "kalibri_cpu_ms_per_call": statistics.median(costs["kalibri"]),
        "cpu_ratio_to_native": statistics.median(ratios),
    }


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True, help="Rounds, of both proxies in turn.")
@click.option("--rate", default=CALLS_PER_SECOND, show_default=True, help="Calls per second.")
@click.option("--search/--no-search", default=True, help="Look for the highest clean rate, too.")
def main(rounds: int, rate: int, search: bool) -> None:
    """Measure and report."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kalibri-bench-")))
        uas_port, source_port = free_port(), free_port()
        settings = {"proxy.workers": WORKERS, "proxy.flood_requests_per_2s": 0}
        # A gateway that failed at too high a rate must not be out at the next one.
        instance = Instance(
            settings | {"routing.gateway_failure_limit": 1000, "routing.gateway_penalty_seconds": 1}
        )
        stack.callback(instance.remove)
        instance.up()
        switch = Switch(instance)
        switch.add_gateway("caller", port=source_port, source_port=source_port, probe=False)
        switch.add_gateway("callee", port=uas_port, probe=False)
        for number in range(999):
            switch.queue_route(f"^7{number + 1000}\\d{{7}}$", "gateway:callee", priority=number, tenant_id=0)
        switch.queue_route("^7495", "gateway:callee", priority=5000, tenant_id=0)
        switch.save_routes()
        switch.save()
        stack.enter_context(answering_gateway(uas_port))
        native_port, native_pid = stack.enter_context(native_proxy(folder, uas_port))
        ours = Subject("kalibri", instance.config.proxy.sip_port, instance.pid("kamailio"))
        native = Subject("native", native_port, native_pid)
        write_report("proxy", measure([ours, native], source_port, folder, rounds=rounds, rate=rate))
        if search:
            print("highest clean rate, kalibri:", flush=True)
            write_report("proxy", {"max_clean_calls_per_s": clean_rate(ours, source_port, folder)})


if __name__ == "__main__":
    main()
