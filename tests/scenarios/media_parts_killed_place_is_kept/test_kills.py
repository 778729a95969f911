"""kill -9 of media host, controller, PostgreSQL, proxy, while callers wait and talk: agents are right in 10 s."""

from __future__ import annotations

import pytest

from tests.support.call_centre import Agent, CallCentre, Queue, assert_music
from tests.support.faults import kill, kill_proxy
from tests.support.sip_call import Call

RIGHT_SECONDS = 10.0


def situation(centre: CallCentre) -> tuple[Queue, list[Agent], list[Call], list[Call]]:
    """Two conversations through media hosts, and four callers who wait."""
    agents = [centre.agent(media=True), centre.agent(media=True)]
    sales = centre.queue(agents, anchor="always", wrapup_seconds=0)
    callers = ("100", "101", "102", "103")
    talking = [centre.caller(name, media=True).call(sales.uri) for name in callers[:2]]
    for agent in agents:
        agent.call().wait_answered()
        agent.wait("busy")
    waiting = [centre.caller(name, media=True).call(sales.uri) for name in (*callers[2:], *callers[:2])]
    for number in range(3, 7):
        sales.wait_entry("waiting", number=number)
    return sales, agents, talking, waiting


def host_of(entry: dict[str, object]) -> str:
    return str(entry["holder"]).removeprefix("n1-")


def test_media_host_killed(own_live_centre: CallCentre) -> None:
    centre = own_live_centre
    sales, agents, _, waiting = situation(centre)
    entries = sales.entries
    victim = host_of(entries[2])
    lost = [entry for entry in entries[2:] if host_of(entry) == victim]
    kept = [number for number, entry in enumerate(entries[2:]) if host_of(entry) != victim]
    kill(centre.switch, victim)
    # Whoever waits elsewhere hears music, keeps his place; agents of dead calls are free within the time.
    for number in kept:
        assert_music(centre.switch, waiting[number].media)
    for entry in lost:
        sales.wait_entry("lost", "offered", "talking", number=entries.index(entry) + 1, seconds=RIGHT_SECONDS)
    for agent, entry in zip(agents, entries[:2], strict=True):
        if host_of(entry) == victim:
            centre.switch.wait(
                lambda agent=agent: agent.facts["offer_id"] != sales.offers[0]["offer_id"],
                RIGHT_SECONDS,
                "freed",
            )
    # Who redials has his old place.
    entry = lost[0]
    again = centre.caller(str(entry["caller"])).call(sales.uri, timeout=15)
    back = centre.switch.wait(
        lambda: [
            row for row in sales.entries if row["entry_id"] == entry["entry_id"] and row["state"] != "lost"
        ],
        10,
        "the place is found again",
    )
    assert back[0]["since"] == entry["since"]
    again.hang_up()


@pytest.mark.parametrize("process", ["rtpc-1", "rtpc-2"])
def test_controller_killed(own_live_centre: CallCentre, process: str) -> None:
    centre = own_live_centre
    sales, agents, talking, waiting = situation(centre)
    kill(centre.switch, process)
    for call in waiting:
        assert_music(centre.switch, call.media)
    # The next waiting caller is joined all the same.
    talking[0].hang_up()
    agents[0].call(2).wait_answered(20)
    assert sales.wait_entry("talking", number=3)
    assert {agent.state for agent in agents} == {"busy"}


def test_postgres_killed(own_live_centre: CallCentre) -> None:
    centre = own_live_centre
    sales, agents, talking, waiting = situation(centre)
    pid = kill(centre.switch, "postgres")
    for call in waiting:
        assert_music(centre.switch, call.media)
    centre.switch.instance.wait_back("postgres", pid)
    talking[0].hang_up()
    agents[0].call(2).wait_answered(20)
    centre.switch.wait(
        lambda: {agent.state for agent in agents} == {"busy"}, RIGHT_SECONDS, "agents are right"
    )
    assert [entry["state"] for entry in sales.entries].count("waiting") == 3


def test_proxy_killed(own_live_centre: CallCentre) -> None:
    centre = own_live_centre
    sales, agents, talking, waiting = situation(centre)
    kill_proxy(centre.switch)
    for call in waiting:
        assert_music(centre.switch, call.media)
    talking[0].hang_up()
    agents[0].call(2).wait_answered(20)
    centre.switch.wait(
        lambda: {agent.state for agent in agents} == {"busy"}, RIGHT_SECONDS, "agents are right"
    )
    assert [entry["state"] for entry in sales.entries].count("waiting") == 3
