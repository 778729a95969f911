"""RTPProxy nodes without a process, and time without a clock: what the controller's engine is tested on.

A FakeNode behaves as rtp.io 1.1.1 does towards the controller's commands, as far as the controller can see; it can be
made silent, refusing or lying. `log` holds every command that reached it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rtpproxy_ctl import commands as c
from rtpproxy_ctl.balancer import Health, NodeFacts
from rtpproxy_ctl.controller.nodes import NOTIFY, RECORD, SINGLE_SHOT, Done, NodeSpec
from rtpproxy_ctl.protocol import parse_command


class FakeTimers:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._calls: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._serial = itertools.count()

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, function: Callable[..., Any], *arguments: Any) -> None:
        heapq.heappush(self._calls, (self.now + delay, next(self._serial), function, arguments))

    def advance(self, seconds: float) -> None:
        """Let time pass; what falls due is called in order."""
        until = self.now + seconds
        while self._calls and self._calls[0][0] <= until:
            self.now, _, function, arguments = heapq.heappop(self._calls)
            function(*arguments)
        self.now = until


class FakeNode:
    """One node."""

    _ports = itertools.count(10_000, 2)

    def __init__(self, spec: NodeSpec, timers: FakeTimers) -> None:
        self.spec, self._timers = spec, timers
        self.state = Health.UP
        self.capabilities = frozenset({NOTIFY, RECORD, SINGLE_SHOT})
        self.log: list[str] = []
        #: handle → (first tag, ports by stream suffix and side)
        self.sessions: dict[str, dict[str, tuple[int, int]]] = {}
        #: (handle, tag) of each direction that is copied → file.
        self.copies: dict[tuple[str, str], str] = {}
        #: "": answers; "silent": no answer at all; or the text that it answers to everything.
        self.mood = ""
        #: Packets that came from the side whose tag is first, of every session.
        self.packets = 150
        #: First letters of commands that it answers so many seconds late.
        self.slow: dict[str, float] = {}
        self.taken = 0

    @property
    def health(self) -> Health:
        return self.state

    def facts(self) -> NodeFacts:
        spec = self.spec
        return NodeFacts(
            name=spec.name,
            host=spec.host,
            health=self.state,
            enabled=spec.enabled,
            draining=spec.draining,
            weight=spec.weight,
            capacity=spec.capacity,
            sessions=len(self.sessions),
            capabilities=self.capabilities,
        )

    def took_session(self) -> None:
        self.taken += 1

    def ask(self, text: str, done: Done, schedule: Sequence[float] | None = None) -> None:
        """Answer at once; a silent node does not, and its asker hears so when the schedule is over."""
        self.log.append(text)
        if self.mood == "silent":
            self._timers.callLater((schedule or (0.9,))[-1], done, None)
        elif delay := self.slow.get(text[0], 0):
            self._timers.callLater(delay, lambda: done(self.mood or self._answer(parse_command(text))))
        else:
            done(self.mood or self._answer(parse_command(text)))

    def set(self, **changes: Any) -> None:
        """Change its row of the table."""
        self.spec = replace(self.spec, **changes)

    def _answer(self, command: c.AnyCommand) -> str:
        if isinstance(command, c.Update):
            return self._update(command)
        if isinstance(command, c.Lookup):
            found = self._known(command)
            return f"{found[1]} 127.0.0.1" if found else "0"
        if isinstance(command, c.Counters):
            return " ".join("1" for _ in command.names)
        assert not isinstance(command, c.Version | c.HasCapability | c.Info | c.DeleteAll)
        if isinstance(command, c.Delete):
            return "0" if self.sessions.pop(command.call_id, None) else "E50"
        if self._known(command) is None:
            return "E50"
        return self._of_session(command)

    def _update(self, command: c.Update) -> str:
        ports = self.sessions.setdefault(command.call_id, {})
        key = command.from_tag if command.from_tag in ports or not ports else ""
        if command.to_tag in ports:
            key = command.to_tag
        key = key or command.from_tag
        if key not in ports:
            ports[key] = (next(self._ports), next(self._ports))
        answer = f"{ports[key][0] if key == command.from_tag else ports[key][1]} 127.0.0.1"
        for sub in command.more:
            answer += f" && {ports[key][1]} 127.0.0.1" if isinstance(sub, c.OtherSide) else " && 0"
        return answer

    def _known(self, command: c.SessionCommand) -> tuple[int, int] | None:
        ports = self.sessions.get(command.call_id, {})
        return ports.get(command.from_tag) or ports.get(command.to_tag)

    def _of_session(self, command: c.SessionCommand) -> str:
        if isinstance(command, c.Query):
            if command.verbose:
                return " ".join(
                    f"{name}={self.packets if name == 'npkts_ina' else 0}" for name in command.counters
                )
            return "3600 150 148 298 0"
        direction = (command.call_id, command.from_tag)
        if isinstance(command, c.Copy):
            if direction in self.copies:
                return "E65"
            self.copies[direction] = command.target
            return "0"
        if isinstance(command, c.StopRecord):
            return "0" if self.copies.pop(direction, None) else "E50"
        return "0"


def make_nodes(timers: FakeTimers, count: int = 2, **spec: Any) -> dict[str, FakeNode]:
    """Return nodes n1-rtp-1 … of host n1, by name."""
    names = [f"n1-rtp-{number + 1}" for number in range(count)]
    return {
        name: FakeNode(NodeSpec(name=name, host="n1", address=("127.0.0.1", 22222), **spec), timers)
        for name in names
    }
