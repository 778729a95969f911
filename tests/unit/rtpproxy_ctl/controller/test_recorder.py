"""Recordings: what is sent to the node, what stands in the manifest, in whatever order the orders come."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtpproxy_ctl.controller.manifest import Manifest
from rtpproxy_ctl.controller.recorder import BEGIN_SECONDS, REQUEST_SECONDS, Recorder
from rtpproxy_ctl.controller.recording import Recording, Request
from rtpproxy_ctl.controller.rpc import Rpc
from tests.support.fake_nodes import make_nodes
from tests.unit.rtpproxy_ctl.controller.test_engine import CALL, HOSTED, KEY, Bench

MANY = 1 << 40


class Studio(Bench):
    """An engine with a recorder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.nodes.update(make_nodes(self.timers, spool=folder / "spool", recordings=folder / "rec"))
        self.folder = folder
        self.free = MANY
        self.saved: dict[tuple[str, str], Any] = {}
        self.serial = 0
        self.recorder = self.make_recorder()

    def make_recorder(self) -> Recorder:
        recorder = Recorder(
            sessions=self.engine.sessions,
            nodes=self.nodes,
            timers=self.timers,
            event=lambda kind, **data: self.events.append((kind, data)),
            new_id=self.new_id,
            manifest=lambda name: Manifest(self.folder / f"{name}.jsonl", lambda: datetime.now(UTC)),
            host="n1",
            free_bytes=lambda folder: self.free,
            min_free_bytes=1000,
            save=self.save,
        )
        self.engine.observers[:] = [recorder]
        self.engine.record_wanted, self.engine.when_recorded = recorder.is_wanted, recorder.when_begun
        return recorder

    def new_id(self) -> str:
        self.serial += 1
        return f"rec-{self.serial}"

    def save(self, kind: str, key: str, value: Any) -> None:
        if value is None:
            self.saved.pop((kind, key), None)
        else:
            self.saved[kind, key] = json.loads(json.dumps(value))

    def start(self, by: str = "demand") -> list[str]:
        return self.recorder.start(Request(CALL, by, 7, "100", "101"))

    def manifest(self, name: str = "rec-1") -> list[dict[str, Any]]:
        path = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def kinds(self, name: str = "rec-1") -> list[str]:
        return [line["kind"] for line in self.manifest(name)]

    def copied(self) -> set[str]:
        return {name for node in self.nodes.values() for name in node.copies.values()}


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


def test_both_directions_go_into_one_file_under_a_name_of_ours(studio: Studio) -> None:
    node = studio.nodes[studio.call()]
    assert studio.start() == ["rec-1"]
    assert list(node.copies.values()) == ["rec-1.1.pcap"] * 2
    assert [line.split()[0] for line in node.log if line[0] == "C"] == ["Cs", "Cs"]
    start, segment, caller, callee = studio.manifest()
    assert {key: start[key] for key in ("kind", "recording_id", "call", "tenant", "by", "a", "b")} == {
        "kind": "start",
        "recording_id": "rec-1",
        "call": CALL,
        "tenant": 7,
        "by": "demand",
        "a": "100",
        "b": "101",
    }
    assert (start["node"], start["host"]) == (node.spec.name, "n1")
    assert (start["spool_dir"], start["final_dir"]) == (str(node.spec.spool), str(node.spec.recordings))
    assert (segment["file"], segment["n"]) == ("rec-1.1.pcap", 1)
    session = studio.engine.sessions.get(KEY)
    assert session is not None
    assert (caller["side"], caller["local_port"]) == ("caller", session.caller.local_port)
    assert (callee["side"], callee["codecs"], callee["dtmf_pt"]) == ("callee", [0, 101], 101)
    assert datetime.fromisoformat(start["at"]).tzinfo is not None


def test_the_end_of_the_session_ends_the_recording(studio: Studio) -> None:
    studio.call()
    studio.start()
    studio.ask(f"D {KEY} F T")
    studio.timers.advance(1.0)
    assert studio.manifest()[-1]["reason"] == "ended"
    assert [kind for kind, _ in studio.events if kind.startswith("recording")] == [
        "recording.started",
        "recording.stopped",
    ]
    assert not [key for key in studio.saved if key[0] == "recording"]


def test_a_start_before_the_media_waits_for_it(studio: Studio) -> None:
    assert studio.start("route") == []
    assert studio.ask(f"U {KEY} 127.0.0.1 4000 F;1").endswith("127.0.0.1")
    assert studio.copied() == set()
    studio.ask(f"L {KEY} 127.0.0.1 4002 F;1 T;1")
    assert studio.copied() == {"rec-1.1.pcap"}
    assert studio.manifest()[0]["by"] == "route"


@pytest.mark.parametrize(("copy_seconds", "answered_after"), [(0.01, 0.02), (5.0, BEGIN_SECONDS)])
def test_nobody_is_told_where_to_send_before_the_recording_has_begun(
    studio: Studio, copy_seconds: float, answered_after: float
) -> None:
    studio.start("route")
    studio.ask(f"U {KEY} 127.0.0.1 4000 F;1")
    for node in studio.nodes.values():
        node.slow = {"C": copy_seconds}
    answers: list[str] = []
    studio.engine.handle(f"L {KEY} 127.0.0.1 4002 F;1 T;1", answers.append)
    studio.timers.advance(answered_after - 0.001)
    assert answers == []
    studio.timers.advance(0.002)
    assert [answer.rpartition(" ")[2] for answer in answers] == ["127.0.0.1"]
    studio.timers.advance(20)
    assert (len(answers), studio.copied()) == (1, {"rec-1.1.pcap"})


def test_a_call_whose_recording_fails_is_answered_all_the_same(studio: Studio) -> None:
    studio.start("route")
    studio.ask(f"U {KEY} 127.0.0.1 4000 F;1")
    studio.free = 0
    assert studio.ask(f"L {KEY} 127.0.0.1 4002 F;1 T;1").endswith("127.0.0.1")
    assert studio.recorder.failed == 1


def test_a_start_waits_three_minutes_and_no_longer(studio: Studio) -> None:
    studio.start()
    studio.timers.advance(REQUEST_SECONDS - 1)
    assert studio.recorder.is_wanted(CALL)
    studio.timers.advance(2)
    assert not studio.recorder.is_wanted(CALL)
    studio.call()
    assert studio.copied() == set()
    assert studio.saved == {}


def test_a_call_that_lasts_stays_wanted_and_its_next_session_is_recorded_too(studio: Studio) -> None:
    studio.call()
    studio.start()
    studio.timers.advance(3 * REQUEST_SECONDS)
    studio.ask(f"D {KEY} F T")
    studio.timers.advance(1.0)
    studio.ask(f"Uc0 {HOSTED} 127.0.0.1 4000 A B && Lc0 127.0.0.1 4004")
    assert studio.kinds("rec-2")[:2] == ["start", "segment"]
    assert studio.recorder.stop(CALL) == ["rec-2"]
    assert not studio.recorder.is_wanted(CALL)


def test_a_pause_ends_the_segment_and_a_resume_opens_the_next(studio: Studio) -> None:
    studio.call()
    studio.start()
    assert studio.recorder.pause(CALL, "api") == ["rec-1"]
    assert studio.copied() == set()
    assert studio.recorder.resume(CALL, "demand") == ["rec-1"]
    assert studio.copied() == {"rec-1.2.pcap"}
    studio.recorder.stop(CALL)
    assert studio.kinds()[4:] == ["pause", "resume", "segment", "stop"]
    assert [line["by"] for line in studio.manifest()[4:6]] == ["api", "demand"]
    assert studio.manifest()[-1]["reason"] == "stopped"
    assert studio.recorder.pause(CALL) == []


def test_a_pause_before_the_recording_has_begun_keeps_it_silent(studio: Studio) -> None:
    studio.call()
    for node in studio.nodes.values():
        node.mood = "silent"
    studio.start()
    studio.recorder.pause(CALL)
    for node in studio.nodes.values():
        node.mood = ""
    studio.timers.advance(5.0)
    assert studio.copied() == set()


def test_hold_and_music_are_marked(studio: Studio) -> None:
    studio.call()
    studio.start()
    studio.engine.set_hold(CALL, "callee", True)
    studio.engine.set_hold(CALL, "callee", True)
    studio.engine.set_hold(CALL, "callee", False)
    studio.ask(f"U {KEY} 0.0.0.0 4000 F;1 T;1")
    studio.ask(f"P-1 {KEY} /prompts/0/moh/1 session F;1 T;1")
    studio.ask(f"S {KEY} F;1 T;1")
    told = [(line["kind"], line["side"], line.get("on")) for line in studio.manifest()[4:]]
    assert told == [
        ("hold", "callee", None),
        ("unhold", "callee", None),
        ("hold", "caller", None),
        ("music", "caller", True),
        ("music", "caller", False),
    ]


def test_a_changed_codec_is_told_once(studio: Studio) -> None:
    studio.call()
    studio.start()
    for _ in range(2):
        studio.ask(f"Uc9,101 {KEY} 127.0.0.1 4000 F;1 T;1")
    (side,) = studio.manifest()[4:]
    assert (side["side"], side["codecs"]) == ("caller", [9, 101])


def test_what_another_controller_records_is_left_to_it(studio: Studio) -> None:
    studio.call()
    studio.start()
    studio.recorder = studio.make_recorder()
    studio.start()
    assert studio.kinds("rec-2") == []
    assert studio.recorder.failed == 0


def test_a_full_disk_ends_recordings_and_not_calls(studio: Studio) -> None:
    studio.call()
    studio.start()
    studio.free = 10
    studio.timers.advance(2.0)
    assert studio.manifest()[-1]["reason"] == "disk_full"
    assert studio.copied() == set()
    assert studio.ask(f"L {KEY} 127.0.0.1 4002 F;1 T;1").endswith("127.0.0.1")
    studio.start()
    assert [kind for kind, _ in studio.events].count("recording.disk_full") == 1
    assert studio.events[-1][0] == "recording.failed"
    studio.free = MANY
    studio.start()
    assert studio.copied() == {"rec-3.1.pcap"}


def test_a_node_whose_files_we_do_not_see_cannot_record(studio: Studio) -> None:
    studio.nodes[studio.call()].set(recordings=None)
    assert studio.start() == []
    assert studio.events[-1][0] == "recording.failed"


def test_a_recording_ends_with_its_node(studio: Studio) -> None:
    place = studio.call()
    studio.start()
    studio.engine.health_changed(place, lost=True)
    assert studio.manifest()[-1]["reason"] == "node_dead"


def restart(studio: Studio) -> None:
    """Kill the controller and start it on what its state log holds."""
    saved = dict(studio.saved)
    studio.recorder = studio.make_recorder()
    for (kind, _), row in saved.items():
        if kind == "request":
            studio.recorder.restore_request(Request.from_json(row))
    for (kind, _), row in saved.items():
        if kind == "recording":
            studio.recorder.restore(Recording.from_json(row))


def test_a_recording_goes_on_after_a_restart_of_the_controller(studio: Studio) -> None:
    studio.call()
    studio.start()
    restart(studio)
    assert studio.copied() == {"rec-1.1.pcap"}
    studio.recorder.pause(CALL)
    restart(studio)
    assert studio.copied() == set()
    studio.recorder.resume(CALL)
    assert studio.copied() == {"rec-1.2.pcap"}
    studio.ask(f"D {KEY} F T")
    studio.timers.advance(1.0)
    assert studio.kinds().count("start") == 1
    assert studio.kinds()[-1] == "stop"


def test_a_recording_whose_session_ended_meanwhile_is_closed(studio: Studio) -> None:
    studio.call()
    studio.start()
    session = studio.engine.sessions.get(KEY)
    assert session is not None
    studio.engine.sessions.remove(session)
    restart(studio)
    assert studio.manifest()[-1]["reason"] == "controller_restart"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["start", "pause", "resume", "stop", "restart", "hold", "wait"]), max_size=12)
)
def test_any_order_of_orders_leaves_what_was_wanted(
    tmp_path_factory: pytest.TempPathFactory, orders: list[str]
) -> None:
    studio = Studio(tmp_path_factory.mktemp("studio"))
    studio.call()
    recording = False
    for order in orders:
        if order == "start":
            studio.start()
        elif order == "restart":
            restart(studio)
        elif order == "hold":
            studio.engine.set_hold(CALL, "caller", True)
        elif order == "wait":
            studio.timers.advance(0.5)
        else:
            getattr(studio.recorder, order)(CALL)
        running = bool(studio.recorder.running())
        recording = {"start": True, "resume": running, "pause": False, "stop": False}.get(order, recording)
    assert bool(studio.copied()) == recording
    studio.ask(f"D {KEY} F T")
    studio.timers.advance(1.0)
    for path in studio.folder.glob("*.jsonl"):
        kinds = studio.kinds(path.stem)
        assert (kinds[0], kinds[1], kinds[-1]) == ("start", "segment", "stop")
        assert kinds.count("start") == kinds.count("stop") == 1
        assert kinds.count("segment") == 1 + kinds.count("resume")


def test_json_rpc_of_the_controller(studio: Studio) -> None:
    rpc = Rpc(studio.engine, studio.recorder, "rtpc-1", list)
    studio.call()

    def ask(method: str, params: Any = None) -> Any:
        answers: list[str] = []
        request = {"jsonrpc": "2.0", "id": 5, "method": method} | (
            {} if params is None else {"params": params}
        )
        rpc.serve(json.dumps(request), answers.append)
        (answer,) = answers
        assert "\n" not in answer
        told = json.loads(answer)
        assert told["id"] == 5
        return told.get("result", told.get("error", {}).get("code"))

    assert ask("record.start", {"call": CALL}) == {
        "controller": "rtpc-1",
        "recordings": ["rec-1"],
        "waiting": False,
    }
    assert [row["state"] for row in ask("record.list")] == ["running"]
    assert ask("record.pause", {"call": CALL.upper()})["recordings"] == ["rec-1"]
    assert ask("call.hold", {"call": CALL, "side": "caller", "hold": True}) == {"sessions": 1}
    assert [row["node"] for row in ask("session.find", {"call": CALL})] == [ask("session.list")[0]["node"]]
    assert ask("controller.info")["sessions"] == 1
    assert ask("node.list") == []
    assert ask("nothing") == -32601
    for params in (
        [],
        {"call": "x"},
        {"call": CALL, "by": "me"},
        {"call": CALL, "tenant": "1"},
        {"call": CALL, "a": 1},
    ):
        assert ask("record.start", params) == -32602, params
    answers: list[str] = []
    for line in ("{", "{}", '{"id": {}}', "[]", "{" * 5000):
        rpc.serve(line, answers.append)
    assert [json.loads(answer)["error"]["code"] for answer in answers] == [
        -32700,
        -32601,
        -32600,
        -32600,
        -32700,
    ]
