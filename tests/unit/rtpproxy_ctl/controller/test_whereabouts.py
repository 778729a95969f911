"""What nodes are told of where a side is: always something, nothing twice to who was not heard, and again who moved."""

from __future__ import annotations

from rtpproxy_ctl.controller.ids import handle, tag_handle
from rtpproxy_ctl.controller.moves import GIVE_UP_SECONDS, LOOK_SECONDS
from tests.support.fake_nodes import FakeNode
from tests.unit.rtpproxy_ctl.controller.test_engine import HOSTED, KEY, Bench

OFFER, ANSWER = f"U {KEY} 10.0.0.1 4000 F;1", f"L {KEY} 10.0.0.2 4002 F;1 T;1"
MOVE = f"U {KEY} 10.0.0.3 4004 T;1 F;1"
QUESTION = f"Qv {handle(KEY)} {tag_handle('T;1')} {tag_handle('F;1')} npkts_ina"


def tellings(node: FakeNode) -> list[str]:
    """Return the addresses and ports that a node was told by U and L."""
    return [" ".join(line.split()[2:4]) for line in node.log if line[0] in "UL"]


def the_node(bench: Bench) -> FakeNode:
    (node,) = bench.nodes.values()
    return node


def asked(*lines: str, packets: int = 0) -> Bench:
    """Return a bench with one node that has got so many packets from everybody, after these commands."""
    bench = Bench(1)
    the_node(bench).packets = packets
    for line in lines:
        assert bench.ask(line).endswith("127.0.0.1")
    return bench


def test_caller_who_could_not_speak_yet_is_told_once() -> None:
    node = the_node(asked(OFFER, OFFER, ANSWER, packets=5))
    assert tellings(node) == ["10.0.0.1 4000", "0.0.0.0 0", "10.0.0.2 4002"]
    assert not [line for line in node.log if line.startswith("Q")]


def test_side_that_was_not_heard_is_told_once() -> None:
    node = the_node(asked(OFFER, ANSWER, ANSWER, ANSWER))
    assert tellings(node) == ["10.0.0.1 4000", "10.0.0.2 4002", "0.0.0.0 0", "0.0.0.0 0"]
    assert node.log.count(QUESTION) == 2


def test_side_that_was_heard_is_told_again() -> None:
    assert tellings(the_node(asked(OFFER, ANSWER, ANSWER, packets=1)))[2:] == ["10.0.0.2 4002"]


def test_node_that_cannot_tell_is_told_again() -> None:
    bench = asked(OFFER, ANSWER)
    the_node(bench).slow["Q"] = 0.1
    answers: list[str] = []
    bench.engine.handle(ANSWER, answers.append)
    the_node(bench).mood = "E50"
    bench.timers.advance(0.15)
    assert tellings(the_node(bench))[2:] == ["10.0.0.2 4002"]
    assert answers == ["E50"]


def test_session_that_ends_while_the_node_is_asked_is_not_made_anew() -> None:
    bench = asked(OFFER, ANSWER)
    the_node(bench).slow["Q"] = 0.05
    answers: list[str] = []
    bench.engine.handle(ANSWER, answers.append)
    assert bench.ask(f"D {KEY} F T") == "0"
    bench.timers.advance(1.0)
    assert answers == ["E50"]
    assert len(tellings(the_node(bench))) == 2


def test_each_stream_is_told_for_itself() -> None:
    video = OFFER.replace("4000 F;1", "4006 F;2")
    assert tellings(the_node(asked(OFFER, video, OFFER, video))) == [
        *("10.0.0.1 4000", "10.0.0.1 4006"),
        *("0.0.0.0 0", "0.0.0.0 0"),
    ]


def test_side_without_address_is_told_to_be_nobody() -> None:
    """Only the first time: later it is a hold, and the node keeps what it knows."""
    offer = OFFER.replace("10.0.0.1", "0.0.0.0")
    node = the_node(asked(offer, ANSWER, f"U {KEY} 0.0.0.0 4002 T;1 F;1", packets=1))
    assert tellings(node) == ["127.0.0.1 9", "10.0.0.2 4002", "0.0.0.0 0"]


def test_name_is_nobody_each_time() -> None:
    answer = ANSWER.replace("10.0.0.2", "pbx.example")
    node = the_node(asked(OFFER, answer, answer, packets=1))
    assert tellings(node)[1:] == ["127.0.0.1 9", "127.0.0.1 9"]


def test_nobody_of_an_ipv6_stream_is_told_in_ipv6() -> None:
    offer = f"U6 {KEY} :: 4000 F;1"
    assert tellings(the_node(asked(offer, offer))) == ["::1 9", ":: 0"]


def test_media_host_tells_what_it_likes() -> None:
    bench = asked(
        f"U {HOSTED} 0.0.0.0 0 A B && L 0.0.0.0 0", *[f"U {HOSTED} 10.0.0.9 4000 B A" for _ in range(2)]
    )
    bench.timers.advance(20.0)
    assert tellings(the_node(bench)) == ["0.0.0.0 0", *["10.0.0.9 4000"] * 2]


def test_who_moved_is_told_again_until_heard() -> None:
    bench = asked(OFFER, ANSWER, packets=7)
    node = the_node(bench)
    assert bench.ask(MOVE).endswith("127.0.0.1")
    told = [line for line in node.log if "10.0.0.3" in line]
    bench.timers.advance(LOOK_SECONDS)
    assert node.log.count(told[0]) == 1
    bench.timers.advance(3 * LOOK_SECONDS)
    assert node.log.count(told[0]) == 4
    node.packets = 8
    bench.timers.advance(10 * LOOK_SECONDS)
    assert node.log.count(told[0]) == 4
    assert len(bench.engine.moves) == 0


def test_who_was_never_heard_is_told_once_where_he_moved() -> None:
    bench = asked(OFFER, ANSWER, MOVE)
    bench.timers.advance(5 * LOOK_SECONDS)
    assert tellings(the_node(bench))[2:] == ["10.0.0.3 4004"]
    assert len(bench.engine.moves) == 0


def test_newer_move_takes_the_place_of_the_one_before() -> None:
    bench = asked(OFFER, ANSWER, MOVE, MOVE.replace("10.0.0.3", "10.0.0.4"), packets=7)
    bench.timers.advance(2 * LOOK_SECONDS)
    assert tellings(the_node(bench))[2:] == ["10.0.0.3 4004", "10.0.0.4 4004", "10.0.0.4 4004"]
    assert len(bench.engine.moves) == 1


def test_place_of_another_fork_is_never_told_again() -> None:
    other = [f"L {KEY} 10.0.0.{number} 4002 F;1 T{number};1" for number in (3, 4)]
    bench = asked(OFFER, ANSWER, *other, packets=7)
    bench.timers.advance(2 * LOOK_SECONDS)
    assert tellings(the_node(bench))[2:] == ["10.0.0.3 4002", "10.0.0.4 4002", "10.0.0.4 4002"]


def test_who_is_told_again_keeps_his_new_codecs() -> None:
    bench = asked(OFFER, ANSWER, MOVE, MOVE.replace("U ", "Uc0 "), packets=7)
    bench.timers.advance(2 * LOOK_SECONDS)
    told = [line.split()[0] for line in the_node(bench).log if "10.0.0.3" in line]
    assert told == ["U", "Uc0", "Uc0"]


def test_session_that_is_over_is_looked_at_no_more() -> None:
    bench = asked(OFFER, ANSWER, MOVE, packets=7)
    assert bench.ask(f"D {KEY} F T") == "0"
    bench.timers.advance(5 * LOOK_SECONDS)
    assert len(tellings(the_node(bench))) == 3
    assert len(bench.engine.moves) == 0


def test_who_is_silent_for_very_long_is_given_up() -> None:
    bench = asked(OFFER, ANSWER, MOVE, packets=7)
    bench.timers.advance(GIVE_UP_SECONDS + 2 * LOOK_SECONDS)
    assert len(bench.engine.moves) == 0
    told = len(tellings(the_node(bench)))
    bench.timers.advance(GIVE_UP_SECONDS)
    assert len(tellings(the_node(bench))) == told


def test_silent_node_is_asked_on() -> None:
    """One lost answer is neither a move undone nor a side heard."""
    bench = asked(OFFER, ANSWER, MOVE, packets=7)
    node = the_node(bench)
    bench.timers.advance(LOOK_SECONDS)
    node.mood = "silent"
    bench.timers.advance(2 * LOOK_SECONDS)
    node.mood = ""
    before = len(tellings(node))
    bench.timers.advance(2 * LOOK_SECONDS)
    assert len(tellings(node)) > before


def test_session_found_at_a_node_may_have_moved() -> None:
    bench = asked(OFFER, ANSWER)
    other = bench.make()
    assert bench.ask(MOVE, other).endswith("127.0.0.1")
    assert len(other.moves) == 1
    assert len(bench.engine.moves) == 0
