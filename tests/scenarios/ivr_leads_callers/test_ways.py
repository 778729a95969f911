"""Ways that depend on the world: regions, queues, servers that lie, numbers and queues that are called."""

from __future__ import annotations

import json

import pytest

from tests.support.ivr_centre import IvrCentre, WebServer
from tests.support.rtp_peer import known_payload
from tests.support.sip_call import Call
from tests.support.sip_plan import Plan

ENDS = """
  one: {kind: hangup, say: p-one}
  bad: {kind: hangup, say: p-bad}
  bye: {kind: hangup, say: p-bye}
  sorry: {kind: hangup, say: p-sorry}
"""


def talk(caller: Call, other: Call) -> None:
    """Wait until the other has heard what the caller says."""
    said = known_payload(1, 7)
    caller.media.play(said, repeat=True)
    other.phone.wait(lambda: any(p.payload in set(said) for p in other.media.received), 30, "he is heard")
    caller.media.stop()


def whys(centre: IvrCentre, call: Call) -> list[str]:
    """Return why failure branches were taken."""
    return [event["data"]["why"] for event in centre.story(call) if event["kind"] == "ivr.failure"]


@pytest.fixture
def tver(centre: IvrCentre) -> None:
    """One range of numbers is known."""
    switch = centre.switch
    if switch.rows("SELECT FROM number_range_set WHERE current"):
        return
    (made,) = [switch.insert("number_range_set", source="scenario", range_count=1)]
    switch.insert(
        "number_range",
        set_id=made["set_id"],
        first=74822000000,
        last=74822999999,
        operator="Rostelecom",
        region="Tver",
    )
    current = "UPDATE number_range_set SET current = true WHERE set_id = %s RETURNING set_id"
    switch.rows(current, [made["set_id"]])


@pytest.mark.parametrize(
    ("number", "name", "heard"),
    [
        ("84822333444", "100", "p-one"),
        ("84722333444", "101", "p-bad"),
        ("84722333444", "100", "p-bye"),
    ],
    ids=["region", "caller", "queue"],
)
def test_a_branch_knows_regions_callers_and_queues(
    centre: IvrCentre, tver: None, number: str, name: str, heard: str
) -> None:
    sales = centre.centre.queue([])
    call = centre.call(
        centre.scenario(
            f"""
nodes:
  set: {{kind: set, values: {{number: "{number}"}}, next: which}}
  which:
    kind: branch
    when:
      - {{if: {{region: Tver, of: "{{number}}"}}, next: one}}
      - {{if: {{caller: "101"}}, next: bad}}
      - {{if: {{queue: {sales.name}, free_agents: {{above: 0}}}}, next: sorry}}
      - {{if: {{queue: {sales.name}, waiting: {{above: 0}}}}, next: sorry}}
      - {{if: {{all: [{{queue: {sales.name}, logged_in_agents: {{equals: 0}}}}, {{hours: "mon-sun 00:00-24:00"}},
                    {{variable: number, starts_with: "84722"}}]}}, next: bye}}
    otherwise: sorry
{ENDS}"""
        ),
        username=name,
    )
    centre.hears(call, heard)
    call.wait_ended()


def test_a_branch_knows_who_waits_in_a_queue(centre: IvrCentre) -> None:
    sales = centre.centre.queue([])
    waits = centre.centre.caller("101", media=True).call(sales.uri)
    sales.wait_entry("waiting")
    call = centre.call(
        centre.scenario(
            f"""
nodes:
  which:
    kind: branch
    when: [{{if: {{queue: {sales.name}, waiting: {{above: 0}}}}, next: one}}]
    otherwise: sorry
  one: {{kind: hangup, say: p-one}}
  sorry: {{kind: hangup, say: p-sorry}}
"""
        )
    )
    centre.hears(call, "p-one")
    call.wait_ended()
    waits.hang_up()


EXPECTED = """
nodes:
  which:
    kind: branch
    when:
      - {if: {queue: QUEUE, logged_in_agents: {equals: 0}}, next: nobody}
      - {if: {queue: QUEUE, free_agents: {above: 0}}, next: free}
      - {if: {queue: QUEUE, wait_seconds: {below: 60}}, next: soon}
      - {if: {all: [{queue: QUEUE, waiting: {above: 0}}, {queue: QUEUE, wait_seconds: {above: 300}}]}, next: long}
      - {if: {queue: QUEUE, wait_seconds: {above: 100}}, next: minutes}
    otherwise: unknown
  nobody: {kind: hangup, say: p-hello}
  free: {kind: hangup, say: p-one}
  soon: {kind: hangup, say: p-bye}
  minutes: {kind: hangup, say: p-menu}
  long: {kind: hangup, say: p-bad}
  unknown: {kind: hangup, say: p-sorry}
"""


def test_a_branch_follows_how_long_a_queue_lets_wait(centre: IvrCentre) -> None:
    """Nobody has served the queue yet: three minutes a call are expected; then what calls really took."""
    sales = centre.centre.queue([], wrapup_seconds=0)
    uri = centre.scenario(EXPECTED.replace("QUEUE", sales.name))

    def leads_to(prompt: str, node: str) -> None:
        call = centre.call(uri, username="102")
        centre.hears(call, prompt)
        call.wait_ended()
        assert centre.path(call) == ["which", node]

    leads_to("p-hello", "nobody")
    eve = centre.centre.agent(media=True)
    sales.add(eve)
    leads_to("p-one", "free")
    eve.do("acd_pause", "lunch", "test")
    leads_to("p-sorry", "unknown")  # nobody works: no wait can be expected
    eve.do("acd_resume", "test")
    eve.wait("free")
    first = centre.centre.caller("100", media=True).call(sales.uri)
    talk = eve.call().wait_answered()
    eve.wait("busy")
    leads_to("p-menu", "minutes")  # he would be the next: 180 s
    second = centre.centre.caller("101", media=True).call(sales.uri)
    sales.wait_entry("waiting", number=2)
    leads_to("p-bad", "long")  # behind one who waits: 360 s
    first.hang_up()
    talk.wait_ended()
    eve.call(2).wait_answered()
    eve.wait("busy")
    leads_to("p-bye", "soon")  # the first conversation was short
    second.hang_up()


ASK = """
nodes:
  ask:
    kind: http
    url: "http://127.0.0.1:PORT/WHAT"
    method: POST
    headers: {X-Key: "k {caller}"}
    body: {who: "{caller}", what: 'a "quoted" word'}
    into: {value: {path: value, type: number}}
    timeout_seconds: 20
    retries: 2
    next: tell
    on_failure: sorry
  tell: {kind: hangup, say: [p-one, {digits: "{value}"}]}
  sorry: {kind: hangup, say: p-sorry}
"""


def test_a_server_is_told_json_and_asked_again(centre: IvrCentre, web: WebServer) -> None:
    centre.allow("127.0.0.1", web.port, private=True)
    web.failing = 2
    call = centre.call(centre.scenario(ASK.replace("PORT", str(web.port)).replace("WHAT", "json")))
    centre.hears(call, "p-one", "number-5")
    call.wait_ended()
    assert len(web.asked) == 3
    for method, path, headers, body in web.asked:
        assert (method, path, headers["X-Key"]) == ("POST", "/json", "k 100")
        assert json.loads(body) == {"who": "100", "what": 'a "quoted" word'}


@pytest.mark.parametrize(
    ("what", "data", "why"),
    [
        ("json", {"value": "much"}, '"value" of the answer is no number'),
        ("json", {"value": {"value": 5}}, 'the answer has no "value"'),
        ("json", ["value"], 'the answer has no "value"'),
        ("short", {"value": 5}, ""),
        ("nonsense", {"value": 5}, ""),
    ],
    ids=["type", "object", "list", "shorter than it says", "no HTTP"],
)
def test_a_server_that_lies_takes_the_failure_branch(
    centre: IvrCentre, web: WebServer, what: str, data: object, why: str
) -> None:
    centre.allow("127.0.0.1", web.port, private=True)
    web.data = data
    call = centre.call(centre.scenario(ASK.replace("PORT", str(web.port)).replace("WHAT", what)))
    centre.hears(call, "p-sorry", seconds=60)
    call.wait_ended()
    (told,) = whys(centre, call)
    assert why in told


def test_a_server_cannot_have_anybody_called(centre: IvrCentre, web: WebServer) -> None:
    """What it gives is a number, or nobody is called: no account, no other tenant, no other host."""
    eve = centre.centre.agent(login=False)
    eve.phone.register()
    centre.allow("127.0.0.1", web.port, private=True)
    uri = centre.scenario(
        ASK.replace("PORT", str(web.port))
        .replace("WHAT", "json")
        .replace(", type: number", "")
        .replace("tell: {kind: hangup, say: [p-one, {digits: ", "tell: {kind: transfer, to: ")
        .replace('"{value}"}]}', '"number:{value}", on_failure: sorry}')
    )
    for made_up in (f"account:{eve.name}", f"account;tenant=1:{eve.name}", f"{eve.name}@demo.test;x=y"):
        web.data = {"value": made_up}
        call = centre.call(uri)
        centre.hears(call, "p-sorry")
        call.wait_ended()
        assert ["cannot be called" in why for why in whys(centre, call)] == [True]
    assert eve.phone.calls == []


def test_a_number_is_called_by_the_routes_and_what_fails_comes_back(centre: IvrCentre) -> None:
    eve = centre.centre.agent(login=False, media=True)
    eve.phone.register()
    number = centre.number(f"account:{eve.name}").removeprefix("sip:").partition("@")[0]
    uri = centre.scenario(
        """
nodes:
  ask: {kind: collect, say: p-menu, into: to, max_digits: 12, wait_seconds: 60, next: call, on_failure: sorry}
  call: {kind: transfer, to: "number:{to}", caller_id: "74957770000", next: bye, on_failure: sorry}
  bye: {kind: hangup, say: p-bye}
  sorry: {kind: hangup, say: p-sorry}
"""
    )

    def asks(digits: str) -> Call:
        call = centre.call(uri)
        centre.hears(call, "p-menu")
        for key in f"{digits}#":
            call.media.press(key)
        return call

    call = asks(number)
    other = eve.phone.wait_call(1).wait_answered()
    assert other.invite.from_addr.uri.user == "74957770000"
    talk(call, other)
    other.hang_up()
    centre.hears(call, "p-bye")
    call.wait_ended()
    call = asks("000000")
    centre.hears(call, "p-sorry")
    call.wait_ended()
    assert whys(centre, call) == ["not reached: 404"]


def test_ringing_ends_and_a_queue_is_called(centre: IvrCentre) -> None:
    eve, adam = centre.centre.agent(login=False), centre.centre.agent(media=True)
    eve.phone.register()
    eve.phone.plan = Plan.ring()
    sales = centre.centre.queue([adam], wrapup_seconds=0)
    call = centre.call(
        centre.scenario(
            f"""
nodes:
  hello: {{kind: play, say: p-hello, next: call}}
  call: {{kind: transfer, to: "account:{eve.name}", ring_seconds: 1, on_failure: next}}
  next: {{kind: transfer, to: "queue:{sales.name}", next: bye, on_failure: sorry}}
  bye: {{kind: hangup, say: p-bye}}
  sorry: {{kind: hangup, say: p-sorry}}
"""
        )
    )
    assert eve.phone.wait_call(1).wait_ended().cancelled
    other = adam.call().wait_answered()
    talk(call, other)
    other.hang_up()
    centre.hears(call, "p-bye")
    call.wait_ended()
    assert centre.path(call) == ["hello", "call", "next", "bye"]
    assert whys(centre, call) == ["no answer"]


def test_the_caller_hangs_up_while_he_talks(centre: IvrCentre) -> None:
    eve = centre.centre.agent(login=False, media=True)
    eve.phone.register()
    call = centre.call(
        centre.scenario(
            f"""
nodes:
  call: {{kind: transfer, to: "account:{eve.name}", next: bye, on_failure: bye}}
  bye: {{kind: hangup, say: p-bye}}
"""
        )
    )
    other = eve.phone.wait_call(1).wait_answered()
    talk(call, other)
    call.hang_up()
    other.wait_ended()
    end = next(event["data"] for event in centre.story(call) if event["kind"] == "ivr.end")
    assert (end["node"], end["by"]) == ("call", "caller")


@pytest.mark.parametrize("where", ["sub", "confirm"])
def test_the_caller_hangs_up_further_in(centre: IvrCentre, where: str) -> None:
    centre.store(
        "nodes: {inner: {kind: menu, say: p-one, keys: {1: back}, wait_seconds: 60, on_failure: back},"
        " back: {kind: return}}",
        "inner",
    )
    node = {
        "sub": "{kind: scenario, scenario: inner, next: bye, on_failure: bye}",
        "confirm": "{kind: collect, say: p-menu, into: x, max_digits: 1, confirm: {say: p-one}, next: bye,"
        " on_failure: bye}",
    }[where]
    call = centre.call(centre.scenario(f"nodes:\n  {where}: {node}\n  bye: {{kind: hangup}}\n"))
    if where == "confirm":
        centre.hears(call, "p-menu")
        call.media.press("5")
    centre.hears(call, "p-one")
    call.hang_up()
    call.wait_ended()
    end = next(event["data"] for event in centre.story(call) if event["kind"] == "ivr.end")
    found = ("inner", "inner") if where == "sub" else ("confirm", end["scenario"])
    assert (end["node"], end["scenario"], end["by"]) == (*found, "caller")


def test_scenarios_that_lead_into_each_other_end(centre: IvrCentre) -> None:
    name = "deeper"
    source = f"""
nodes:
  press: {{kind: menu, say: p-menu, keys: {{1: down}}, wait_seconds: 60, on_failure: sorry}}
  down: {{kind: scenario, scenario: {name}, next: bye, on_failure: sorry}}
  bye: {{kind: hangup, say: p-bye}}
  sorry: {{kind: hangup, say: p-sorry}}
"""
    centre.store("nodes: {bye: {kind: hangup}}", name)  # what leads to it must find it
    uri = centre.scenario(source, name)
    call = centre.call(uri)
    for _ in range(6):
        centre.hears(call, "p-menu")
        call.media.press("1")
    centre.hears(call, "p-sorry")
    call.wait_ended()
    assert whys(centre, call) == ["scenarios are nested too deep"]
