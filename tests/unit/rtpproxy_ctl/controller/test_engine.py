"""The controller's engine on nodes without a process: every command is answered once, sessions stay where they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpproxy_ctl.balancer import Health
from rtpproxy_ctl.controller.engine import DELETE_SECONDS, Engine
from rtpproxy_ctl.controller.ids import handle, tag_handle
from rtpproxy_ctl.controller.nodes import NOTIFY
from tests.support.fake_nodes import FakeNode, FakeTimers, make_nodes

CALL = "0198f000-0000-7000-8000-000000000001"
KEY = f"abc@phone;{CALL}"
HOSTED = f"media-1:{CALL}:caller"


class Bench:
    """An engine with two nodes."""

    def __init__(self, count: int = 2) -> None:
        self.timers = FakeTimers()
        self.nodes: dict[str, FakeNode] = make_nodes(self.timers, count)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.lost: list[tuple[str, str]] = []
        self.engine = self.make()

    def make(self) -> Engine:
        """Another engine on the same nodes: after a restart, or a second controller."""
        engine = Engine(
            host="n1",
            timers=self.timers,
            nodes=self.nodes,
            event=lambda kind, **data: self.events.append((kind, data)),
            notify_socket="tcp:127.0.0.1:22101",
            prompt_roots=["/prompts"],
        )
        engine.on_lost = lambda session, node: self.lost.append((session.key, node))
        return engine

    def ask(self, line: str, engine: Engine | None = None) -> str:
        """Send a command and return the answer, which must come exactly once within two seconds."""
        answers: list[str] = []
        (engine or self.engine).handle(line, answers.append)
        if not answers:
            self.timers.advance(2.0)
        assert len(answers) == 1, (line, answers)
        return answers[0]

    def call(self, key: str = KEY) -> str:
        """Set a session up as Kamailio does; return the name of its node."""
        assert self.ask(f"Uc0,101 {key} 127.0.0.1 4000 F;1").endswith(" 127.0.0.1")
        assert self.ask(f"Lc0,101 {key} 127.0.0.1 4002 F;1 T;1").endswith(" 127.0.0.1")
        session = self.engine.sessions.get(key)
        assert session is not None
        return session.node

    def log(self) -> list[str]:
        """Return all commands that reached nodes."""
        return [line for node in self.nodes.values() for line in node.log]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_only_hashes_and_our_own_socket_reach_a_node(bench: Bench) -> None:
    bench.call()
    h, f, t = handle(KEY), tag_handle("F;1"), tag_handle("T;1")
    assert bench.log() == [
        f"Uc0,101 {h} 127.0.0.1 4000 {f} tcp:127.0.0.1:22101 {h}",
        f"Lc0,101 {h} 127.0.0.1 4002 {f} {t}",
    ]


def test_a_node_without_notification_is_not_asked_for_it(bench: Bench) -> None:
    for node in bench.nodes.values():
        node.capabilities -= {NOTIFY}
    bench.call()
    assert bench.log()[0] == f"Uc0,101 {handle(KEY)} 127.0.0.1 4000 {tag_handle('F;1')}"


def test_a_session_stays_on_its_node_and_the_load_is_shared(bench: Bench) -> None:
    keys = [f"{number}@phone;{CALL[:-4]}{number:04}" for number in range(10)]
    places = [bench.call(key) for key in keys]
    assert sorted(places) == ["n1-rtp-1"] * 5 + ["n1-rtp-2"] * 5
    for key, place in zip(keys, places, strict=True):
        before = len(bench.nodes[place].log)
        assert bench.ask(f"U {key} 0.0.0.0 4000 T;1 F;1").endswith("127.0.0.1")
        assert len(bench.nodes[place].log) == before + 1


def test_what_is_known_of_the_sides(bench: Bench) -> None:
    bench.call()
    session = bench.engine.sessions.get(KEY)
    assert session is not None
    assert (session.caller.tag, session.callee.tag, session.stream, session.joined) == ("F", "T", ";1", True)
    # U's port is shown to the callee, whose packets arrive there; L's to the caller
    ports = bench.nodes[session.node].sessions[session.handle][tag_handle("F;1")]
    assert (session.callee.local_port, session.caller.local_port) == ports
    assert (session.caller.codecs, session.caller.dtmf_type, session.caller.holds) == ((0, 101), 101, False)
    bench.ask(f"U {KEY} 0.0.0.0 4000 T;1 F;1")
    assert (session.callee.holds, session.caller.holds) == (True, False)


def test_a_delete_is_answered_at_once_and_asks_for_the_counters_first(bench: Bench) -> None:
    node = bench.nodes[bench.call()]
    del node.log[:]
    assert bench.ask(f"D {KEY} F T") == "0"
    assert (node.log, len(node.sessions)) == ([], 1)
    bench.timers.advance(DELETE_SECONDS)
    h, f, t = handle(KEY), tag_handle("F"), tag_handle("T")
    assert [line.split()[:4] for line in node.log] == [
        ["Qv", h, f + ";1", t + ";1"],
        ["Qv", h, t + ";1", f + ";1"],
        ["D", h, f, t],
    ]
    assert (len(node.sessions), len(bench.engine.sessions)) == (0, 0)
    ((kind, data),) = bench.events
    assert (kind, data["call"], data["node"]) == ("call.media", CALL, node.spec.name)
    assert (data["a_packets"], data["b_packets"]) == (150, 150)


def test_the_second_delete_of_a_crossing_bye_does_no_harm(bench: Bench) -> None:
    bench.call()
    assert bench.ask(f"D {KEY} F T") == "0"
    assert bench.ask(f"D {KEY} T F") == "0"
    bench.timers.advance(DELETE_SECONDS)
    assert [line[0] for line in bench.log()].count("D") == 1


def test_an_update_within_the_delay_flushes_the_old_session_first(bench: Bench) -> None:
    node = bench.nodes[bench.call()]
    bench.ask(f"D {KEY} F")
    assert bench.ask(f"U {KEY} 127.0.0.1 4000 F;1").endswith("127.0.0.1")
    assert [line[0] for line in node.log][-2:] in (["Q", "D"], ["D", "U"])
    bench.timers.advance(1.0)
    assert sum(len(each.sessions) for each in bench.nodes.values()) == 1
    assert len(bench.engine.sessions) == 1


def test_commands_for_a_session_that_is_ending_find_none(bench: Bench) -> None:
    bench.call()
    bench.ask(f"D {KEY} F T")
    assert bench.ask(f"L {KEY} 127.0.0.1 1 F;1 T;1") == "E50"


@pytest.mark.parametrize(
    "line", ["L x 127.0.0.1 1 F T", "D x F", "D x F T", "Q x F T", "S x F T", "N x F T", "R x F"]
)
def test_an_unknown_session_is_e50(bench: Bench, line: str) -> None:
    assert bench.ask(line) == "E50"


@pytest.mark.parametrize("mood", ["E98", "E99", "E71", "E85", "silent", "nonsense", "0", "99999 127.0.0.1"])
def test_a_new_session_goes_to_the_next_node_when_one_cannot_take_it(bench: Bench, mood: str) -> None:
    bench.nodes["n1-rtp-1"].mood = mood
    assert bench.ask(f"U {KEY} 127.0.0.1 4000 F;1").endswith(" 127.0.0.1")
    session = bench.engine.sessions.get(KEY)
    assert session is not None
    assert session.node == "n1-rtp-2"


def test_a_silent_node_is_told_to_forget_what_it_may_have_made(bench: Bench) -> None:
    slow = bench.nodes["n1-rtp-1"]
    slow.mood, slow.state = "silent", Health.UP
    bench.ask(f"U {KEY} 127.0.0.1 4000 F;1")
    slow.mood = ""
    bench.engine.health_changed("n1-rtp-1", lost=False)
    assert slow.log[-1] == f"D {handle(KEY)} {tag_handle('F')}"


def test_a_command_that_no_node_understands_is_not_passed_around(bench: Bench) -> None:
    for node in bench.nodes.values():
        node.mood = "E37"
    assert bench.ask(f"U {KEY} 127.0.0.1 4000 F;1") == "E37"
    assert len(bench.log()) == 1
    assert len(bench.engine.sessions) == 0


def test_without_any_node_a_new_session_is_refused(bench: Bench) -> None:
    for node in bench.nodes.values():
        node.state = Health.GONE
    assert bench.ask(f"U {KEY} 127.0.0.1 4000 F;1") == "E98"
    for node in bench.nodes.values():
        node.state, node.mood = Health.UP, "silent"
    assert bench.ask(f"U {KEY} 127.0.0.1 4000 F;1") == "E98"
    assert len(bench.engine.sessions) == 0


def test_a_draining_node_keeps_its_sessions_and_gets_no_new_one(bench: Bench) -> None:
    place = bench.call()
    bench.nodes[place].set(draining=True)
    others = {bench.call(f"{number}@x;{CALL[:-1]}{number}") for number in range(2, 6)}
    assert others == set(bench.nodes) - {place}
    assert bench.ask(f"L {KEY} 127.0.0.1 4002 F;1 T;1").endswith("127.0.0.1")


def test_the_sessions_of_a_dead_node_are_lost_and_told(bench: Bench) -> None:
    place = bench.call()
    bench.nodes[place].state = Health.GONE
    bench.engine.health_changed(place, lost=True)
    assert bench.lost == [(KEY, place)]
    assert len(bench.engine.sessions) == 0


def test_a_reinvite_of_a_call_whose_node_died_gets_a_new_session(bench: Bench) -> None:
    place = bench.call()
    bench.nodes[place].state = Health.GONE
    bench.engine.health_changed(place, lost=True)
    assert bench.ask(f"U {KEY} 127.0.0.1 4000 F;1 T;1").endswith("127.0.0.1")
    session = bench.engine.sessions.get(KEY)
    assert session is not None
    assert session.node != place


@pytest.mark.parametrize("tags", [("F;1", "T;1"), ("T;1", "F;1")])
@pytest.mark.parametrize("letter", ["U", "L"])
def test_another_controller_finds_a_session_by_asking_nodes(
    bench: Bench, tags: tuple[str, str], letter: str
) -> None:
    place = bench.call()
    other = bench.make()
    assert bench.ask(f"{letter} {KEY} 127.0.0.1 4004 {tags[0]} {tags[1]}", other).endswith("127.0.0.1")
    session = other.sessions.get(KEY)
    assert session is not None
    assert (session.node, session.caller.tag, session.callee.tag) == (place, "F", "T")


def test_another_controller_finds_a_session_for_a_delete_without_suffix(bench: Bench) -> None:
    node = bench.nodes[bench.call()]
    assert bench.ask(f"D {KEY} T F", bench.make()) == "0"
    bench.timers.advance(1.0)
    assert node.sessions == {}


def test_a_media_host_gets_its_single_shot_answer_and_may_play_prompts_only(bench: Bench) -> None:
    line = f"Uc0,101z20 {HOSTED} 127.0.0.1 4000 A B tcp:127.0.0.1:9 my%20tag && M3:1 dt 101 && Lc0,101z20 0.0.0.0 0"
    parts = bench.ask(line).split(" && ")
    assert (len(parts), parts[1]) == (3, "0")
    session = bench.engine.sessions.get(HOSTED)
    assert session is not None
    assert (session.call, session.id.owner, session.joined) == (CALL, "media-1", True)
    (own,) = session.dtmf_tags
    assert (session.dtmf_tags[own], own.partition(".")[0]) == ("dt", session.handle)
    assert f"M3:1 {own} 101" in bench.nodes[session.node].log[-1]
    assert bench.ask(f"P-1 {HOSTED} /prompts/0/wait/1 session A B") == "0"
    assert session.caller.hears_prompt
    assert bench.ask(f"S {HOSTED} A B") == "0"
    assert not session.caller.hears_prompt
    for path in ("/etc/passwd", "/prompts/../etc/passwd", "prompts/x", "/promptsx/y"):
        assert bench.ask(f"P {HOSTED} {path} session A B") == "E60", path


def test_a_prompt_of_known_length_ends_by_itself(bench: Bench) -> None:
    bench.engine.prompt_seconds = lambda path, codecs, session: 2.0
    bench.ask(f"Uc0 {HOSTED} 127.0.0.1 4000 A B && Lc0 0.0.0.0 0")
    bench.ask(f"P2 {HOSTED} /prompts/0/wait/1 session A B")
    session = bench.engine.sessions.get(HOSTED)
    assert session is not None
    bench.timers.advance(3.9)
    assert session.caller.hears_prompt
    bench.timers.advance(0.2)
    assert not session.caller.hears_prompt


def test_files_are_never_named_by_a_command(bench: Bench) -> None:
    bench.call()
    asked: list[bool] = []
    bench.engine.on_record = lambda session, on, reply: (asked.append(on), reply("0"))[1]
    assert bench.ask(f"C {KEY} ../../evil F;1 T;1") == "0"
    assert bench.ask(f"R {KEY} F") == "0"
    assert bench.ask(f"N {KEY} F") == "0"
    assert asked == [True, True, False]
    assert not [line for line in bench.log() if line[0] in "CRN"]


def test_a_fork_to_a_udp_address_passes(bench: Bench) -> None:
    bench.call()
    assert bench.ask(f"C {KEY} udp:127.0.0.1:9000 F;1 T;1") == "0"
    assert bench.ask(f"N {KEY} F;1 T;1") == "0"
    assert [line[0] for line in bench.log()][-2:] == ["C", "N"]
    assert bench.ask(f"C {KEY} udp:example.org:9000 F;1 T;1") == "E65"


def test_a_name_in_the_sdp_is_not_resolved(bench: Bench) -> None:
    bench.ask(f"U {KEY} evil.example 4000 F;1")
    assert bench.log()[0].startswith(f"U {handle(KEY)} 127.0.0.1 9 ")


def test_the_system_answers_as_one_rtpproxy(bench: Bench) -> None:
    assert bench.ask("V") == "20040107"
    assert [bench.ask(f"VF {n}") for n in (20050322, 20071116, 20081102, 20081224, 20260309, 1)] == [
        *("1", "1", "1", "1", "1", "0")
    ]
    assert bench.ask("G pps_in nsess_created") == "2 2"
    bench.nodes["n1-rtp-1"].mood = "silent"
    assert bench.ask("G pps_in") == "1"
    assert bench.ask("I").startswith("sessions created: 0\n")
    bench.call()
    assert bench.ask("X") == "0"
    bench.timers.advance(1.0)
    assert len(bench.engine.sessions) == 0


LINES = st.one_of(
    st.builds("{} {} 127.0.0.1 {} {} {}".format, st.sampled_from("UL"), st.sampled_from([KEY, HOSTED, "x"]),
              st.integers(0, 70000), st.sampled_from("FT"), st.sampled_from(["", "F", "T"])),
    st.builds("{} {} {} {}".format, st.sampled_from("DQSNRX"), st.sampled_from([KEY, HOSTED]),
              st.sampled_from("FT"), st.sampled_from(["", "F", "T"])),
    st.text(max_size=40),
)  # fmt: skip
MOODS = st.sampled_from(["", "", "silent", "E98", "E50", "-", "0", "1 2 3 4", "E", "99999"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(LINES, MOODS, MOODS, st.sampled_from([0.0, 0.05, 0.2])), max_size=12))
def test_every_command_is_answered_once_whatever_nodes_do(steps: list[tuple[str, str, str, float]]) -> None:
    bench = Bench()
    answers: list[list[str]] = []
    for line, one, two, pause in steps:
        bench.nodes["n1-rtp-1"].mood, bench.nodes["n1-rtp-2"].mood = one, two
        answers.append([])
        bench.engine.handle(line, answers[-1].append)
        bench.timers.advance(pause)
    bench.timers.advance(5.0)
    assert [len(told) for told in answers] == [1] * len(answers)
    for session in bench.engine.sessions:
        assert not session.unconfirmed
        assert not session.ending
