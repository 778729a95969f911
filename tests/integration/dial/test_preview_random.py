"""Preview under anything that may happen, in any order: no lead is lost, nobody is called twice, no agent is stuck."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kalibri.db import Conn
from tests.support.acd_field import HOST
from tests.support.dial_centre import Centre
from tools.dial.engine import Engine

STEPS = 200


class Chaos:
    """Agents, a host and an engine that do what chance says."""

    def __init__(self, conn: Conn, chance: random.Random) -> None:
        self.chance, self.centre = chance, Centre(conn)
        # Nothing waits for a clock: whoever is sent away may come back at the next step.
        delays = ("no_answer", "reject", "busy", "unreachable")
        waits = {f"{name}_delay_seconds": 0 for name in delays} | {
            "retry_seconds": 0,
            "no_answer_limit": None,
        }
        self.centre.acd.change(self.centre.queue, reject_exclusion_seconds=0, **waits)
        self.agents = [self.centre.agent(name) for name in ("anna", "bella", "carla")]
        numbers = [f"749511100{serial:02}" for serial in range(8)]
        rules = {"preview_again_seconds": 0, "preview_action": chance.choice(["skip", "dial"])}
        self.sale = self.centre.campaign(*numbers, mode="preview", **rules)
        self.centre.field.conn.execute("UPDATE campaign_admission SET max_queue_percent = 1000")
        #: What the host was told to do: offers that it rings, entries whose person it calls.
        self.rung: dict[int, int] = {}
        self.called: dict[int, int] = {}
        #: Attempts whose person was called.
        self.persons: list[int] = []

    @property
    def tenant(self) -> int:
        return self.centre.acd.tenant

    def step(self) -> None:
        """Let one thing happen."""
        often = [self.look, self.accept, self.take, self.agent_answers, self.person]
        self.chance.choice(
            [*often, *often, self.skip, self.time, self.people, self.host_dies, self.engine_dies]
        )()
        self.centre.field.check()
        double = self.centre.field.rows(
            "SELECT agent_id FROM offer WHERE state <> 'ended' GROUP BY 1 HAVING count(*) > 1"
        )
        assert not double
        assert len(self.persons) == len(set(self.persons)), "somebody was called twice for one attempt"

    def look(self) -> None:
        self.centre.field.make_due(self.sale)
        self.centre.look(1)

    def accept(self) -> None:
        looking = [row["agent_id"] for row in self.centre.previews()] or self.agents
        call = "SELECT dial_preview_accept(%s, %s, NULL, 'test')"
        self.centre.field.value(call, self.tenant, self.chance.choice(looking))

    def skip(self) -> None:
        call = "SELECT dial_preview_skip(%s, %s, NULL, 'why', 'test')"
        self.centre.field.value(call, self.tenant, self.chance.choice(self.agents))

    def time(self) -> None:
        """Every preview is over, penalties are past."""
        self.centre.field.conn.execute(
            "UPDATE offer SET deadline_at = clock_timestamp() - interval '1 s' WHERE preview_until IS NOT NULL"
        )
        self.centre.field.conn.execute(
            "UPDATE agent_live SET not_before = clock_timestamp() - interval '1 s' WHERE not_before IS NOT NULL"
        )
        self.centre.acd.tick()

    def people(self) -> None:
        agent, word = (
            self.chance.choice(self.agents),
            self.chance.choice(["pause", "resume", "logout", "login"]),
        )
        reason: list[Any] = ["break"] if word == "pause" else []
        self.centre.acd.call(f"acd_{word}", agent, *reason)  # type: ignore[arg-type]

    def take(self) -> None:
        for row in self.centre.field.rows("SELECT * FROM acd_take(%s)", HOST):
            if row["kind"] == "offer_agent":
                self.rung[row["offer_id"]] = row["entry_id"]
            elif row["kind"] == "cancel_offer":
                self.rung.pop(row["offer_id"], None)
                self.called.pop(row["offer_id"], None)

    def agent_answers(self) -> None:
        if not self.rung:
            return
        offer = self.chance.choice(list(self.rung))
        entry = self.rung.pop(offer)
        if self.chance.random() < 0.2:
            self.centre.acd.outcome(offer, self.chance.choice(["no_answer", "rejected", "busy"]))
            return
        said = self.centre.acd.answer(offer)
        if not any(action.kind == "too_late" for action in said):
            self.called[offer] = entry
            attempt = "SELECT attempt_id FROM attempt WHERE entry_id = %s"
            self.persons.append(int(self.centre.field.value(attempt, entry)))

    def person(self) -> None:
        if not self.called:
            return
        offer = self.chance.choice(list(self.called))
        entry = self.called.pop(offer)
        if self.chance.random() < 0.4:
            self.centre.acd.acts("acd_dialled", entry, "busy", 486, "[]")
            return
        self.centre.acd.acts("acd_dialled", entry, "reached", 200, "[]")
        self.centre.acd.acts("acd_finish", offer, "agent")

    def host_dies(self) -> None:
        if self.chance.random() < 0.3:
            self.rung, self.called = {}, {}
            self.centre.field.value("SELECT acd_lose_host(%s, 'killed')", HOST)

    def engine_dies(self) -> None:
        self.centre.engine = Engine(clock=lambda: self.centre.now, load=lambda: 0.0)

    def calm(self) -> None:
        """Everything that was begun ends; the campaign stops."""
        self.centre.field.value("SELECT campaign_step(%s, %s, 'stop', 'test')::text", self.tenant, self.sale)
        for _ in range(6):
            self.take()
            for offer in list(self.rung):
                self.rung.pop(offer)
                self.centre.acd.outcome(offer, "rejected")
            while self.called:
                self.person()
            self.centre.look(1)
        for agent in self.agents:
            self.centre.acd.call("acd_login", agent)
            self.centre.acd.call("acd_free", agent)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_and_nobody_is_called_twice(db: Conn, seed: int) -> None:
    chaos = Chaos(db, random.Random(seed))
    for _ in range(STEPS):
        chaos.step()
    chaos.calm()
    field = chaos.centre.field
    assert {chaos.centre.acd.state(agent) for agent in chaos.agents} == {"free"}
    assert not field.rows("SELECT FROM offer WHERE state <> 'ended'")
    assert not field.rows("SELECT FROM queue_entry WHERE state <> 'ended'")
    assert {attempt["state"] for attempt in field.attempts(chaos.sale)} == {"settled"}
    leads = field.leads(chaos.sale)
    assert len(leads) == 8
    assert chaos.persons, "chance has called somebody"
    assert {lead["state"] for lead in leads} <= {"waiting", "done"}
    for lead in leads:
        if lead["result"] == "reached":
            outcomes = "SELECT count(*) FROM attempt WHERE lead_id = %s AND outcome = 'answered'"
            assert field.value(outcomes, lead["lead_id"]) == 1
