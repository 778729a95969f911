"""What scenarios ask of the world: web servers that misbehave, tables, queues, other people, messages."""

from __future__ import annotations

import pytest

from tests.support.ivr_centre import IvrCentre, WebServer
from tests.support.net_ports import free_port
from tests.support.rtp_peer import known_payload
from tests.support.sip_plan import Plan

ASK = """
nodes:
  ask:
    kind: http
    url: "{url}"
    into: {{value: {{path: value, type: number}}}}
    timeout_seconds: 1
    next: tell
    on_failure: sorry
  tell: {{kind: hangup, say: [p-one, {{digits: "{{value}}"}}]}}
  sorry: {{kind: hangup, say: p-sorry}}
"""


def test_what_a_web_server_says_is_said_and_remembered(centre: IvrCentre, web: WebServer) -> None:
    centre.allow("127.0.0.1", web.port, private=True)
    source = ASK.format(url=f"http://127.0.0.1:{web.port}/json?who={{caller}}")
    uri = centre.scenario(source.replace("timeout_seconds: 1", "timeout_seconds: 20\n    cache_seconds: 60"))
    for _ in range(4):
        call = centre.call(uri)
        centre.hears(call, "p-one", "number-5")
        call.wait_ended()
    # Each of the two media hosts remembers for itself.
    assert {(method, path) for method, path, _, _ in web.asked} == {("GET", "/json?who=100")}
    assert len(web.asked) <= 2


@pytest.mark.parametrize("how", ["slow", "drip", "lies", "large", "error", "dead", "private", "not-listed"])
def test_a_web_server_that_fails_costs_its_time_and_the_branch(
    centre: IvrCentre, web: WebServer, how: str
) -> None:
    centre.allow("127.0.0.1", web.port, private=True)
    centre.allow("localhost", web.port)  # a public name, and it leads to a private address
    secret = f"http://localhost:{web.port}/json"
    urls = {
        "dead": f"http://127.0.0.1:{_dead(centre)}/json",
        "private": f"http://127.0.0.1:{web.port}/to?{secret}",
        "not-listed": f"http://127.0.0.1:{web.port}/to?http://127.0.0.2:{web.port}/json",
    }
    call = centre.call(centre.scenario(ASK.format(url=urls.get(how, f"http://127.0.0.1:{web.port}/{how}"))))
    centre.hears(call, "p-sorry")
    call.wait_ended()
    why = {
        "slow": "no answer in time",
        "drip": "no answer in time",
        "lies": "no JSON",
        "large": "larger than",
        "error": "answered 503",
        "dead": "refused",
        "private": "private address",
        "not-listed": "not in the tenant's allow-list",
    }
    told = [event["data"]["why"] for event in centre.story(call) if event["kind"] == "ivr.failure"]
    assert len(told) == 1
    assert why[how] in told[0]
    assert not any(path.startswith("/json") for _, path, _, _ in web.asked)


def _dead(centre: IvrCentre) -> int:
    port = free_port()
    centre.allow("127.0.0.1", port, private=True)
    return port


def test_a_table_names_whom_to_call_and_the_scenario_goes_on(centre: IvrCentre) -> None:
    eve = centre.centre.agent(media=True)
    centre.table("people", f"number,account\n100,{eve.name}\n101,nobody\n")
    uri = centre.scenario(
        """
nodes:
  find: {kind: lookup, table: people, key: "{caller}", into: {who: account}, next: call, on_failure: sorry}
  call: {kind: transfer, to: "account:{who}", next: again, on_failure: sorry}
  again: {kind: hangup, say: p-bye}
  sorry: {kind: hangup, say: p-sorry}
"""
    )
    call = centre.call(uri)
    other = eve.call().wait_answered()
    said = known_payload(1, 7)
    other.media.play(said)
    call.phone.wait(lambda: any(p.payload in set(said) for p in call.media.received), 20, "he is heard")
    other.hang_up()
    centre.hears(call, "p-bye")
    call.wait_ended()
    eve.phone.plan = Plan.reject(486)
    call = centre.call(uri)
    centre.hears(call, "p-sorry")
    call.wait_ended()
    assert [e["data"]["why"] for e in centre.story(call) if e["kind"] == "ivr.failure"] == [
        "not reached: 486"
    ]
    call = centre.call(uri, username="102")
    centre.hears(call, "p-sorry")
    call.wait_ended()


def test_a_queue_and_then_the_survey(centre: IvrCentre) -> None:
    eve = centre.centre.agent(media=True)
    sales = centre.centre.queue([eve], wrapup_seconds=0)
    uri = centre.scenario(
        f"""
nodes:
  hello: {{kind: play, say: p-hello, next: busy}}
  busy:
    kind: branch
    when: [{{if: {{queue: {sales.name}, free_agents: {{above: 0}}}}, next: wait}}]
    otherwise: sorry
  wait: {{kind: queue, queue: {sales.name}, next: survey, on_failure: sorry}}
  survey: {{kind: menu, say: p-menu, keys: {{5: bye}}, wait_seconds: 30, on_failure: sorry}}
  bye: {{kind: hangup, say: p-bye}}
  sorry: {{kind: hangup, say: p-sorry}}
"""
    )
    call = centre.call(uri)
    centre.hears(call, "p-hello")
    other = eve.call().wait_answered()
    eve.wait("busy")
    other.hang_up()
    centre.hears(call, "p-menu")
    assert sales.wait_entry("ended")["end_reason"] == "served"
    call.media.press("5")
    centre.hears(call, "p-bye")
    call.wait_ended()
    assert centre.path(call) == ["hello", "busy", "wait", "survey", "bye"]
    eve.do("logout", "test")
    call = centre.call(uri)
    centre.hears(call, "p-sorry")
    call.wait_ended()


def test_a_queue_that_is_closed_and_a_callback(centre: IvrCentre) -> None:
    sales = centre.centre.queue([], join_when="logged_in", callback_enabled=True)
    uri = centre.scenario(
        f"""
nodes:
  wait: {{kind: queue, queue: {sales.name}, on_failure: callback}}
  callback: {{kind: callback, queue: {sales.name}, next: bye, on_failure: sorry}}
  bye: {{kind: hangup, say: p-bye}}
  sorry: {{kind: hangup, say: p-sorry}}
"""
    )
    call = centre.call(uri)
    centre.hears(call, "p-bye")
    call.wait_ended()
    kinds = [(entry["kind"], entry["number"]) for entry in sales.entries]
    assert ("callback", "100") in kinds


def test_a_message_is_a_recording(centre: IvrCentre) -> None:
    uri = centre.scenario(
        """
nodes:
  message: {kind: record, say: p-hello, max_seconds: 60, mailbox: sales, next: bye, on_failure: sorry}
  bye: {kind: hangup, say: p-bye}
  sorry: {kind: hangup, say: p-sorry}
"""
    )
    call = centre.call(uri)
    centre.hears(call, "p-hello", "beep")
    call.media.play(known_payload(2, 9))
    call.media.wait_played()
    call.media.press("#")
    centre.hears(call, "p-bye")
    call.wait_ended()
    call_id = centre.switch.cdr(call.call_id)["call_id"]

    def kept() -> list[dict[str, object]]:
        statement = "SELECT * FROM recording WHERE call_id = %s AND state = 'indexed'"
        return centre.switch.rows(statement, [call_id])

    (row,) = centre.switch.wait(kept, 90, "the message is kept")
    assert (row["reason"], row["a_number"], row["b_number"]) == ("message", "100", "sales")
    assert 1000 < row["duration_ms"] < 60_000  # type: ignore[operator]


#: Each node alone is a scenario that begins there.
EVERYWHERE = """
nodes:
  play: {kind: play, say: [p-hello, p-hello, p-hello, p-hello, p-hello, p-hello, p-hello, p-hello], next: bye}
  menu: {kind: menu, say: p-menu, keys: {1: bye}, wait_seconds: 60, on_failure: bye}
  collect: {kind: collect, say: p-menu, into: x, wait_seconds: 60, next: bye, on_failure: bye}
  http: {kind: http, url: "http://127.0.0.1:PORT/slow", into: {x: y}, say: p-one, timeout_seconds: 20, FOLLOWING}
  transfer: {kind: transfer, to: "account:AGENT", on_failure: bye}
  queue: {kind: queue, queue: QUEUE, on_failure: bye}
  record: {kind: record, say: p-one, next: bye, on_failure: bye}
  hangup: {kind: hangup, say: [p-bye, p-bye, p-bye, p-bye, p-bye, p-bye, p-bye, p-bye]}
  bye: {kind: hangup}
"""


@pytest.mark.parametrize("node", ["play", "menu", "collect", "http", "transfer", "queue", "record", "hangup"])
def test_the_caller_hangs_up_in_every_node(centre: IvrCentre, web: WebServer, node: str) -> None:
    eve = centre.centre.agent(login=False)
    eve.phone.register()
    eve.phone.plan = Plan.ring()
    sales = centre.centre.queue([])
    centre.allow("127.0.0.1", web.port, private=True)
    lines = [line for line in EVERYWHERE.splitlines() if line.startswith((f"  {node}:", "  bye:"))]
    if node == "hangup":
        lines = lines[:1]
    source = "\n".join(["nodes:", *lines]).replace("PORT", str(web.port))
    source = source.replace("FOLLOWING", "next: bye, on_failure: bye")
    source = source.replace("AGENT", eve.name).replace("QUEUE", sales.name)
    caller = centre.centre.caller(media=True)
    call = caller.invite(centre.scenario(source))
    if node == "transfer":  # nothing was heard: the caller hears his own ringing
        eve.phone.wait_call(1)
        call.wait_ringing()
        call.cancel()
        assert eve.phone.calls[0].wait_ended().cancelled
    else:
        call.wait_answered()
        sound = {"play": "p-hello", "http": "p-one", "record": "beep", "hangup": "p-bye", "queue": None}
        name = sound.get(node, "p-menu")
        if name is None:
            sales.wait_entry("waiting")
        else:
            centre.hears(call, name)
        call.hang_up()
    call.wait_ended()
    end = next(event["data"] for event in centre.story(call) if event["kind"] == "ivr.end")
    assert (end["node"], end["by"]) == (node, "caller")
    if node == "queue":
        assert sales.wait_entry("ended")["end_reason"] == "abandoned"


def test_the_report_tells_where_callers_leave(centre: IvrCentre) -> None:
    name = "reported"
    uri = centre.scenario(
        """
nodes:
  hello: {kind: play, say: p-hello, next: main}
  main: {kind: menu, say: p-menu, keys: {1: bye}, wait_seconds: 60, on_failure: bye}
  bye: {kind: hangup}
""",
        name,
    )
    first = centre.call(uri)
    centre.hears(first, "p-menu")
    first.hang_up()
    second = centre.call(uri)
    centre.hears(second, "p-menu")
    second.media.press("1")
    second.wait_ended()
    centre.story(first)
    centre.story(second)
    nodes = {row["node"]: row for row in centre.switch.ksctl_json("ivr", "report", name, "-t", "demo")}
    assert {node: (row["calls"], row["hung_up"], row["ended"]) for node, row in nodes.items()} == {
        "hello": (2, 0, 0),
        "main": (2, 1, 0),
        "bye": (1, 0, 1),
    }
    paths = centre.switch.ksctl_json("ivr", "report", name, "-t", "demo", "--paths")
    assert {(row["path"], row["outcome"]) for row in paths} == {
        ("hello > main", "caller hung up"),
        ("hello > main > bye", "hang up"),
    }


@pytest.mark.parametrize("anchor", ["auto", "always"])
def test_a_queue_that_is_empty_leads_to_a_scenario(centre: IvrCentre, anchor: str) -> None:
    name = f"overflow-{anchor}"
    centre.store("nodes: {sorry: {kind: hangup, say: [p-sorry, p-bye]}}", name)
    overflow = {"empty": {"kind": "ivr", "value": name, "announcement": ""}}
    sales = centre.centre.queue([], join_when="logged_in", overflow=overflow, anchor=anchor)
    call = centre.call(sales.uri)
    centre.hears(call, "p-sorry", "p-bye")
    call.wait_ended()
    assert sales.entries[0]["end_reason"] == "empty"
