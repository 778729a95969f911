"""A thousand entries wait in a queue: callers with music and callbacks; order holds, lists are quick, none is lost."""

from __future__ import annotations

from rtpproxy_ctl.ask import ask_counters
from tests.support.call_centre import Agent, CallCentre, Queue, assert_music
from tests.support.sip_call import Call
from tests.support.sip_plan import Plan
from tests.support.switch import Switch
from tools.instance.processes import rtp_control

CALLERS, CALLBACKS, BATCH = 150, 850, 10
SERVED = 4


def callers_wait(centre: CallCentre, queue: Queue) -> list[Call]:
    """Let callers arrive in batches, the first one with ears."""
    calls = [centre.caller("100", media=True).call(queue.uri, timeout=20)]
    phone = centre.caller("101")
    for first in range(1, CALLERS, BATCH):
        batch = [phone.invite(queue.uri) for _ in range(first, min(first + BATCH, CALLERS))]
        calls += [call.wait_answered(30) for call in batch]
    return calls


def count(queue: Queue, where: str) -> int:
    """Return how many entries of the queue fulfil a condition."""
    statement = f"SELECT count(*) AS found FROM queue_entry WHERE queue_id = %s AND {where}"
    return int(queue.centre.switch.rows(statement, [queue.queue_id])[0]["found"])


def sessions(switch: Switch) -> int:
    """Return how many sessions the relays hold."""
    names = ["nsess_created", "nsess_destroyed"]
    told = [ask_counters(rtp_control(switch.config, number), names, 5) for number in (1, 2)]
    return sum(int(one["nsess_created"]) - int(one["nsess_destroyed"]) for one in told)


def served_by(agent: Agent) -> list[str]:
    """Let the agent serve some callers, and pause; return the Call-IDs of the story in that order."""
    agent.phone.plan = Plan.answer(bye_after=0.2)
    agent.phone.register()
    agent.do("login", "test")
    agent.centre.switch.wait(lambda: len(agent.phone.calls) >= SERVED, 60, f"{SERVED} calls")
    agent.phone.plan = Plan.reject(486)
    agent.do("logout", "test")
    statement = "SELECT entry_id FROM offer WHERE agent_id = %s AND answered_at IS NOT NULL ORDER BY offer_id"
    rows = agent.centre.switch.rows(statement, [agent.agent_id])
    return [str(row["entry_id"]) for row in rows]


def test_a_thousand_entries_keep_their_order(live_centre: CallCentre) -> None:
    centre, switch = live_centre, live_centre.switch
    eve = centre.agent(login=False)
    sales = centre.queue([eve], wrapup_seconds=0, callback_enabled=True, max_size=2000)
    before = sessions(switch)
    calls = callers_wait(centre, sales)
    switch.wait(lambda: count(sales, "state = 'waiting'") == CALLERS, 60, "all callers wait")
    switch.rows(
        "SELECT acd_callback_add(%s, %s, (79000000000 + n)::text) FROM generate_series(1, %s) n",
        [switch.tenant_id, sales.queue_id, CALLBACKS],
    )
    waiting = switch.ksctl_json("queue", "waiting", sales.name, "-t", "demo")
    assert [row["position"] for row in waiting] == list(range(1, CALLERS + CALLBACKS + 1))
    assert [row["entry_id"] for row in waiting] == sorted(row["entry_id"] for row in waiting)
    assert_music(switch, calls[0].media)
    # The one in the middle is given priority: he is next, the others keep their order.
    middle = waiting[len(calls) // 2]["entry_id"]
    centre.command("priority", middle, 9)
    expected = [middle, *(row["entry_id"] for row in waiting if row["entry_id"] != middle)]
    assert served_by(eve)[:SERVED] == [str(entry) for entry in expected[:SERVED]]
    # Everybody leaves: callers hang up, callbacks are cancelled.
    for call in calls:
        if call.state == "answered":
            call.hang_up()
    switch.rows(
        "SELECT acd_eject(%s, entry_id, NULL, NULL, 'boss') FROM queue_entry WHERE queue_id = %s AND kind = 'callback'",
        [switch.tenant_id, sales.queue_id],
    )
    switch.wait(lambda: count(sales, "state <> 'ended'") == 0, 60, "no entry is left")
    assert count(sales, "true") == CALLERS + CALLBACKS
    assert count(sales, "end_reason = 'served'") >= SERVED
    switch.wait(lambda: sessions(switch) <= before, 30, "no session is left")
