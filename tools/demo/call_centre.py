"""The call centre of the demonstration: two agents, five callers, one of whom asks to be called back; all are recorded.

What happens next always waits for what ksctl says of the queue, never for a time: who is served, who waits at which
place, whose callback is noted, which recordings are finished. Decides nothing about calls; the switch does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kalibri.config import Config
from tools.demo.baresip_phone import BaresipPhone, Line, PhoneError, make_tone
from tools.demo.calls import Outcome, Phones, Running
from tools.demo.configuration import (
    AGENTS,
    CALLBACK_KEY,
    CENTRE_ACCOUNTS,
    DOMAIN,
    IN_HOUSE_CALLER,
    QUEUE,
    QUEUE_DID,
    QUEUE_NUMBER,
    TENANT,
    YES_KEY,
    Ksctl,
    Ports,
)

#: People who call through the carrier, a moment after one another.
OUTSIDE_CALLERS = ("79161110001", "79161110002", "79161110003", "79161110004")
ARRIVAL_MS = 1000
#: How long an agent talks at least, and how long a caller listens before he presses a key.
TALK_SECONDS, LISTEN_SECONDS = 3.0, 4.0
#: Longest wait for one thing to happen.
LIMIT_SECONDS = 90.0
#: Longest wait until the recordings of all calls are finished.
RECORDED_SECONDS = 180.0
LOOK_SECONDS = 0.3
#: After which the dialogue about a callback is begun anew.
DIALOGUE_SECONDS = 12.0

Row = dict[str, Any]


@dataclass
class Visit:
    """What became of one caller of the queue."""

    entry_id: int
    call_id: str
    caller: str
    #: His place when it was looked at; None: he did not have to wait.
    position: int | None = None
    agent: str = ""
    waited_seconds: float = 0.0
    callback: bool = False
    end_reason: str = ""

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        return f"{self.end_reason or 'still there'}{', called back' if self.callback else ''}"

    def see(self, row: Row) -> None:
        """Take over what ksctl says of his entry now; what was said before of agent and place stays if it is gone."""
        self.agent = row["agent"] or self.agent
        self.callback = row["kind"] == "callback"
        self.waited_seconds = float(row["waited_seconds"])
        self.end_reason = row["end_reason"] or ""


class CallCentre:
    """One shift in the queue."""

    def __init__(
        self, config: Config, ksctl: Ksctl, console: Console, phones: Phones, ports: Ports, folder: Path
    ) -> None:
        self._ksctl, self._console = ksctl, console
        self._phones, self._ports, self._folder = phones, ports, folder
        self._proxy = f"{config.proxy.listen_address}:{config.proxy.sip_port}"
        self._began = datetime.now().astimezone()
        self._visits: dict[int, Visit] = {}

    @property
    def told(self) -> Visit | None:
        """The caller whose story is worth being told: the first of those who waited and were served at once then."""
        waited = [
            visit for visit in self.visits if visit.position and visit.end_reason and not visit.callback
        ]
        return min(waited, key=lambda visit: visit.position or 0, default=None)

    @property
    def visits(self) -> list[Visit]:
        """All callers, in the order in which they came."""
        return [self._visits[entry_id] for entry_id in sorted(self._visits)]

    def outcomes(self) -> Iterator[Outcome]:
        """Let the shift happen, and tell each step as it comes; the agents log out at its end."""
        with ExitStack() as stack:
            try:
                yield from self._shift(stack)
            except PhoneError as error:
                yield Outcome("the call centre's phones", False, str(error), 0)
            finally:
                for agent in AGENTS:
                    self._ksctl("agent", "logout", "-t", TENANT, agent, quiet=True)
        yield self._served()
        yield self._recorded()

    def _shift(self, stack: ExitStack) -> Iterator[Outcome]:
        tone = make_tone(self._folder / "agent.wav", hertz=440)
        agents = {
            name: stack.enter_context(self._phone(account, number, tone))
            for number, (name, account) in enumerate(AGENTS.items())
        }
        caller = stack.enter_context(self._phone(IN_HOUSE_CALLER, len(AGENTS), tone))
        self._clear()
        yield self._log_in()
        running = self._phones.queue_callers(
            "four people call the queue through the carrier", QUEUE_DID, OUTSIDE_CALLERS, every_ms=ARRIVAL_MS
        )
        stack.callback(running.stop)
        yield self._arrive(caller)
        yield self._ask_callback(caller)
        yield self._serve(agents)
        yield self._hung_up_on(running)

    def _phone(self, account: str, number: int, tone: Path) -> BaresipPhone:
        line = Line(account, CENTRE_ACCOUNTS[account], DOMAIN, self._proxy)
        return BaresipPhone(
            line, self._folder / f"phone-{account}", self._ports.centre_phones + 4 * number, tone
        )

    # ---- steps

    def _clear(self) -> None:
        """Empty the queue of what a run that was broken off has left there: a callback waits for a day."""
        for row in self._json("entry", "list", "-t", TENANT, "--queue", QUEUE):
            self._ksctl("entry", "eject", "-t", TENANT, str(row["entry_id"]))

    def _log_in(self) -> Outcome:
        title = f"{' and '.join(AGENTS)} log in and are free"
        if not self._wait(lambda: all(row["registered"] for row in self._agents())):
            return Outcome(title, False, "their phones are not registered", 0)
        for agent in AGENTS:
            self._ksctl("agent", "login", "-t", TENANT, agent)
        free = self._wait(lambda: all(row["state"] == "free" for row in self._agents()))
        states = ", ".join(f"{row['name']} {row['state']}" for row in self._agents())
        return Outcome(title, free, "" if free else states, 0)

    def _arrive(self, caller: BaresipPhone) -> Outcome:
        """Four come from outside, then one of our own; two are served, three wait. Calls: one for each of the five."""
        title = "five callers arrive: two are served at once, three wait with music"
        outside = len(OUTSIDE_CALLERS)
        if not self._wait(lambda: len(self._look()) == outside):
            return Outcome(title, False, f"{len(self._visits)} of {outside} callers are in the queue")
        caller.dial(QUEUE_NUMBER)
        waiting = outside + 1 - len(AGENTS)

        def settled() -> bool:
            states = [row["state"] for row in self._look()]
            return (states.count("talking"), states.count("waiting")) == (len(AGENTS), waiting)

        ok = self._wait(settled)
        rows = self._look()
        for row in rows:
            self._visits[row["entry_id"]].position = row["position"]
        self._console.print(f"  [dim]$[/dim] ./ksctl queue waiting -t {TENANT} {QUEUE}")
        self._console.print(self._ksctl("queue", "waiting", "-t", TENANT, QUEUE, quiet=True), markup=False)
        detail = "" if ok else ", ".join(f"{row['caller']} {row['state']}" for row in rows)
        return Outcome(title, ok, detail, outside + 1)

    def _ask_callback(self, caller: BaresipPhone) -> Outcome:
        """Press the key, then "yes" until it is understood: the menu is spoken meanwhile."""
        title = f"{IN_HOUSE_CALLER} waits last, presses {CALLBACK_KEY}, and leaves a callback"
        caller.wait_event("CALL_ESTABLISHED")
        time.sleep(LISTEN_SECONDS)  # he hears music first, as a person would
        deadline = time.monotonic() + LIMIT_SECONDS
        while not self._noted() and time.monotonic() < deadline:
            self._press(caller, CALLBACK_KEY)
            again = time.monotonic() + DIALOGUE_SECONDS
            while not self._noted() and time.monotonic() < again:
                self._press(caller, YES_KEY)
        if not self._noted():
            return Outcome(title, False, "no callback is noted", 0)
        caller.wait_event("CALL_CLOSED")
        self._console.print(f"  [dim]$[/dim] ./ksctl callback list -t {TENANT}")
        self._console.print(self._ksctl("callback", "list", "-t", TENANT, quiet=True), markup=False)
        return Outcome(title, True, "his call has ended, his place is kept", 0)

    def _press(self, caller: BaresipPhone, key: str) -> None:
        """Press a key. His call may just have ended because the callback is noted: then there is nothing to press."""
        try:
            caller.press(key)
        except PhoneError:
            if not self._noted():
                raise

    def _noted(self) -> bool:
        return any(row["kind"] == "callback" for row in self._look())

    def _serve(self, agents: dict[str, BaresipPhone]) -> Outcome:
        """Let agents hang up, each after a talk, until nobody is in the queue any more."""
        title = "the agents take one after the other, and the callback when its turn comes"
        since: dict[int, float] = {}

        def empty() -> bool:
            rows = self._look()
            for row in rows:
                entry_id = row["entry_id"]
                if row["state"] != "talking" or since.get(entry_id) == 0:
                    continue
                if time.monotonic() - since.setdefault(entry_id, time.monotonic()) >= TALK_SECONDS:
                    since[entry_id] = 0
                    agents[row["agent"]].hang_up()
            return not rows

        done = self._wait(empty)
        left = ", ".join(f"{visit.caller} {visit.outcome}" for visit in self.visits if not visit.end_reason)
        return Outcome(title, done, "" if done else left, 0)

    def _hung_up_on(self, running: Running) -> Outcome:
        """Hear how the callers from outside saw it; they are counted among the five."""
        outcome = running.finish()
        return Outcome("each caller from outside was answered and hung up on", outcome.ok, outcome.detail, 0)

    def _served(self) -> Outcome:
        self._look_back()
        table = Table(box=None, pad_edge=False)
        for title in ("caller", "waited", "position", "agent", "outcome"):
            table.add_column(title.upper(), justify="right" if title in ("waited", "position") else "left")
        for visit in self.visits:
            place = "-" if visit.position is None else str(visit.position)
            table.add_row(
                visit.caller, f"{visit.waited_seconds:.1f} s", place, visit.agent or "-", visit.outcome
            )
        self._console.print(table)
        served = [visit for visit in self.visits if visit.end_reason == "served"]
        called_back = [visit for visit in served if visit.callback]
        ok = len(served) == len(OUTSIDE_CALLERS) + 1 and len(called_back) == 1
        return Outcome("all five are served, one of them by a callback", ok, "", 0)

    def _recorded(self) -> Outcome:
        """Wait until ks-rec has mixed, encoded and stored what the media hosts recorded."""
        title = "their calls are recorded"
        calls = {visit.call_id for visit in self.visits}
        finished: set[str] = set()

        with self._console.status("recordings") as status:

            def all_there() -> bool:
                rows = self._json("recording", "list", "-t", TENANT, "--since", self._began.isoformat())
                finished.update(row["call_id"] for row in rows if row["state"] == "indexed")
                status.update(f"recordings: {len(finished & calls)} of {len(calls)} calls finished")
                return calls <= finished

            ok = self._wait(all_there, RECORDED_SECONDS)
        return Outcome(title, ok, f"{len(finished & calls)} of {len(calls)} calls have an MP3", 0)

    def show_story(self) -> None:
        """Print the story of one call with its recording."""
        if (visit := self.told) is None:
            return
        self._console.print(f"[bold]One caller of the queue[/bold] ({visit.caller})")
        for command in (("call", "show", visit.call_id), ("recording", "list", "--call", visit.call_id)):
            self._console.print(f"  [dim]$[/dim] ./ksctl {' '.join(command)}")
            self._console.print(self._ksctl(*command, quiet=True), markup=False)
        rows = self._json("recording", "list", "--call", visit.call_id)
        for row in rows:
            command = ("recording", "play", "--path", row["recording_id"])
            self._console.print(f"  [dim]$[/dim] ./ksctl {' '.join(command)}")
            self._console.print(self._ksctl(*command, quiet=True), markup=False)

    # ---- what ksctl says

    def _look(self) -> list[Row]:
        """Return the entries that have not ended, and remember what is said of them."""
        rows: list[Row] = self._json("entry", "list", "-t", TENANT, "--queue", QUEUE)
        for row in rows:
            entry_id = row["entry_id"]
            fresh = Visit(entry_id, row["call_id"], row["caller"] or row["number"])
            self._visits.setdefault(entry_id, fresh).see(row)
        return rows

    def _look_back(self) -> None:
        for visit in self.visits:
            visit.see(self._json("entry", "show", "-t", TENANT, str(visit.entry_id)))

    def _agents(self) -> list[Row]:
        rows: list[Row] = self._json("agent", "list", "-t", TENANT)
        return [row for row in rows if row["name"] in AGENTS]

    def _json(self, *command: str) -> Any:
        return json.loads(self._ksctl(*command, "-o", "json", quiet=True))

    @staticmethod
    def _wait(condition: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True
