"""Call distribution under load: real SIP, real RTP, every process of an instance (issue 4, loads L1 to L5).

    make bench-acd          table, and bench/out/acd.json
    python -m bench.acd --loads L2 --seconds 10        a part of it

Callers come from a carrier (one address), agents are registered phones that answer 50 ms after the ringing and hang up
2 s after the answer; both send G.711 all the time. A caller is known by his number, which is what the agent's INVITE
carries too: so delay, order and double offers are seen by the phones alone. CPU is the time that the processes of the
instance were on a CPU, without the load's own. Figures mean something only on a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from bench.acd_centre import Centre
from bench.acd_loads import freezes, held, steady, vanishing
from bench.acd_match import match_figures
from bench.report import write_report

#: Measured matches of each layout.
MATCH_ROUNDS = 200
LOADS = ("L1", "L2", "L3", "L4", "L5", "match")


@click.command()
@click.option("--loads", default=",".join(LOADS), help="Which loads, with commas.")
@click.option("--seconds", default=30, help="Length of each steady load.")
@click.option("--callers", default="100,300", help="Numbers of waiting callers in L1.")
@click.option("--agents", default=1000, help="Agents of L3.")
def main(loads: str, seconds: int, callers: str, agents: int) -> None:
    """Run the loads and write the report."""
    chosen = loads.split(",")
    metrics: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            began = time.monotonic()
            part = _RUN[name](Path(folder), seconds, [int(number) for number in callers.split(",")], agents)
            metrics |= {key: value for key, value in part.items() if not math.isnan(value)}
            print(f"{name} took {time.monotonic() - began:.0f} s")
    write_report("acd", metrics)


Run = Callable[[Path, int, list[int], int], Mapping[str, float]]


def _with_centre(settings: Mapping[str, object], work: Callable[[Centre], object]) -> None:
    with Centre(settings) as centre:
        work(centre)


def _l1(folder: Path, seconds: int, callers: list[int], agents: int) -> Mapping[str, float]:
    metrics: dict[str, float] = {}

    def work(centre: Centre) -> None:
        for number in callers:
            for sending in (False, True):
                metrics.update(asyncio.run(held(centre, folder, number, seconds, callers_send=sending)))

    _with_centre({}, work)
    if callers:
        metrics["held_cpu_ms_per_call_minute"] = metrics[f"held_{callers[0]}_cpu_ms_per_call_minute"]
    return metrics


def _l2(folder: Path, seconds: int, callers: list[int], agents: int) -> Mapping[str, float]:
    metrics: dict[str, float] = {}

    def work(centre: Centre) -> None:
        fifty = centre.add_queue("fifty", centre.add_agents(50))
        more = centre.add_queue("more", centre.add_agents(120))
        centre.save()
        for rate in (5, 10, 20):
            metrics.update(asyncio.run(steady(centre, folder, [fifty], rate, seconds, f"at_{rate}cps")))
        metrics.update(asyncio.run(steady(centre, folder, [more], 40, seconds, "at_40cps")))
        metrics.update(asyncio.run(steady(centre, folder, [fifty], 40, seconds, "overload")))
        metrics["overload_drain_per_s"] = metrics.pop("drain_per_s_overload")
        metrics["transactions_per_call"] = metrics["transactions_per_call_at_20cps"]
        metrics["stuck_agents"] = centre.wrong_agents()

    _with_centre({}, work)
    return metrics


def _l3(folder: Path, seconds: int, callers: list[int], agents: int) -> Mapping[str, float]:
    metrics: dict[str, float] = {}

    def work(centre: Centre) -> None:
        queues = [
            centre.add_queue(f"part{number}", centre.add_agents(max(1, agents // 20))) for number in range(20)
        ]
        centre.save()
        metrics.update(asyncio.run(steady(centre, folder, queues, 40, seconds, "of_1000_agents")))

    _with_centre({}, work)
    return metrics


def _l4(folder: Path, seconds: int, callers: list[int], agents: int) -> Mapping[str, float]:
    metrics: dict[str, float] = {}

    def work(centre: Centre) -> None:
        queue = centre.add_queue("fifty", centre.add_agents(50))
        centre.save()
        metrics.update(asyncio.run(freezes(centre, folder, queue)))

    _with_centre({}, work)
    return metrics


def _l5(folder: Path, seconds: int, callers: list[int], agents: int) -> Mapping[str, float]:
    metrics: dict[str, float] = {}

    def work(centre: Centre) -> None:
        queue = centre.add_queue("fifty", centre.add_agents(50))
        centre.save()
        metrics.update(asyncio.run(vanishing(centre, folder, queue)))

    _with_centre({}, work)
    return metrics


def _match(folder: Path, seconds: int, callers: list[int], agents: int) -> Mapping[str, float]:
    return match_figures(MATCH_ROUNDS)


_RUN: Mapping[str, Run] = {"L1": _l1, "L2": _l2, "L3": _l3, "L4": _l4, "L5": _l5, "match": _match}


if __name__ == "__main__":
    main()
