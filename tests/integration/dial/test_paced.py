"""Campaigns with agents: the engine asks the pacer with what call distribution really says."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from callcore.dial import DialReason
from kalibri.db import Conn
from tests.support.acd_field import Field
from tests.support.dial_field import DialField, Order, PlayedHost
from tools.dial.engine import Engine

LEADS = [f"7495111{number:04}" for number in range(12)]


class Centre:
    """A queue with agents, a progressive campaign, and an engine whose clock the test moves."""

    def __init__(self, conn: Conn, agents: int) -> None:
        self.acd = Field(conn)
        self.acd.host()
        self.queue = self.acd.queue()
        self.agents = [self.acd.agent(f"a{number}", self.queue) for number in range(agents)]
        self.field = DialField(conn, tenant=self.acd.tenant)
        conn.execute(
            "UPDATE node SET heartbeat_at = now() + interval '1 hour',"
            ' data = data || \'{"capacity": 99, "calls": 0}\''
        )
        self.host = PlayedHost(self.field, "here-media-1")
        self.now = time.monotonic()
        self.engine = Engine(clock=lambda: self.now, load=lambda: 0.0)

    def campaign(self, mode: str = "progressive", name: str = "sale") -> int:
        return self.field.campaign(name, mode=mode, leads=LEADS, prompt="", queue_id=self.queue)

    def look(self, times: int = 3) -> None:
        """Look so many times, a second apart."""
        for _ in range(times):
            self.now += 1.0
            self.engine.look(self.field.conn, may_judge=True)
        self.field.check()

    def answer(self, order: Order) -> int:
        """The person answers and comes to the queue; return the offer that an agent gets."""
        self.host.report(order, "answered")
        rows = self.field.rows(
            "SELECT * FROM acd_enter(%s, %s, %s::uuid, %s, true, %s)",
            self.acd.tenant,
            self.queue,
            order.call,
            self.host.name,
            order.number,
        )
        return next((int(row["offer_id"]) for row in rows if row["kind"] == "offer_agent"), 0)

    def reason(self, campaign: int) -> str:
        return str(
            self.field.value(
                "SELECT reason::text FROM campaign_hold WHERE campaign_id = %s ORDER BY since DESC", campaign
            )
        )


@pytest.fixture
def centre(db: Conn) -> Callable[[int], Centre]:
    return lambda agents: Centre(db, agents)


def test_progressive_dials_one_call_for_one_idle_agent(centre: Callable[[int], Centre]) -> None:
    made = centre(3)
    sale = made.campaign()
    made.look()
    assert len(made.field.attempts(sale)) == 3
    made.look()
    assert len(made.field.attempts(sale)) == 3, "the calls that ring are the agents'"
    assert made.reason(sale) == DialReason.AGENTS_BUSY
    first, second, _ = made.host.take()
    made.host.end(first, code=486)
    made.look()
    assert len(made.field.attempts(sale)) == 4, "a call that failed left its agent idle"
    assert made.answer(second), "an agent is there for whoever answers"
    made.look()
    assert len(made.field.attempts(sale)) == 4, "his agent is busy now"


def test_two_campaigns_of_one_queue_share_its_agents(centre: Callable[[int], Centre]) -> None:
    made = centre(3)
    sale, survey = made.campaign(), made.campaign(name="survey")
    made.look(times=6)
    dialled = [len(made.field.attempts(campaign)) for campaign in (sale, survey)]
    assert sum(dialled) == 3, f"one call for each idle agent: {dialled}"
    orders = made.host.take()
    made.host.end(orders[0], code=486)
    made.look(times=2)
    assert sum(len(made.field.attempts(campaign)) for campaign in (sale, survey)) == 4


def test_a_caller_of_the_queue_gets_the_agent_first(centre: Callable[[int], Centre]) -> None:
    made = centre(2)
    sale = made.campaign()
    made.acd.enter(made.queue)
    made.look()
    assert len(made.field.attempts(sale)) == 1


def test_nothing_is_dialled_while_nobody_is_at_work(centre: Callable[[int], Centre]) -> None:
    made = centre(1)
    made.acd.call("acd_logout", made.agents[0])
    sale = made.campaign()
    made.look()
    assert not made.field.attempts(sale)
    assert made.reason(sale) == DialReason.NO_AGENTS
    made.acd.call("acd_login", made.agents[0])
    made.look()
    assert len(made.field.attempts(sale)) == 1


def test_who_was_abandoned_goes_before_all_others(centre: Callable[[int], Centre]) -> None:
    made = centre(1)
    sale = made.campaign()
    made.look()
    (order,) = made.host.take()
    made.host.report(order, "answered")
    made.host.end(order, answered=True, abandoned=True)
    made.look()
    assert made.field.attempts(sale)[0]["outcome"] == "abandoned"
    (lead,) = [lead for lead in made.field.leads(sale) if lead["last_outcome"] == "abandoned"]
    assert (lead["rank"], lead["attempts"], lead["uncharged"]) == (4, 0, 1)


def test_predictive_begins_as_progressive_and_says_so(centre: Callable[[int], Centre]) -> None:
    made = centre(3)
    sale = made.campaign("predictive")
    made.look()
    assert len(made.field.attempts(sale)) == 3
    assert made.reason(sale) == DialReason.WARM_UP


def test_predictive_dials_more_than_idle_agents_once_it_knows_enough(centre: Callable[[int], Centre]) -> None:
    """One answer in four: with one call an agent most agents would wait."""
    made = centre(10)
    sale = made.field.campaign(
        mode="predictive",
        leads=[f"7495{number:07}" for number in range(400)],
        prompt="",
        queue_id=made.queue,
        pacing={"warm_up_answers": 20},
    )
    most = 0
    for turn in range(40):
        made.look(1)
        ringing = [
            attempt for attempt in made.field.attempts(sale) if attempt["state"] in ("ordered", "taken")
        ]
        most = max(most, len(ringing))
        if most > 10:
            break
        for number, order in enumerate(made.host.take()):
            if (turn + number) % 4:
                made.host.end(order, code=480, rang=True)
                continue
            offer = made.answer(order)
            made.acd.answer(offer)
            made.acd.acts("acd_finish", offer, "caller")
            made.host.end(order, answered=True, talked=True)
    assert most > 10, f"never more than {most} calls for 10 idle agents"
    assert not [attempt for attempt in made.field.attempts(sale) if attempt["outcome"] == "abandoned"]
