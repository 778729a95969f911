"""What a dial hears: real sippy, RTPProxy and ks-ears; a carrier plays tones, greetings, messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
import pytest

from callcore.ears_verdict import HangupReason
from callcore.g711 import alaw_encode
from kalibri.services import early_media
from kalibri.services import fingerprint as fingerprints
from sems_apps.actions import DialStage, EnterQueue, ReportDial
from sems_apps.dial_order import DialOrder, OnAnswer
from sems_apps.host.ears import EarsClient, verdict_word
from tests.support.builders import make_tenant
from tests.support.ears_process import PATIENCE_SECONDS, Asker, EarsProcess
from tests.support.ears_sounds import Samples, Speaker, cadence, sentence, silence, tone
from tests.support.media_rig import MediaRig, media_rig
from tests.support.rtp_peer import cut_frames
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.waiting import wait_until

NUMBER = "74951234567"


class Reports:
    """Told how dials go."""

    def __init__(self) -> None:
        self.ended: ReportDial | None = None
        self._done = threading.Event()

    def report(self, action: ReportDial) -> None:
        if action.stage is DialStage.ENDED:
            self.ended = action
            self._done.set()

    def forget(self, call: str) -> None:
        """The session is over."""

    def wait(self) -> ReportDial:
        assert self._done.wait(PATIENCE_SECONDS), "the dial does not end"
        assert self.ended is not None
        return self.ended


@pytest.fixture
def ears(pg_dsn: str, tmp_path: Path) -> Iterator[EarsProcess]:
    process = EarsProcess(tmp_path, pg_dsn)
    process.start()
    yield process
    assert process.stop() == 0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[MediaRig]:
    with media_rig(tmp_path) as running:
        yield running


@pytest.fixture
def carrier(rig: MediaRig, make_phone: Callable[..., Phone]) -> Phone:
    phone = make_phone(NUMBER, "kalibri.internal", media=True)
    phone.payload_types = (8, 101)
    rig.route[NUMBER] = phone.address
    return phone


def dial(rig: MediaRig, ears: EarsProcess, *, tenant: int = 1, to_queue: bool = False) -> Reports:
    """Order a dial, as a campaign does."""
    reports = Reports()
    order = DialOrder(
        tenant=tenant,
        attempt=1,
        campaign=1,
        call=str(uuid4()),
        number=NUMBER,
        audio="jazz",
        ring_seconds=PATIENCE_SECONDS,
        on_answer=OnAnswer.QUEUE if to_queue else OnAnswer.SAY,
        abandon_seconds=PATIENCE_SECONDS,
        queue=7,
    )

    def begin() -> None:
        rig.host.dialling = reports
        rig.host.ears = rig.host.ears or EarsClient(rig.loop, ears.socket)
        rig.host.dial(order)

    rig.loop.run_in_loop(begin)
    return reports


def play(carrier: Phone, samples: Samples) -> None:
    """Let the carrier's side of the present call say something."""
    call = carrier.wait_call()
    carrier.wait(lambda: call.media is not None, PATIENCE_SECONDS, "media")
    call.media.play(cut_frames(alaw_encode(samples).tobytes()))


def test_a_busy_tone_before_the_answer_ends_the_dial(
    rig: MediaRig, ears: EarsProcess, carrier: Phone
) -> None:
    carrier.plan = Plan.answer(ring_code=183, early_media=True, final_after=PATIENCE_SECONDS)
    reports = dial(rig, ears)
    play(carrier, cadence(6, [425], [(0.35, 0.35)]))
    ended = reports.wait()
    assert (ended.verdict, ended.answered) == ("busy", False)
    carrier.wait_call().wait_ended()
    assert carrier.requests("CANCEL")
    assert "media.heard" in rig.story.kinds()


def test_ringing_is_waited_for_and_a_person_hears_the_message(
    rig: MediaRig, ears: EarsProcess, carrier: Phone, speaker: Speaker
) -> None:
    carrier.plan = Plan(ring_code=183, early_media=True, manual=True)
    reports = dial(rig, ears)
    call = carrier.wait_call()
    call.ring(183, sdp=True)
    play(carrier, np.concatenate([tone(1, 425), silence(1.5)]))
    call.media.wait_played()
    call.answer()
    play(carrier, np.concatenate([silence(0.3), speaker.say("Hello", "en-us"), silence(3)]))
    ended = reports.wait()
    assert (ended.verdict, ended.answered, ended.heard_all) == ("human", True, True)


def test_a_machine_in_the_queue_is_let_go(
    rig: MediaRig, ears: EarsProcess, carrier: Phone, speaker: Speaker
) -> None:
    carrier.plan = Plan.answer()
    reports = dial(rig, ears, to_queue=True)
    rig.acd.wait_action(EnterQueue)
    greeting = speaker.say("Please leave a message after the tone.", "en-us")
    play(carrier, np.concatenate([silence(0.3), greeting, silence(0.3), tone(0.5, 1000), silence(5)]))
    ended = reports.wait()
    assert (ended.verdict, ended.answered, ended.talked) == ("machine", True, False)
    assert carrier.wait_call().wait_ended().wait_request("BYE")


def test_an_unknown_message_of_a_failed_dial_is_learned_and_ends_the_next_one(
    rig: MediaRig, ears: EarsProcess, carrier: Phone, speaker: Speaker, db: psycopg.Connection
) -> None:
    tenant = make_tenant(db, "acme")
    message = np.concatenate([silence(0.3), speaker.say(sentence("ru", "operator", 9), "ru"), silence(0.4)])
    carrier.plan = Plan(ring_code=183, early_media=True, manual=True)
    reports = dial(rig, ears, tenant=tenant)
    call = carrier.wait_call()
    call.ring(183, sdp=True)
    play(carrier, message)
    call.media.wait_played()
    call.reject(404)
    assert reports.wait().code == 404
    wait_until(lambda: bool(early_media.list_clusters(db, tenant_id=tenant)), "a cluster")
    (cluster,) = early_media.list_clusters(db, tenant_id=tenant)
    (heard,) = early_media.cluster_calls(db, cluster_id=cluster.cluster_id)
    assert (heard.number, heard.code) == (NUMBER, 404)

    fingerprints.store(
        db, tenant_id=tenant, name="gone", reason=HangupReason.NOT_EXISTING, samples=message, tone_sets=()
    )
    asker = Asker(ears.socket)
    wait_until(lambda: "1 recordings known" in asker.detail(), "it is known")
    asker.close()
    reports = dial(rig, ears, tenant=tenant)
    second = carrier.wait_call(2)
    second.ring(183, sdp=True)
    second.media.play(cut_frames(alaw_encode(message).tobytes()))
    ended = reports.wait()
    assert (ended.verdict, ended.answered) == ("not_existing", False)


def test_without_ks_ears_dials_go_on(rig: MediaRig, carrier: Phone, tmp_path: Path) -> None:
    class Nowhere:
        socket = tmp_path / "nobody.sock"

    carrier.plan = Plan.answer()
    reports = dial(rig, Nowhere())  # type: ignore[arg-type]
    ended = reports.wait()
    assert (ended.verdict, ended.heard_all) == ("", True)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ({"heard": "human", "reason": None, "final": False}, "human"),
        ({"heard": "machine", "reason": "voicemail", "final": True}, "machine"),
        ({"heard": "tone", "reason": None, "final": False}, ""),
        ({"heard": "tone", "reason": "busy", "final": True}, "busy"),
        ({"heard": "message", "reason": "changed", "final": False}, ""),
        ({"heard": "message", "reason": "wait", "final": False}, "wait"),
    ],
)
def test_verdicts_are_told_in_the_machines_words(line: dict[str, object], word: str) -> None:
    assert verdict_word(line) == word
