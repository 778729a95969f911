"""The loads of bench/acd.py: waiting callers, steady arrivals, freezes, vanished far ends."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.acd_centre import Centre, Line
from bench.acd_media import MediaLoad
from bench.acd_sip import Agents, Callers, Leg, user_of

ANSWER_AFTER, TALK = 0.05, 2.0
#: After the last call so long is waited for the end of all.
DRAIN_SECONDS = 60.0
#: Who waits with music for L1.
MUSIC_PROCESSES = ("media-", "rtp-", "rtpc-")
FREEZE_SECONDS = 0.6
#: No call waits for these.
ONLY_ASIDE = ("watch", "ks-index", "ks-cdr", "ks-dial", "ks-ears", "ks-rec", "ks-worker", "stun", "ks-api")
_NUMBERS = itertools.count(79000000001)


@dataclass(slots=True)
class Seen:
    """What the phones saw of one call."""

    leg: Leg
    offers: list[tuple[float, str]] = field(default_factory=list)
    served: float = 0.0


class Load:
    """Callers and agents on one loop, for one run."""

    def __init__(self, centre: Centre, folder: Path, *, callers_send: bool = True) -> None:
        self.centre = centre
        proxy = centre.switch.address
        self.media = MediaLoad(folder, callers_send=callers_send)
        self.callers = Callers(proxy, self.media)
        self.agents = Agents(proxy, self.media, answer_after=ANSWER_AFTER, talk=TALK)
        self.agents.on_offer = self._offered
        self.seen: dict[str, Seen] = {}

    async def open(self, agents: Sequence[str]) -> None:
        """Bind the sockets, register and log in."""
        await self.callers.open(self.centre.socket_of("carrier"))
        await self.agents.open(self.centre.socket_of("phones"))
        domain = self.centre.switch.DOMAIN
        for agent in agents:
            await self.agents.register(agent, domain, f"pw{agent}")
        await asyncio.to_thread(self.centre.log_in, tuple(agents))

    def close(self) -> None:
        """End the load."""
        self.callers.transport.close()
        self.agents.transport.close()
        self.media.close()

    def call(self, line: Line) -> Seen:
        """Place one call."""
        number = str(next(_NUMBERS))
        seen = self.seen[number] = Seen(self.callers.call(number, line.number))
        return seen

    def _offered(self, caller: str, agent: str, leg: Leg) -> None:
        seen = self.seen.get(caller)
        if seen is not None:
            seen.offers.append((time.monotonic(), agent))

    async def calls_at(self, lines: Sequence[Line], rate: float, seconds: float) -> None:
        """Place calls at an even rate."""
        began = time.monotonic()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            self.call(lines[number % len(lines)])

    async def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds, at most so long; tell whether it does."""
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return condition()

    async def drained(self) -> None:
        """Wait until every call has ended."""
        await self.wait(lambda: all(seen.leg.ended for seen in self.seen.values()), DRAIN_SECONDS)

    # ---- what came of it

    def delays_ms(self) -> list[float]:
        """Return the time from each caller's INVITE to the first INVITE of an agent, in milliseconds, sorted."""
        return sorted(1000 * (s.offers[0][0] - s.leg.began) for s in self.seen.values() if s.offers)

    def failed(self) -> int:
        """Return how many callers did not talk with an agent to the end."""
        return sum(1 for s in self.seen.values() if not (s.offers and s.leg.answered and s.leg.ended))

    def overtaken_seconds(self) -> float:
        """Return by how much a later caller got an agent before an earlier one, at most."""
        worst, latest = 0.0, 0.0
        offered = sorted((s.offers[0][0], s.leg.began) for s in self.seen.values() if s.offers)
        for _, began in offered:
            worst = max(worst, latest - began)
            latest = max(latest, began)
        return worst

    def twice(self) -> int:
        """Return how many callers were with two agents at once."""
        return sum(
            1 for s in self.seen.values() if len({agent for _, agent in s.offers}) > 1 and not s.served
        )


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values; NaN if there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else math.nan


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the CPU seconds of each process between two looks."""
    return {name: after[name] - before.get(name, 0.0) for name in after}


# ---------------------------------------------------------------------------------------------------- L2, L3


async def steady(
    centre: Centre, folder: Path, lines: Sequence[Line], rate: float, seconds: float, name: str
) -> Mapping[str, float]:
    """Callers at an even rate; agents answer and hang up."""
    load = Load(centre, folder)
    agents = [agent for line in lines for agent in line.agents]
    try:
        await load.open(agents)
        idle = await asyncio.to_thread(centre.idle_transactions_per_s, 3.0)
        cpu, commits, began = centre.cpu_seconds(), centre.transactions(), time.monotonic()
        await load.calls_at(lines, rate, seconds)
        await load.drained()
        took = time.monotonic() - began
        used = spent(cpu, centre.cpu_seconds())
        committed = centre.transactions() - commits - idle * took
        return _told(load, used, committed, name)
    finally:
        load.close()


def _told(load: Load, used: Mapping[str, float], committed: float, name: str) -> dict[str, float]:
    delays, calls = load.delays_ms(), len(load.seen)
    answers = sorted(s.leg.answered for s in load.seen.values() if s.leg.answered and s.offers)
    middle = answers[len(answers) // 10 : -len(answers) // 10 or None]
    drain = (len(middle) - 1) / (middle[-1] - middle[0]) if len(middle) > 1 else math.nan
    print(
        f"{name}: CPU ms a call: "
        + ", ".join(f"{n} {1000 * s / calls:.2f}" for n, s in used.items() if s > 0.02)
    )
    return {
        f"calls_{name}": calls,
        f"failed_{name}": load.failed(),
        f"offer_delay_p50_ms_{name}": quantile(delays, 0.5),
        f"offer_delay_p95_ms_{name}": quantile(delays, 0.95),
        f"offer_delay_max_ms_{name}": quantile(delays, 1.0),
        f"overtaken_s_{name}": load.overtaken_seconds(),
        f"drain_per_s_{name}": drain,
        f"cpu_ms_per_call_{name}": 1000 * sum(used.values()) / calls,
        f"transactions_per_call_{name}": committed / calls,
    }


# -------------------------------------------------------------------------------------------------------- L1


async def held(
    centre: Centre, folder: Path, callers: int, seconds: float, *, callers_send: bool
) -> Mapping[str, float]:
    """Callers who wait with music in a queue without agents."""
    name = f"held_{callers}{'_sending' if callers_send else ''}"
    line = centre.add_queue(name, (), join_when="always")
    centre.save()
    load = Load(centre, folder, callers_send=callers_send)
    try:
        await load.open(())
        for _ in range(callers):
            load.call(line)
            await asyncio.sleep(0.05)
        up = await load.wait(lambda: all(seen.leg.answered for seen in load.seen.values()), 30)
        before, heard, began = centre.cpu_seconds(), load.media.packets(), time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        used = spent(before, centre.cpu_seconds())
        packets = load.media.packets().by_callers - heard.by_callers
        for seen in load.seen.values():
            if seen.leg.answered:
                load.callers.hang_up(seen.leg)
        await load.drained()
        minutes = callers * took / 60
        music = sum(s for process, s in used.items() if process.startswith(MUSIC_PROCESSES))
        print(f"{name}: " + ", ".join(f"{n} {1000 * s / minutes:.1f}" for n, s in used.items() if s > 0.02))
        return {
            f"{name}_failed": 0 if up else sum(1 for s in load.seen.values() if not s.leg.answered),
            f"{name}_cpu_ms_per_call_minute": 1000 * music / minutes,
            f"{name}_packets_share": packets / (callers * 50 * took),
        }
    finally:
        load.close()


# ---------------------------------------------------------------------------------------------------- L4, L5


async def freezes(centre: Centre, folder: Path, line: Line) -> Mapping[str, float]:
    """Stop each process for 0.6 s at 20 calls/s, one after the other."""
    metrics: dict[str, float] = {}
    for process in sorted(centre.pids()):
        if process in ONLY_ASIDE:
            continue
        metrics |= await _frozen(centre, folder, line, process)
    return metrics


async def _frozen(centre: Centre, folder: Path, line: Line, process: str) -> Mapping[str, float]:
    load = Load(centre, folder)
    try:
        await load.open(line.agents)
        calls = asyncio.create_task(load.calls_at([line], 20, 10))
        await asyncio.sleep(3)
        pids = centre.pids()[process]
        _signal(pids, signal.SIGSTOP)
        await asyncio.sleep(FREEZE_SECONDS)
        _signal(pids, signal.SIGCONT)
        thawed = time.monotonic()
        await calls
        await load.drained()
        slow = [s.leg.began for s in load.seen.values() if not s.offers or s.offers[0][0] - s.leg.began > 0.1]
        after = max((began - thawed for began in slow), default=0.0)
        name = process.replace("-", "_")
        print(
            f"{process} stopped for {FREEZE_SECONDS} s: {load.failed()} failed, normal after {max(0.0, after):.2f} s"
        )
        return {
            f"freeze_{name}_failed": load.failed(),
            f"freeze_{name}_normal_after_s": max(0.0, after),
            f"freeze_{name}_delay_max_ms": quantile(load.delays_ms(), 1.0),
        }
    finally:
        load.close()


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # a connection's process of PostgreSQL has ended
            os.kill(pid, number)


async def vanishing(centre: Centre, folder: Path, line: Line) -> Mapping[str, float]:
    """Callers, then agents, that vanish without BYE in the middle of a load; all agents are to be right in 10 s."""
    load = Load(centre, folder)
    try:
        await load.open(line.agents)
        await load.calls_at([line], 20, 5)
        gone = [leg.user for leg in _vanish(load.callers, 10)]
        gone += [user_of(leg.remote) for leg in _vanish(load.agents, 10)]
        freed = asyncio.create_task(asyncio.to_thread(centre.wait_over, gone, DRAIN_SECONDS))
        await load.calls_at([line], 20, 5)
        await load.wait(lambda: all(s.leg.ended for s in load.seen.values()), DRAIN_SECONDS)
        await asyncio.to_thread(centre.wait_right, line.agents, 30.0)
        return {
            "vanished_right_after_s": await freed,
            "stuck_agents_after_vanishing": centre.wrong_agents(),
            "vanished_failed": load.failed(),
        }
    finally:
        load.close()


def _vanish(side: Callers | Agents, number: int) -> list[Leg]:
    talking = [leg for leg in side.legs.values() if leg.answered and not leg.ended][:number]
    for leg in talking:
        side.vanish(leg)
    return talking
