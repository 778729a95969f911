"""A campaign hears what carriers of SIPp say: tones and messages before the answer, machines and people after it.

Every process is real, ks-ears too: what is said reaches it as the copy that an RTP node makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from callcore.ears_verdict import HangupReason
from callcore.g711 import alaw_encode
from kalibri import db
from kalibri.services import early_media
from tests.scenarios.campaign_dials_everybody_once.conftest import outcomes, tuple_rows
from tests.support.call_centre import CallCentre, install_music
from tests.support.dial_field import DialField
from tests.support.dialled_people import install_prompts
from tests.support.ears_process import Asker
from tests.support.ears_sounds import Samples, Speaker, cadence, sentence, silence, tone
from tests.support.fix_call_centre import LIVE
from tests.support.fix_carriers import Carriers
from tests.support.fix_switch import made_switch
from tests.support.net_loop import NetLoop
from tests.support.sipp import SippRun
from tests.support.switch import Switch

SETTINGS = {**LIVE, "media.hosts": 1, "rtp.nodes": 1, "ears.enabled": True}
#: Longer than any machine needs to be told from a person.
MESSAGE_SECONDS = 30.0
PATIENCE = 120.0

StartSipp = Callable[..., SippRun]


@pytest.fixture(scope="module")
def switch(_swept: None) -> Iterator[Switch]:
    """An instance with ks-ears and a message."""
    for made in made_switch(SETTINGS, ()):
        install_prompts(made, "sale", seconds=MESSAGE_SECONDS)
        install_music(made)
        yield made


@pytest.fixture
def field(switch: Switch) -> Iterator[DialField]:
    with switch.connect() as conn:
        yield DialField(tuple_rows(conn), tenant=switch.tenant_id)


@pytest.fixture
def carriers(switch: Switch, net_loop: NetLoop) -> Iterator[Carriers]:
    made = Carriers(switch, net_loop)
    yield made
    made.close()


class Network:
    """Carriers of SIPp, one number each."""

    def __init__(self, carriers: Carriers, sipp: StartSipp, folder: Path) -> None:
        self._carriers, self._sipp, self._folder = carriers, sipp, folder
        #: Number → its carrier.
        self.runs: dict[str, SippRun] = {}

    def add(self, number: str, scenario: str, sound: Samples | None = None, **params: str | int) -> None:
        """Let a SIPp take one call for a number; sound: what it says."""
        if sound is not None:
            file = self._folder / f"{number}.alaw"
            file.write_bytes(alaw_encode(sound).tobytes())
            params["audio"] = str(file)
        run = self.runs[number] = self._sipp(scenario, timeout=PATIENCE, **params)
        self._carriers.add_gateway(f"sipp{number}", run.port, probe=False)
        self._carriers.switch.add_route(f"^{number}$", f"gateway:sipp{number}", priority=float(number[-4:]))

    def live(self) -> None:
        """Let the proxy know them."""
        self._carriers.switch.save()

    def wait(self) -> None:
        """Wait until each has had its call, as its scenario has it."""
        for run in self.runs.values():
            run.wait()


@pytest.fixture
def centre(switch: Switch, net_loop: NetLoop) -> Iterator[CallCentre]:
    made = CallCentre(switch, net_loop)
    yield made
    made.close()


@pytest.fixture
def network(carriers: Carriers, sipp: StartSipp, tmp_path: Path) -> Network:
    return Network(carriers, sipp, tmp_path)


def wait_settled(switch: Switch, field: DialField, campaign: int, number: int) -> dict[str, str]:
    switch.wait(lambda: len(outcomes(field, campaign)) == number, PATIENCE, "all are settled")
    return outcomes(field, campaign)


def test_tones_machines_and_people(
    switch: Switch, field: DialField, network: Network, speaker: Speaker
) -> None:
    greeting = speaker.say("Please leave a message after the tone.", "en-us")
    mailbox = np.concatenate([silence(0.3), greeting, silence(0.3), tone(0.5, 1000), silence(5)])
    hello = np.concatenate([silence(0.3), speaker.say("Hello", "en-us"), silence(5)])
    engaged, voice_mail, person, silent, away, refuses = (f"7770000{serial}" for serial in range(2001, 2007))
    network.add(engaged, "uas_early", cadence(12, [425], [(0.35, 0.35)]))
    network.add(voice_mail, "uas_say", mailbox)
    network.add(person, "uas_say_bye", hello, talk_ms=6000)
    network.add(silent, "uas_say_bye", silence(7), talk_ms=6000)
    network.add(away, "uas_ring")
    network.add(refuses, "uas_reject", code=486, reason="Busy Here")
    network.live()
    sale = field.campaign(leads=list(network.runs), ring_seconds=15)
    assert wait_settled(switch, field, sale, 6) == {
        engaged: "busy",
        voice_mail: "machine",
        person: "answered",
        silent: "answered",
        away: "no_answer",
        refuses: "busy",
    }
    network.wait()
    facts = {attempt["number"]: attempt["facts"] for attempt in field.attempts(sale)}
    assert (facts[engaged]["verdict"], facts[engaged]["answered"]) == ("busy", False)
    assert (facts[voice_mail]["verdict"], facts[voice_mail]["answered"]) == ("machine", True)
    assert facts[voice_mail]["heard_ms"] < MESSAGE_SECONDS * 1000, "nobody talks to a machine"
    assert facts[person]["verdict"] == "human"
    assert facts[silent]["verdict"] in ("", "human"), "whatever is doubtful is a human"
    field.check()


def test_a_message_that_was_labelled_once_ends_the_next_dial_before_its_answer(
    switch: Switch, field: DialField, network: Network, speaker: Speaker
) -> None:
    message = np.concatenate([silence(0.3), speaker.say(sentence("ru", "operator", 9), "ru"), silence(0.4)])
    first, second = "77700003001", "77700003002"
    network.add(first, "uas_early_reject", message, ring_ms=len(message) // 8, code=480, reason="Gone")
    network.add(second, "uas_early", np.concatenate([message, silence(0.5), message]))
    network.live()
    before = field.campaign("before", leads=[first], ring_seconds=60)
    assert wait_settled(switch, field, before, 1) == {first: "no_answer"}, "nobody knows the message yet"
    with db.connect_tool(switch.config, application_name="test") as conn:
        (cluster,) = switch.wait(
            lambda: early_media.list_clusters(conn, tenant_id=switch.tenant_id), PATIENCE, "a cluster"
        )
        (call,) = early_media.cluster_calls(conn, cluster_id=cluster.cluster_id)
        assert (call.number, call.code) == (first, 480)
        ids = {"cluster_id": cluster.cluster_id, "name": "vacant", "reason": HangupReason.NOT_EXISTING}
        early_media.label(conn, switch.config, **ids)
    asker = Asker(switch.config.ears_socket)
    switch.wait(lambda: "1 recordings known" in asker.detail(), PATIENCE, "ks-ears knows it")
    asker.close()
    after = field.campaign("after", leads=[second], ring_seconds=60)
    assert wait_settled(switch, field, after, 1) == {second: "invalid"}
    network.wait()
    (attempt,) = field.attempts(after)
    assert (attempt["facts"]["verdict"], attempt["facts"]["answered"]) == ("not_existing", False)
    assert field.leads(after)[0]["result"] == "no_number"


def test_an_agent_is_freed_when_early_media_says_that_nobody_will_answer(
    switch: Switch, field: DialField, network: Network, centre: CallCentre
) -> None:
    engaged = "77700004001"
    network.add(engaged, "uas_early", cadence(12, [425], [(0.35, 0.35)]))
    eve = centre.agent()
    sales = centre.queue([eve], wrapup_seconds=0)
    values = {"mode": "agent_first", "prompt": "", "reading_seconds": 1, "agent_ring_seconds": 20}
    sale = field.campaign("first", leads=[engaged], queue_id=sales.queue_id, ring_seconds=90, **values)
    desk = eve.call().wait_answered()
    desk.wait_ended(60)
    eve.wait("free")
    assert wait_settled(switch, field, sale, 1) == {engaged: "busy"}
    network.wait()
    (attempt,) = field.attempts(sale)
    assert attempt["facts"]["verdict"] == "busy"
    assert field.leads(sale)[0]["attempts"] == 1
