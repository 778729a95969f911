"""A route says `record`: the controller records both sides frame by frame, marks holds, and keeps pauses out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kalibri.services import recording_control
from kalibri.services.recording_control import NotRecorded
from tests.support.fix_carriers import Carriers
from tests.support.net_loop import NetLoop
from tests.support.pcap import rtp_by_port
from tests.support.rtp_peer import RtpPacket, compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

FRAMES = 50


def manifest_of(switch: Switch, call_id: str) -> list[dict[str, Any]]:
    """Return the lines of the manifest of a call's recording, [] if there is none yet."""
    for path in switch.config.rtp_manifest_directory.glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        if lines and lines[0]["call"] == call_id:
            return lines
    return []


def talk(call: Call, other: Call, seed: int) -> tuple[list[bytes], list[bytes]]:
    """Play one second both ways; return what was sent when all of it has arrived."""
    sent = known_payload(FRAMES / 50, seed), known_payload(FRAMES / 50, seed + 1)
    heard = len(other.media.received), len(call.media.received)
    call.media.play(sent[0])
    other.media.play(sent[1])
    other.media.wait_received(heard[0] + FRAMES)
    call.media.wait_received(heard[1] + FRAMES)
    return sent


def recorded(lines: list[dict[str, Any]]) -> dict[str, list[RtpPacket]]:
    """Return the packets of all segments by side."""
    folder = Path(lines[0]["final_dir"])
    ports = {line["local_port"]: line["side"] for line in lines if line["kind"] == "side"}
    packets: dict[str, list[RtpPacket]] = {"caller": [], "callee": []}
    for line in lines:
        if line["kind"] == "segment":
            for port, found in rtp_by_port(folder / line["file"]).items():
                packets[ports[port]] += found
    return packets


def test_every_frame_of_both_sides(switch: Switch, carriers: Carriers, net_loop: NetLoop) -> None:
    carrier = carriers.add("recorded-out", media=True, plan=Plan.answer())
    switch.add_route("^84777", "gateway:recorded-out", priority=30, options={"record": True})
    switch.save()
    with switch.phone(net_loop, "100", media=True) as alice:
        alice.register()
        call = alice.call("sip:8477700001@demo.test")
        other = carrier.wait_call().wait_answered()
        (row,) = switch.wait(lambda: switch.call_rows(call.call_id), 20, "the call is stored")
        call_id = str(row["call_id"])
        switch.wait(
            lambda: "side" in [line["kind"] for line in manifest_of(switch, call_id)], 10, "recording runs"
        )
        first = talk(call, other, 11)
        assert call.hold().code == 200
        assert call.resume().code == 200
        ordered = recording_control.pause(switch.config, call=call_id)
        assert len(ordered.recordings) == 1
        talk(call, other, 21)  # a card number
        assert recording_control.resume(switch.config, call=call_id) == ordered
        second = talk(call, other, 31)
        call.hang_up()
        other.wait_ended()
        alice.unregister()
    lines = switch.wait(
        lambda: (told := manifest_of(switch, call_id)) and told[-1]["kind"] == "stop" and told,
        20,
        "recording ended",
    )
    assert (lines[0]["by"], lines[0]["tenant"], lines[0]["b"]) == ("route", switch.tenant_id, "8477700001")
    assert lines[-1]["reason"] == "ended"
    kinds = [line["kind"] for line in lines]
    assert [kind for kind in kinds if kind in ("hold", "unhold", "pause", "resume")] == [
        "hold",
        "unhold",
        "pause",
        "resume",
    ]
    packets = recorded(lines)
    for index, side in enumerate(("caller", "callee")):
        sent = [*first[index], *second[index]]
        compare(sent, packets[side]).assert_exact(len(sent) - 2, max_lost=2)
    with pytest.raises(NotRecorded):
        recording_control.stop(switch.config, call=call_id)

    def told() -> list[str]:
        """Return what the story says of the recording; the controller's journal is stored a moment later."""
        kinds = [event["kind"] for event in switch.events(row["call_id"])]
        return [kind for kind in kinds if kind.startswith("recording.")]

    switch.wait(lambda: "recording.stopped" in told(), 20, "the story of the recording")
    assert told() == ["recording.started", "recording.paused", "recording.resumed", "recording.stopped"]
