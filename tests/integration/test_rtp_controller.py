"""The controller with real RTPProxy nodes: media bit by bit, and every part of it killed in turn."""

from __future__ import annotations

import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtpproxy_ctl.controller.nodes import NodeSpec
from tests.support.fix_rtp import Caller, RelayedCall, calling
from tests.support.net_loop import NetLoop
from tests.support.pcap import rtp_by_port
from tests.support.rtp_peer import build_rtp, compare
from tests.support.rtp_system import RtpSystem


@pytest.fixture
def system() -> Iterator[RtpSystem]:
    with RtpSystem(nodes=2, controllers=2) as running:
        yield running


@pytest.fixture
def caller(net_loop: NetLoop, system: RtpSystem) -> Iterator[Caller]:
    yield from calling(net_loop, system)


def counted(system: RtpSystem, call: RelayedCall) -> dict[str, object]:
    """Wait for what a controller journals of a call that was deleted."""
    told: dict[str, object] = system.wait(
        lambda: next((event for event in system.events("call.media") if event["call"] == call.call), None),
        "call.media",
    )
    return told


def test_media_passes_bit_exact_and_is_counted(system: RtpSystem, caller: Caller) -> None:
    call = caller.call()
    call.talk(50)
    assert call.delete() == "0"
    told = counted(system, call)
    assert (told["a_packets"], told["b_packets"], told["relayed"]) == (50, 50, 100)
    assert (told["a_lost"], told["b_lost"], told["a_loss_percent"]) == (0, 0, 0.0)
    assert "silent" not in told
    system.wait(lambda: system.rpc("session.list") == [], "no session left")


def test_a_side_that_never_sent_is_named(system: RtpSystem, caller: Caller) -> None:
    call = caller.call()
    for number in (0, 1, 3):
        call.a.send_raw(build_rtp(number, number * 160, 7, bytes(160)), ("127.0.0.1", call.port_for_a))
    call.b.wait_received(3)
    call.delete()
    told = counted(system, call)
    assert (told["silent"], told["a_packets"], told["b_packets"], told["a_lost"]) == ("callee", 3, 0, 1)
    assert told["a_loss_percent"] == 25.0


def test_a_reinvite_keeps_the_ports_and_calls_are_shared_out(system: RtpSystem, caller: Caller) -> None:
    calls = [caller.call() for _ in range(6)]
    assert sorted(call.node() for call in calls) == ["rtp-1"] * 3 + ["rtp-2"] * 3
    for call in calls:
        assert call.offer(tags="F;1 T;1") == call.port_for_b
        assert call.answer() == call.port_for_a
    calls[0].talk()


def test_the_other_controller_finds_a_session_and_ends_it(system: RtpSystem, caller: Caller) -> None:
    call = caller.call(1)
    assert call.offer(2, tags="F;1 T;1") == call.port_for_b
    assert call.answer(2) == call.port_for_a
    assert call.node(2) == call.node(1)
    call.talk()
    assert call.delete(2) == "0"
    assert counted(system, call)["a_packets"] == 25


def test_a_killed_controller_finds_its_sessions_and_recordings_again(
    system: RtpSystem, caller: Caller
) -> None:
    call = caller.call()
    (recording,) = system.rpc("record.start", call=call.call)["recordings"]
    sent = call.talk()
    # what is in its memory only for these milliseconds the nodes still know
    system.wait(
        lambda: (system.config.rtp_state_directory / "rtpc-1.jsonl").stat().st_size > 500, "state written"
    )
    system.kill("rtpc-1")
    during = call.talk()
    system.start("rtpc-1")
    system.wait_ready("rtpc-1")
    assert [row["recording_id"] for row in system.rpc("record.list")] == [recording]
    assert call.offer(tags="F;1 T;1") == call.port_for_b
    after = call.talk()
    call.delete()
    system.wait(lambda: system.manifests()[recording][-1]["kind"] == "stop", "recording ended")
    compare_recording(system, recording, [sent, during, after])


def test_a_controller_without_its_state_finds_sessions_at_the_nodes(
    system: RtpSystem, caller: Caller
) -> None:
    call = caller.call()
    system.kill("rtpc-1")
    (system.config.rtp_state_directory / "rtpc-1.jsonl").unlink()
    system.start("rtpc-1")
    system.wait_ready("rtpc-1")
    assert call.offer(tags="F;1 T;1") == call.port_for_b
    call.talk()
    assert call.delete() == "0"
    assert counted(system, call)["a_packets"] == 25


def test_a_killed_node_takes_only_its_own_calls_with_it(system: RtpSystem, caller: Caller) -> None:
    calls = [caller.call() for _ in range(6)]
    lost = [call for call in calls if call.node() == "rtp-1"]
    kept = [call for call in calls if call not in lost]
    system.kill("rtp-1")
    began = time.monotonic()
    new = [caller.call() for _ in range(3)]
    assert time.monotonic() - began < 2.0
    assert {call.node() for call in new} == {"rtp-2"}
    for call in (*kept, *new):
        call.talk(10)
    system.wait(lambda: len(system.events("call.media_lost")) >= len(lost), "lost calls told")
    assert {event["call"] for event in system.events("call.media_lost")} == {call.call for call in lost}
    assert {call.call for call in lost}.isdisjoint(row["call"] for row in system.rpc("session.list"))
    # back, tried out, used again
    system.start("rtp-1")
    system.wait(lambda: system.health()["n1-rtp-1"] == "probation", "rtp-1 on probation")
    assert caller.call().node() == "rtp-2"
    system.wait(lambda: system.health()["n1-rtp-1"] == "up", "rtp-1 up again")
    assert caller.call().node() == "rtp-1"


def test_a_frozen_node_gets_no_new_call_and_keeps_its_own(system: RtpSystem, caller: Caller) -> None:
    calls = [caller.call() for _ in range(4)]
    kept = next(call for call in calls if call.node() == "rtp-1")
    system.kill("rtp-1", signal.SIGSTOP)
    began = time.monotonic()
    new = [caller.call() for _ in range(4)]
    assert time.monotonic() - began < 8.0
    assert {call.node() for call in new} == {"rtp-2"}
    began = time.monotonic()
    assert system.ask(f"L {kept.key} 127.0.0.1 {kept.b.port} F;1 T;1") == "E98"
    assert time.monotonic() - began < 1.0
    system.kill("rtp-1", signal.SIGCONT)
    system.wait(lambda: system.health()["n1-rtp-1"] == "up", "rtp-1 up again")
    assert system.events("call.media_lost") == []
    assert kept.answer() == kept.port_for_a
    kept.talk(10)
    # what it was told to make while it was frozen is taken back
    counters = "G nsess_created nsess_destroyed"

    def sessions() -> int:
        created, destroyed = map(int, system.ask(counters).split())
        return created - destroyed

    system.wait(lambda: sessions() == 8, "no session too many")


def compare_recording(
    system: RtpSystem, recording: str, stretches: list[tuple[list[bytes], list[bytes]]]
) -> None:
    """Compare the segments of a recording with what both sides sent, frame by frame."""
    lines = system.manifests()[recording]
    folder = Path(next(line["final_dir"] for line in lines if line["kind"] == "start"))
    ports = {line["side"]: line["local_port"] for line in lines if line["kind"] == "side"}
    packets: dict[int, list[object]] = {port: [] for port in ports.values()}
    for line in lines:
        if line["kind"] == "segment":
            for port, found in rtp_by_port(folder / line["file"]).items():
                packets[port] += found
    for index, side in enumerate(("caller", "callee")):
        sent = [frame for stretch in stretches for frame in stretch[index]]
        compare(sent, packets[ports[side]]).assert_exact(len(sent))  # type: ignore[arg-type]


def test_a_recording_holds_every_frame_of_both_sides_and_nothing_of_a_pause(
    system: RtpSystem, caller: Caller
) -> None:
    call = caller.call()
    (recording,) = system.rpc("record.start", call=call.call, by="api", tenant=3, a="100", b="200")[
        "recordings"
    ]
    first = call.talk()
    system.rpc("record.pause", call=call.call)
    system.wait(lambda: system.manifests()[recording][-1]["kind"] == "pause", "paused")
    call.talk()  # a card number
    system.rpc("record.resume", call=call.call)
    system.wait(lambda: system.manifests()[recording][-1]["kind"] == "segment", "resumed")
    second = call.talk()
    call.delete()
    system.wait(lambda: system.manifests()[recording][-1]["kind"] == "stop", "recording ended")
    compare_recording(system, recording, [first, second])
    assert system.manifests()[recording][-1]["reason"] == "ended"
    assert [event["recording_id"] for event in system.events("recording.paused")] == [recording]


def test_a_recording_survives_the_kill_of_its_node(system: RtpSystem, caller: Caller) -> None:
    call = caller.call()
    (recording,) = system.rpc("record.start", call=call.call)["recordings"]
    sent = call.talk(100)
    node = call.node()
    system.kill(node)
    system.wait(lambda: system.manifests()[recording][-1]["kind"] == "stop", "recording ended")
    assert system.manifests()[recording][-1]["reason"] == "node_dead"
    system.start(node)
    system.wait_ready(node)
    start = system.manifests()[recording][0]
    packets = rtp_by_port(Path(start["final_dir"]) / f"{recording}.1.pcap")
    # up to 4 KB were not written yet
    assert sum(map(len, packets.values())) >= 200 - 2 * 4096 // 200
    assert {packet.payload for found in packets.values() for packet in found} <= {*sent[0], *sent[1]}


def test_key_presses_and_silence_reach_the_media_host_under_its_own_tag(
    system: RtpSystem, caller: Caller
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        here = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        peers = caller.call()
        key = f"media-1:{peers.call[:-1]}0:caller"
        line = f"Uc8,101z20 {key} 127.0.0.1 {peers.a.port} A B {here} host%20tag && M3:1 keys 101"
        answer = system.ask(f"{line} && Lc8,101z20 0.0.0.0 0").split(" && ")
        port = int(answer[2].split()[0])
        for number in range(6):  # RFC 4733: digit 5, volume 10, the last three with the end bit
            event = bytes([5, 0x8A if number > 2 else 0x0A]) + (160 * min(number + 1, 4)).to_bytes(2, "big")
            peers.a.send_raw(build_rtp(number, 0, 9, event, 101), ("127.0.0.1", port))
        connection, _ = server.accept()
        with connection, connection.makefile() as lines:
            connection.settimeout(10)
            assert lines.readline().split()[:2] == ["keys", "5"]
            (session,) = [row for row in system.rpc("session.list") if row["owner"] == "media-1"]
            system.kill(str(session["node"]).partition("-")[2])
            assert lines.readline() == "host tag\n"


def test_metrics_are_told_as_prometheus_text(system: RtpSystem, caller: Caller) -> None:
    caller.call()
    ports = system.config.rtp_controller_ports(1)
    with urllib.request.urlopen(f"http://{ports.address}:{ports.metrics}/metrics", timeout=5) as reply:
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = reply.read().decode().splitlines()
    assert 'rtpc_sessions{controller="rtpc-1"} 1' in lines
    assert 'rtp_node_health{node="n1-rtp-2",health="up"} 1' in lines
    assert 'rtpc_commands_total{controller="rtpc-1",command="Update"} 1' in lines
    names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
    assert names <= {line.split()[2] for line in lines if line.startswith("# TYPE")}


def test_a_full_disk_stops_recording_and_no_call(net_loop: NetLoop) -> None:
    with RtpSystem(nodes=1, settings={"rtp.record_min_free_mb": 1_000_000}) as full:
        for caller in calling(net_loop, full):
            call = caller.call()
            assert full.rpc("record.start", call=call.call) == {
                "controller": "rtpc-1",
                "recordings": [],
                "waiting": True,
            }
            call.talk(10)
            assert full.manifests() == {}
            assert [event["reason"] for event in full.events("recording.failed")] == ["disk_full"]
            assert len(full.events("recording.disk_full")) == 1


def test_a_remote_rtpproxy_known_by_its_address_serves_when_the_own_node_is_gone(net_loop: NetLoop) -> None:
    """Another machine's RTPProxy is one more node: asked last, counted, and never told to record for us."""
    with RtpSystem(nodes=1) as far:
        there = NodeSpec(name="far-rtp", host="far", address=far.address("rtp-1"))
        with RtpSystem(nodes=1, others=[there]) as near:
            for caller in calling(net_loop, near):
                assert [caller.call().node() for _ in range(4)] == ["rtp-1"] * 4
                near.kill("rtp-1")
                calls = [caller.call() for _ in range(3)]
                assert {call.node() for call in calls} == {"rtp"}  # far-rtp without its host
                for call in calls:
                    call.talk(20)
                near.rpc("record.start", call=calls[0].call)
                calls[0].talk(5)
                assert near.manifests() == {}
                assert {event["call"] for event in near.events("recording.failed")} == {calls[0].call}
                calls[0].delete()
                told = counted(near, calls[0])
                assert (told["node"], told["a_packets"], told["b_packets"]) == ("far-rtp", 25, 25)
