"""kill -9 of each part while fifty talk and a hundred wait: right within ten seconds, every place and order kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.call_centre import Agent, CallCentre, Queue, assert_music
from tests.support.faults import kill, kill_proxy
from tests.support.sip_call import Call

TALKING, WAITING, BATCH = 50, 100, 10
RIGHT_SECONDS = 10.0
#: The last of a batch; a loaded machine takes its time.
PATIENCE = 60.0
REDIALLED = 5


@dataclass
class House:
    """A queue with everybody in it: calls in the order in which they came."""

    centre: CallCentre
    sales: Queue
    agents: list[Agent]
    calls: list[Call]

    def states(self) -> list[str]:
        """Return the states of all agents, sorted."""
        ids = [agent.agent_id for agent in self.agents]
        rows = self.centre.switch.rows("SELECT state FROM agent_live WHERE agent_id = ANY (%s)", [ids])
        return sorted(str(row["state"]) for row in rows)

    def in_state(self, state: str) -> list[dict[str, Any]]:
        """Return the entries in a state, in the order in which their callers came."""
        return sorted(
            (entry for entry in self.sales.entries if entry["state"] == state),
            key=lambda entry: entry["since"],
        )

    def is_full(self) -> bool:
        """Tell whether every agent talks and everybody else waits."""
        return (
            self.states() == ["busy"] * TALKING
            and len(self.in_state("talking")) == TALKING
            and len(self.in_state("waiting")) == WAITING
        )

    def wait_full(self, seconds: float, what: str) -> None:
        """Wait until that is so."""
        self.centre.switch.wait(self.is_full, seconds, what)


def full_house(centre: CallCentre) -> House:
    """Let fifty talk and a hundred wait; the first who waits has ears."""
    agents = centre.crew(TALKING)
    sales = centre.queue(agents, anchor="always", wrapup_seconds=0, max_size=500)
    names = [f"c{number:03}" for number in range(TALKING + WAITING)]
    for name in names:
        centre.switch.add_account(name)
    centre.switch.save()
    calls: list[Call] = []
    for first in range(0, len(names), BATCH):
        batch = names[first : first + BATCH]
        calls += [centre.caller(name, media=name == names[TALKING]).invite(sales.uri) for name in batch]
        for call in calls[-BATCH:]:
            call.wait_answered(PATIENCE)
    house = House(centre, sales, agents, calls)
    house.wait_full(PATIENCE, "everybody is in")
    return house


def assert_unharmed(house: House, before: list[dict[str, Any]], what: str) -> None:
    """Within the time everything is as before: agents, talks, and who waits in which place since when."""
    house.wait_full(RIGHT_SECONDS, f"agents are right after the death of {what}")
    kept = [(entry["entry_id"], entry["since"]) for entry in house.in_state("waiting")]
    assert kept == [(entry["entry_id"], entry["since"]) for entry in before], what
    assert_music(house.centre.switch, house.calls[TALKING].media)


def test_each_part_dies_in_a_full_house(own_live_centre: CallCentre) -> None:
    house = full_house(own_live_centre)
    switch = house.centre.switch
    before = house.in_state("waiting")
    kill(switch, "rtpc-1")
    assert_unharmed(house, before, "a controller")
    pid = kill(switch, "postgres")
    switch.instance.wait_back("postgres", pid)
    assert_unharmed(house, before, "PostgreSQL")
    kill_proxy(switch)
    assert_unharmed(house, before, "the proxy")
    # The next one is served as if nothing had been; the one behind moves up.
    house.calls[0].hang_up()
    switch.wait(
        lambda: (
            house.in_state("waiting")[0]["entry_id"] == before[1]["entry_id"] and "free" not in house.states()
        ),
        RIGHT_SECONDS,
        "the first who waited is served",
    )
    switch.wait(lambda: house.states() == ["busy"] * TALKING, RIGHT_SECONDS, "he talks")
    assert len(house.in_state("waiting")) == WAITING - 1
    _host_dies(house)


def _host_dies(house: House) -> None:
    """Half of the calls die with their host: their agents serve who waits at the other, in order; no place is lost."""
    switch = house.centre.switch
    waiting = house.in_state("waiting")
    victim = str(waiting[0]["holder"])
    lost = [entry for entry in waiting if entry["holder"] == victim]
    kept = [entry["entry_id"] for entry in waiting if entry["holder"] != victim]
    freed = [entry["entry_id"] for entry in house.in_state("talking") if entry["holder"] == victim]
    assert all((lost, kept, freed)), "both hosts carry some of each"
    kill(switch, victim.removeprefix("n1-"))
    served = min(len(freed), len(kept))

    def right() -> bool:
        talking = {entry["entry_id"] for entry in house.in_state("talking")}
        states = house.states()
        return (
            not talking.intersection(freed)
            and talking.issuperset(kept[:served])
            and states.count("busy") == len(talking)
            and set(states) <= {"busy", "free"}
        )

    switch.wait(right, RIGHT_SECONDS, "no agent is wrong, and who waited elsewhere is served in order")
    # Who redials has his place and his time again.
    for entry in lost[:REDIALLED]:
        caller = next(call for call in house.calls if call.phone.username == entry["caller"])
        again = caller.phone.invite(house.sales.uri)
        again.wait_answered(PATIENCE)
        (row,) = switch.rows("SELECT * FROM queue_entry WHERE entry_id = %s", [entry["entry_id"]])
        assert (row["since"], row["state"] in ("waiting", "offered", "talking")) == (entry["since"], True)
        again.hang_up()
