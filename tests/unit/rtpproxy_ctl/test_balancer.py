"""Which node gets a session: by load, weight, health, drain, place and capability; the same each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from rtpproxy_ctl.balancer import ALIVE, Health, NodeFacts, may_take, rank

FACTS = st.builds(
    NodeFacts,
    name=st.sampled_from("abcdefgh"),
    host=st.sampled_from(["n1", "n2"]),
    health=st.sampled_from(Health),
    enabled=st.booleans(),
    draining=st.booleans(),
    weight=st.integers(0, 1000),
    capacity=st.integers(1, 500),
    sessions=st.integers(0, 600),
    packets_per_second=st.floats(0, 100_000),
    discarded=st.floats(0, 1),
    capabilities=st.frozensets(st.sampled_from(["record", "notify"])),
)
NODES = st.lists(FACTS, max_size=8, unique_by=lambda node: node.name)
NEEDS = st.frozensets(st.sampled_from(["record", "notify"]), max_size=1)


def node(name: str, **facts: object) -> NodeFacts:
    return replace(NodeFacts(name=name, host="n1", health=Health.UP), **facts)  # type: ignore[arg-type]


@given(NODES, NEEDS)
def test_never_a_node_that_is_dead_draining_off_or_unable(
    nodes: list[NodeFacts], needs: frozenset[str]
) -> None:
    for chosen in rank(nodes, host="n1", needs=needs):
        assert chosen.health in ALIVE
        assert chosen.enabled
        assert not chosen.draining
        assert chosen.weight > 0
        assert needs <= chosen.capabilities


@given(NODES)
def test_never_a_full_or_doubtful_node_while_a_good_one_has_room(nodes: list[NodeFacts]) -> None:
    order = rank(nodes, host="n1")
    good = [each for each in nodes if may_take(each) and each.has_room and each.health is Health.UP]
    if good:
        assert order[0] in good
    if any(may_take(each) and each.has_room for each in nodes):
        assert order[0].has_room
    assert bool(order) == any(may_take(each) for each in nodes)


@given(NODES, st.randoms())
def test_the_same_facts_give_the_same_order(nodes: list[NodeFacts], random: object) -> None:
    shuffled = list(nodes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rank(shuffled, host="n1") == rank(nodes, host="n1")


@given(NODES)
def test_a_node_of_the_same_host_comes_first(nodes: list[NodeFacts]) -> None:
    order = rank(nodes, host="n1")
    near = [each for each in order if each.host == "n1" and each.has_room and each.health is Health.UP]
    if near:
        assert order[0].host == "n1"


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
def test_ten_thousand_sessions_spread_by_weight(weights: list[int]) -> None:
    nodes = {
        f"n{index}": node(f"n{index}", weight=weight, capacity=20_000) for index, weight in enumerate(weights)
    }
    given_to: Counter[str] = Counter()
    for _ in range(10_000):
        chosen = rank(nodes.values(), host="n1")[0]
        given_to[chosen.name] += 1
        nodes[chosen.name] = replace(chosen, sessions=chosen.sessions + 1)
    for name, facts in nodes.items():
        fair = 10_000 * facts.weight / sum(weights)
        assert abs(given_to[name] - fair) <= max(0.1 * fair, 1), (name, given_to[name], fair)


def test_capacity_packets_and_discards_count() -> None:
    small, large = node("small", capacity=10, sessions=4), node("large", capacity=100, sessions=5)
    assert [each.name for each in rank([small, large])] == ["large", "small"]
    busy = replace(large, packets_per_second=9000.0)
    assert rank([small, busy])[0].name == "small"
    losing = replace(large, discarded=0.05)
    assert rank([small, losing])[0].name == "small"


def test_full_nodes_serve_only_when_nobody_has_room() -> None:
    full, doubtful = node("full", capacity=1, sessions=1), node("doubtful", health=Health.PROBATION)
    assert [each.name for each in rank([full, doubtful])] == ["doubtful", "full"]
    assert rank([full], exclude=frozenset({"full"})) == []
