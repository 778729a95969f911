"""Attempts on a real database: leases, the last look before the dial, reports that are repeated or come late."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from callcore.attempt import AttemptState, Outcome
from callcore.dial import DialReason
from kalibri.services import dial
from tests.support.dial_field import DialField
from tools.dial.engine import Engine

ONE, TWO = "74951110001", "74951110002"


@pytest.fixture
def engine() -> Engine:
    return Engine(load=lambda: 0.0)


def look(engine: Engine, field: DialField, *, times: int = 1) -> None:
    for _ in range(times):
        engine.look(field.conn, may_judge=True)
    field.check()


def wait_ordered(engine: Engine, field: DialField, campaign: int, number: int = 1) -> None:
    """Look until so many attempts have been ordered."""
    deadline = time.monotonic() + 30
    while len(field.attempts(campaign)) < number:
        assert time.monotonic() < deadline, field.leads(campaign)
        look(engine, field)


def settle(engine: Engine, field: DialField, campaign: int) -> None:
    """Look until nothing is left that has ended and is not settled."""
    look(engine, field)
    assert all(attempt["state"] != AttemptState.ENDED for attempt in field.attempts(campaign))


def test_a_lead_is_dialled_and_done(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE], keys={"9": {"action": "opt_out"}})
    host = field.host()
    look(engine, field)
    (order,) = host.take()
    assert (order.number, order.data["audio"], order.data["keys"]["9"]["action"]) == (ONE, "sale", "opt_out")
    host.answered(order)
    settle(engine, field, sale)
    (attempt,) = field.attempts(sale)
    assert (attempt["state"], attempt["outcome"]) == ("settled", "answered")
    (lead,) = field.leads(sale)
    assert (lead["state"], lead["result"], lead["attempts"]) == ("done", "reached", 1)


def test_a_campaign_without_leads_left_is_finished(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE])
    host = field.host()
    look(engine, field)
    host.answered(host.take()[0])
    deadline = time.monotonic() + 30
    while field.value("SELECT state::text FROM campaign WHERE campaign_id = %s", sale) != "finished":
        assert time.monotonic() < deadline
        look(engine, field)


def test_a_busy_lead_waits_and_is_dialled_again(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE])
    host = field.host()
    look(engine, field)
    host.end(host.take()[0], code=486)
    settle(engine, field, sale)
    (lead,) = field.leads(sale)
    assert (lead["state"], lead["attempts"], lead["last_outcome"]) == ("waiting", 1, "busy")
    assert lead["due_at"] > datetime.now(UTC)
    field.make_due(sale)
    wait_ordered(engine, field, sale, 2)
    assert [order.number for order in host.take()] == [ONE]


def test_our_own_failure_is_not_charged(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE])
    host = field.host()
    look(engine, field)
    host.end(host.take()[0], code=404, ours=True)
    settle(engine, field, sale)
    (lead,) = field.leads(sale)
    assert (lead["state"], lead["attempts"], lead["uncharged"]) == ("waiting", 0, 1)


def test_two_hosts_never_take_the_same_order(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[f"7495111{number:04}" for number in range(40)])
    first, second = field.host(), field.host("there-media-1")
    wait_ordered(engine, field, sale, 40)
    while first.take(3) or second.take(3):
        pass
    field.check()
    assert len(field.network) == 40


def test_a_number_listed_after_the_order_is_not_dialled(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE, TWO])
    wait_ordered(engine, field, sale, 2)
    field.value("SELECT do_not_call_add(%s, NULL, %s, 'test')", field.tenant, ONE)
    assert [order.number for order in field.host().take()] == [TWO]
    settle(engine, field, sale)
    assert field.attempts(sale)[0]["outcome"] == Outcome.REFUSED


def test_an_opt_out_counts_at_once_and_once(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE])
    other = field.campaign("other", leads=[ONE, TWO], run=False)
    host = field.host()
    look(engine, field)
    (order,) = host.take()
    host.report(order, "answered")
    for _ in range(2):  # told again: the answer of the first was lost
        host.report(order, "chosen", choice="opt_out", key="9")
    assert (
        field.value("SELECT do_not_call_scope(%s, %s, %s, now())::text", field.tenant, other, ONE) == "tenant"
    )
    host.end(order, answered=True, choice="opt_out")
    field.value("SELECT campaign_step(%s, %s, 'start', 'test')::text", field.tenant, other)
    wait_ordered(engine, field, other)
    assert [found.number for found in host.take()] == [TWO]
    assert field.leads(sale)[0]["result"] == "do_not_call"


def test_a_stopped_campaign_takes_its_orders_back(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE, TWO])
    host = field.host()
    wait_ordered(engine, field, sale, 2)
    assert host.take(1)
    field.value("SELECT campaign_step(%s, %s, 'stop', 'test')::text", field.tenant, sale)
    assert host.take() == []
    settle(engine, field, sale)
    assert [attempt["outcome"] for attempt in field.attempts(sale)] == [None, "refused"]
    assert field.leads(sale)[1]["state"] == "waiting"


def test_an_order_that_nobody_takes_is_withdrawn(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE])
    look(engine, field)
    field.conn.execute("UPDATE attempt SET expires_at = clock_timestamp()")
    assert field.host().take() == []
    settle(engine, field, sale)
    assert field.attempts(sale)[0]["outcome"] == "untaken"


def test_what_a_silent_host_held_is_lost_only_when_silence_means_something(
    engine: Engine, field: DialField
) -> None:
    sale = field.campaign(leads=[ONE])
    host = field.host()
    look(engine, field)
    host.take()
    field.conn.execute("UPDATE attempt SET lease_until = clock_timestamp()")
    assert dial.expire(field.conn, leases=False) == 0
    assert dial.expire(field.conn, leases=True) == 1
    settle(engine, field, sale)
    assert field.attempts(sale)[0]["outcome"] == "lost"
    assert field.leads(sale)[0]["state"] == "waiting"


def test_a_heartbeat_renews_leases_and_a_new_life_has_lost_what_the_old_one_held(
    engine: Engine, field: DialField
) -> None:
    sale = field.campaign(leads=[ONE, TWO])
    host = field.host()
    wait_ordered(engine, field, sale, 2)
    host.take()
    field.conn.execute("UPDATE attempt SET lease_until = clock_timestamp() + interval '1 s'")
    assert host.beat() == 0
    assert field.value("SELECT min(lease_until) > clock_timestamp() + interval '20 s' FROM attempt")
    assert host.restart().beat() == 2
    settle(engine, field, sale)
    assert {attempt["outcome"] for attempt in field.attempts(sale)} == {"lost"}


def test_an_order_whose_answer_the_host_never_read_is_lost(engine: Engine, field: DialField) -> None:
    field.campaign(leads=[ONE])
    host = field.host()
    look(engine, field)
    host.take()
    host.held.clear()
    assert host.beat() == 0, "taken a moment ago: the answer may be on its way"
    field.conn.execute("UPDATE attempt SET taken_at = taken_at - interval '9 s'")
    assert host.beat() == 1


def test_an_end_told_late_changes_no_lead(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE])
    host = field.host()
    look(engine, field)
    (order,) = host.take()
    host.restart().beat()
    settle(engine, field, sale)
    before = field.leads(sale)
    host.end(order, code=486)
    settle(engine, field, sale)
    assert field.leads(sale) == before
    (attempt,) = field.attempts(sale)
    assert (attempt["outcome"], attempt["facts"]["code"]) == ("lost", 486)


def test_lines_and_shares_hold(engine: Engine, field: DialField) -> None:
    one = field.campaign("one", leads=[f"7495111{n:04}" for n in range(30)], lines=4)
    two = field.campaign("two", leads=[f"7495222{n:04}" for n in range(30)], lines=30)
    wait_ordered(engine, field, one, 4)
    wait_ordered(engine, field, two, 30)
    look(engine, field, times=3)
    assert len(field.attempts(one)) == 4


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"hours": "mon-sun 00:00-24:00", "unknown_zones": []}, DialReason.NO_ZONE),
        ({"lines": 1}, DialReason.LINES),
        ({"load_limit": 1.0, "load_resume": 0.5}, DialReason.LOAD_AVERAGE),
    ],
)
def test_what_binds_is_written_down(field: DialField, columns: dict[str, object], reason: DialReason) -> None:
    engine = Engine(load=lambda: 2.0 if "load_limit" in columns else 0.0)
    sale = field.campaign(leads=[ONE, TWO], **columns)
    deadline = time.monotonic() + 30
    while (
        field.value("SELECT reason::text FROM campaign_hold WHERE campaign_id = %s ORDER BY since DESC", sale)
        != reason
    ):
        assert time.monotonic() < deadline
        look(engine, field)


def test_no_host_is_named(engine: Engine, field: DialField) -> None:
    sale = field.campaign(leads=[ONE])
    field.conn.execute("UPDATE node SET heartbeat_at = now() - interval '1 min'")
    look(engine, field)
    assert not field.attempts(sale)
    assert field.value("SELECT reason::text FROM campaign_hold WHERE campaign_id = %s", sale) == "no_host"


def test_a_loaded_machine_pauses_a_campaign_until_it_is_well_below_the_limit(field: DialField) -> None:
    load = 2.0
    now = time.monotonic()
    engine = Engine(clock=lambda: now, load=lambda: load)
    careful = field.campaign("careful", leads=[ONE, TWO], load_limit=1.0, load_resume=0.5)
    other = field.campaign("other", leads=["74951110003"])

    def look_on() -> None:
        nonlocal now
        for _ in range(5):
            now += 1.0
            look(engine, field)

    look_on()
    assert not field.attempts(careful)
    assert field.attempts(other), "only who has a limit waits"
    load = 0.8
    look_on()
    assert not field.attempts(careful), "below the limit is not enough"
    load = 0.4
    look_on()
    assert len(field.attempts(careful)) == 2
