"""Engine and media host are killed at random statements: no double dial, no lost lead, counts equal attempts.

The engine and the host of a small campaign run in turn. In each run the process that sends the k-th statement dies at
it: before the database has it, or after it is done and before the answer is read. Another life goes on then.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from kalibri import db as database
from kalibri.config import Config
from kalibri.db import Conn, connect
from tests.support.dial_field import DialField, PlayedHost
from tools.dial.engine import Engine

NUMBERS = ["74951110001", "74951110002", "74951110003"]
#: Kills that are tried of each kind; more find nothing else but take long.
POINTS = 20
SENDERS = ("fetch_all", "fetch_one", "fetch_value", "execute")


class Killed(BaseException):
    """The process is dead: nothing of it catches this."""


class Knife:
    """Counts the statements of the services and kills at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.after, self.count, self.fell = 0, False, 0, False
        for name in SENDERS:
            monkeypatch.setattr(database, name, self._around(getattr(database, name)))

    def arm(self, at: int, *, after: bool) -> None:
        """Kill at the at-th statement from now; after: when it is done."""
        self.at, self.after, self.count, self.fell = at, after, 0, False

    def cut(self, send: Callable[[], Any]) -> Any:
        """Send a statement, or die at it."""
        self.count += 1
        hit = self.count == self.at
        if hit and not self.after:
            self.fell = True
            raise Killed
        result = send()
        if hit:
            self.fell = True
            raise Killed
        return result

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **more: self.cut(lambda: function(*args, **more))


@pytest.fixture
def knife(monkeypatch: pytest.MonkeyPatch) -> Knife:
    return Knife(monkeypatch)


class Machines:
    """An engine with a connection of its own, and a host: each can die and is followed by another life."""

    def __init__(self, field: DialField, config: Config, knife: Knife) -> None:
        self._field, self._config, self._knife = field, config, knife
        self._now = time.monotonic()
        self._conn = self._connect()
        self._engine = self._new_engine()
        self._host = field.host()

    def _connect(self) -> Conn:
        return connect(self._config, application_name="engine", statement_timeout_ms=10_000)

    def _new_engine(self) -> Engine:
        return Engine(clock=lambda: self._now, load=lambda: 0.0)

    def turn(self) -> None:
        """Let each work once, a second after the last time; whoever is killed is replaced."""
        self._now += 1.0
        try:
            self._engine.look(self._conn, may_judge=True)
        except Killed:
            self._conn.close()  # as the kernel does for a process that is gone
            self._conn, self._engine = self._connect(), self._new_engine()
        try:
            self._work(self._host)
        except Killed:
            self._host = self._host.restart()
        self._field.check()

    def _work(self, host: PlayedHost) -> None:
        cut = self._knife.cut
        cut(host.beat)
        for order in cut(host.take):
            busy = order.number == NUMBERS[1] and len(self._field.attempts(order.campaign)) < 4
            if busy:
                cut(lambda order=order: host.end(order, code=486))  # type: ignore[misc]
            else:
                cut(lambda order=order: host.report(order, "answered"))  # type: ignore[misc]
                cut(lambda order=order: host.end(order, answered=True, heard_all=True))  # type: ignore[misc]

    def close(self) -> None:
        self._conn.close()


@pytest.fixture
def machines(db: Conn, pg_config: Config, knife: Knife) -> Iterator[tuple[DialField, Machines]]:
    field = DialField(db)
    made = Machines(field, pg_config, knife)
    yield field, made
    made.close()


def run_to_the_end(field: DialField, machines: Machines, campaign: int) -> None:
    """Let everything work until each lead is done; the times between tries pass at once."""
    deadline = time.monotonic() + 60
    while any(lead["state"] != "done" for lead in field.leads(campaign)):
        assert time.monotonic() < deadline, (field.leads(campaign), field.attempts(campaign))
        field.make_due(campaign)
        # What was taken a moment ago and never reached its host is found lost after some seconds.
        field.conn.execute("UPDATE attempt SET taken_at = taken_at - interval '9 s' WHERE state = 'taken'")
        machines.turn()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_statement(machines: tuple[DialField, Machines], knife: Knife, after: bool) -> None:
    field, both = machines
    knife.arm(0, after=after)
    run_to_the_end(field, both, field.campaign("undisturbed", leads=NUMBERS))
    statements = knife.count
    assert statements > 20
    choice = random.Random(statements)
    for at in sorted(choice.sample(range(1, statements + 1), min(POINTS, statements))):
        campaign = field.campaign(f"run{at}", leads=NUMBERS)
        knife.arm(at, after=after)
        run_to_the_end(field, both, campaign)
        field.check()
        attempts = field.attempts(campaign)
        dialled = [order.attempt for order in field.network if order.campaign == campaign]
        # Whoever was reached was dialled until then and never again; each dial beyond one a result was a lost one.
        for lead in field.leads(campaign):
            own = [a for a in attempts if a["lead_id"] == lead["lead_id"]]
            assert [a["outcome"] for a in own].count("answered") == 1
            assert own[-1]["outcome"] == "answered"
        assert set(dialled) <= {attempt["attempt_id"] for attempt in attempts}
        assert {a["attempt_id"] for a in attempts if a["outcome"] in ("answered", "busy")} <= set(dialled)
        assert knife.fell


def test_the_database_forgets_no_dial_that_was_taken(
    machines: tuple[DialField, Machines],
) -> None:
    """A take commits before the host dials, synchronously: that is what at most once rests on."""
    field, _ = machines
    field.campaign(leads=NUMBERS[:1])
    engine = Engine(load=lambda: 0.0)
    while not field.value("SELECT count(*) FROM attempt"):
        engine.look(field.conn, may_judge=True)
    with psycopg.connect(field.conn.info.dsn, password=field.conn.info.password) as conn:
        row = conn.execute(
            "SELECT current_setting('synchronous_commit') FROM dial_take('h', gen_random_uuid(), 1)"
        ).fetchone()
        assert row == ("on",)
