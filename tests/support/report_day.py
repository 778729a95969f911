"""Queue events of a day, written as they would have been journalled, at times that a test chooses.

day = Day(db, tenant, zone, date(2026, 3, 10))
eve = day.agent("eve", "09:00")
call = day.enter("10:00", "sales")
offer = day.offer("10:00", call, eve)
day.join("10:00:08", offer)
day.finish("10:02:08", offer, by="agent", hold=20, wrapup=30)
day.write()
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from typing import Any

from psycopg.types.json import Jsonb

from kalibri.db import Conn


@dataclass
class Person:
    """An agent and what he does."""

    agent_id: int
    state: str = "offline"
    reason: str = ""
    since: datetime | None = None


@dataclass
class Stay:
    """A call in a queue."""

    entry_id: int
    queue: str
    call: uuid.UUID
    caller: str
    entered: datetime


@dataclass
class Ring:
    """An offer."""

    offer_id: int
    stay: Stay
    agent: Person
    made: datetime
    joined: datetime | None = None


@dataclass
class Day:
    """Events of one day; times are local, "10:00" or "10:00:08", or moments."""

    conn: Conn
    tenant_id: int
    zone: tzinfo
    date: date
    level_seconds: int = 20
    short_seconds: int = 5
    queues: dict[str, int] = field(default_factory=dict)
    _events: list[tuple[datetime, int, dict[str, Any]]] = field(default_factory=list)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def queue(self, name: str) -> int:
        """Return the id of a queue, which is made when it is named first."""
        if name not in self.queues:
            row = self.conn.execute(
                "INSERT INTO queue (tenant_id, name) VALUES (%s, %s) RETURNING queue_id",
                [self.tenant_id, name],
            ).fetchone()
            assert row is not None
            self.queues[name] = row[0]
        return self.queues[name]

    def at(self, when: str | datetime) -> datetime:
        """Return a local time of the day as a moment."""
        if isinstance(when, datetime):
            return when
        return datetime.combine(self.date, time.fromisoformat(when), self.zone)

    def note(self, when: str | datetime, kind: str, data: dict[str, Any], **columns: Any) -> None:
        """Add any event; what happens at the same time keeps its order."""
        event = {"kind": kind, "data": data, **columns}
        self._events.append((self.at(when), len(self._events), event))

    def write(self) -> None:
        """Store the events in the order of their times."""
        for at, _, event in sorted(self._events, key=lambda item: item[:2]):
            names = ("kind", "data", "queue_id", "entry_id", "offer_id", "agent_id", "call_id")
            values = [event.get(name) for name in names]
            values[1] = Jsonb(values[1])
            self.conn.execute(
                "INSERT INTO acd_event (at, tenant_id, kind, data, queue_id, entry_id, offer_id, agent_id, call_id)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [at, self.tenant_id, *values],
            )
        self._events.clear()

    # ---- agents

    def agent(self, name: str, login: str | datetime | None = None) -> Person:
        """Make an agent, free from this time on."""
        row = self.conn.execute(
            "INSERT INTO agent (tenant_id, name, number) VALUES (%s, %s, '100') RETURNING agent_id",
            [self.tenant_id, name],
        ).fetchone()
        assert row is not None
        person = Person(row[0])
        if login is not None:
            self.state(login, person, "free")
        return person

    def state(
        self, when: str | datetime, person: Person, to: str, reason: str = "", offer: int | None = None
    ) -> None:
        """An agent comes into a state."""
        at = self.at(when)
        data: dict[str, Any] = {
            "from": person.state,
            "to": to,
            "was": person.reason,
            "reason": reason,
            "by": "test",
        }
        data["seconds"] = (at - person.since).total_seconds() if person.since else 0
        self.note(at, "agent.state", data, agent_id=person.agent_id, offer_id=offer)
        person.state, person.reason, person.since = to, reason, at

    # ---- calls

    def enter(
        self, when: str | datetime, queue: str, caller: str = "", call: uuid.UUID | None = None
    ) -> Stay:
        """A call comes to a queue."""
        stay = Stay(next(self._ids), queue, call or uuid.uuid4(), caller, self.at(when))
        limits = {"service_level_seconds": self.level_seconds, "short_abandon_seconds": self.short_seconds}
        self._of(when, "entry.enter", stay, {"caller": caller, "since": stay.entered.isoformat(), **limits})
        return stay

    def _of(self, when: str | datetime, kind: str, stay: Stay, data: dict[str, Any], **columns: Any) -> None:
        about = {"queue_id": self.queue(stay.queue), "entry_id": stay.entry_id, "call_id": stay.call}
        self.note(when, kind, data, **{**about, **columns})

    def move(self, when: str | datetime, stay: Stay, queue: str, by: str = "system") -> None:
        """A waiting call goes to another queue."""
        limits = {"service_level_seconds": self.level_seconds, "short_abandon_seconds": self.short_seconds}
        data = {
            "from": self.queue(stay.queue),
            "to": self.queue(queue),
            "by": by,
            "cause": "timeout",
            **limits,
        }
        stay.queue = queue
        self._of(when, "entry.move", stay, data)

    def ask_callback(self, when: str | datetime, stay: Stay) -> None:
        """A waiting caller wants to be called back."""
        self._of(when, "entry.callback", stay, {"number": stay.caller})

    def dialled(self, when: str | datetime, ring: Ring, result: str) -> None:
        """The person was called back."""
        self._of(when, "entry.dial", ring.stay, {"result": result, "dials": 1}, offer_id=ring.offer_id)

    def end(self, when: str | datetime, stay: Stay, reason: str, by: str = "caller") -> None:
        """A stay ends."""
        self._of(when, "entry.end", stay, {"reason": reason, "by": by})

    def survey(self, when: str | datetime, stay: Stay, score: int) -> None:
        """The caller's mark."""
        self._of(when, "call.survey", stay, {"score": score})

    def offer(self, when: str | datetime, stay: Stay, agent: Person) -> Ring:
        """An agent's phone rings."""
        ring = Ring(next(self._ids), stay, agent, self.at(when))
        about = {"offer_id": ring.offer_id, "agent_id": agent.agent_id}
        self.state(when, agent, "ringing", offer=ring.offer_id)
        data = {"strategy": "longest_idle", "forced": False, "waited_seconds": 0}
        self._of(when, "offer.make", stay, data, **about)
        return ring

    def join(self, when: str | datetime, ring: Ring) -> None:
        """The agent answers and talks with the caller."""
        ring.joined = self.at(when)
        about = {"offer_id": ring.offer_id, "agent_id": ring.agent.agent_id}
        rang = (ring.joined - ring.made).total_seconds()
        self.state(when, ring.agent, "busy", "queue", ring.offer_id)
        self._of(when, "offer.answer", ring.stay, {"ring_seconds": rang}, **about)
        self._of(when, "offer.join", ring.stay, {}, **about)

    def finish(
        self,
        when: str | datetime,
        ring: Ring,
        *,
        by: str,
        hold: float = 0,
        wrapup: str | datetime | None = None,
        end: str | None = "served",
        cause: str = "",
    ) -> None:
        """The conversation ends; wrapup: when the after-call work does; end: how the stay ends."""
        assert ring.joined is not None
        talk = (self.at(when) - ring.joined).total_seconds()
        self.state(when, ring.agent, "free" if wrapup is None else "wrapup", offer=ring.offer_id)
        self._over(
            when, ring, "answered", {"talk_seconds": talk, "hold_seconds": hold, "by": by, "cause": cause}
        )
        if end is not None:
            self.end(when, ring.stay, end, by)
        if wrapup is not None:
            self.state(wrapup, ring.agent, "free")

    def fail(self, when: str | datetime, ring: Ring, outcome: str) -> None:
        """The agent does not take the call."""
        self.state(when, ring.agent, "free", offer=ring.offer_id)
        data = {"talk_seconds": None, "hold_seconds": 0, "by": "agent", "cause": ""}
        self._over(when, ring, outcome, data)

    def _over(self, when: str | datetime, ring: Ring, outcome: str, data: dict[str, Any]) -> None:
        rang = ((ring.joined or self.at(when)) - ring.made).total_seconds()
        about = {"offer_id": ring.offer_id, "agent_id": ring.agent.agent_id}
        told = {"outcome": outcome, "code": None, "ring_seconds": rang, **data}
        self._of(when, "offer.end", ring.stay, told, **about)
