"""The killing part of the demonstration: kill -9 of one process after the other while people talk, and what came of it.

Each kill goes to the pid that the instance's own supervisor or proxy names. Decides nothing about the calls: callers
say how they ended, the switch's own books say whether anything is missing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from kalibri.config import Config
from kalibri.rpc import KamailioRpc
from rtpproxy_ctl.ask import ask_counters
from tools.demo.calls import PRIVATE_ADDRESS, Outcome, Phones
from tools.demo.configuration import DID, Ports
from tools.instance import lifecycle
from tools.instance.processes import rtp_control

BACK_SECONDS = 60.0
#: Packets that a call has sent when it counts as talking: half a second, both ways.
TALKING_PACKETS = 50
#: Longer than the proxy is away: the end of the call is for the new proxy. BYE is repeated for half a minute anyway.
TALK_MS = 8000


class Kills:
    """Kills processes of a running instance, each time with a call going on or placed meanwhile."""

    def __init__(self, config: Config, phones: Phones, ports: Ports) -> None:
        self._config, self._phones, self._ports = config, phones, ports

    def outcomes(self) -> Iterator[Outcome]:
        """Kill one after the other; a call to 101 (registered, behind NAT) must be possible."""
        with ExitStack() as stack:
            stack.enter_context(self._phones.answering(self._ports.phone, contact_host=PRIVATE_ADDRESS))
            yield self._proxy_worker()
            yield self._meanwhile("rtp-1", "an RTP relay", self._call_or_wait)
            yield self._meanwhile("postgres", "PostgreSQL", self._call)
            yield self._meanwhile("ks-cdr", "ks-cdr", self._call)

    def _proxy_worker(self) -> Outcome:
        title = "kill -9 of a Kamailio worker during a call (the whole proxy restarts)"
        before = self._relayed()
        running = self._phones.talk(title, DID, talk_ms=TALK_MS)
        if not self._wait(lambda: self._relayed() > before + TALKING_PACKETS):
            return running.finish().failed("the call did not begin to talk")
        old = self._pid("kamailio")
        os.kill(self._worker(), signal.SIGKILL)
        killed = self._relayed()
        seconds = self._back("kamailio", old)
        meanwhile = self._relayed() - killed
        if seconds is None:
            return running.finish().failed("no new proxy")
        story = f"it answers again after {seconds:.1f} s; {meanwhile} RTP packets passed meanwhile; BYE is answered"
        return running.finish().told(story, media=meanwhile)

    def _meanwhile(self, process: str, what: str, place: Callable[[str], Outcome]) -> Outcome:
        """Kill a supervised process, place a call at once, and wait until the process is back."""
        old = self._pid(process)
        os.kill(old, signal.SIGKILL)
        outcome = place(f"kill -9 of {what}, and a call at the same moment")
        seconds = self._back(process, old)
        if seconds is None:
            return outcome.failed(f"{process} does not come back")
        return outcome.told(f"the call was served; {process} is back")

    def _call(self, title: str) -> Outcome:
        return self._phones.call(title, "101")

    def _call_or_wait(self, title: str) -> Outcome:
        """With a second relay the call is served at once; a single one has to be back first."""
        if self._config.rtp_nodes < 2:
            self._wait(lambda: "rtp-1" in self._ready(["rtp-1"]))
        return self._call(title)

    def _relayed(self) -> int:
        """Return how many packets the relays that answer have passed on, all together."""
        total = 0
        for number in range(1, self._config.rtp_nodes + 1):
            counters = ask_counters(rtp_control(self._config, number), ["npkts_relayed"], 5)
            total += int(counters["npkts_relayed"])
        return total

    def _worker(self) -> int:
        with KamailioRpc(self._config.kamailio_rpc_socket) as proxy:
            rows = proxy.call("core.psx")
        return next(int(row["PID"]) for row in rows if str(row["DSC"]).startswith("udp receiver"))

    def _pid(self, process: str) -> int:
        pid = lifecycle.states_of(self._config)[process].pid
        assert pid is not None, f"{process} does not run"
        return pid

    def _ready(self, names: list[str]) -> list[str]:
        states = lifecycle.states_of(self._config)
        answers = lifecycle.answers_of(self._config, states, names)
        return [name for name, answer in answers.items() if answer.ready]

    def _back(self, process: str, old: int) -> float | None:
        """Wait for another life of a process that answers; return how long it took, None if it does not come."""
        began = time.monotonic()

        def back() -> bool:
            state = lifecycle.states_of(self._config).get(process)
            return state is not None and state.pid not in (None, old) and process in self._ready([process])

        return time.monotonic() - began if self._wait(back) else None

    @staticmethod
    def _wait(condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + BACK_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True
