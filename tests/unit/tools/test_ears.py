"""ks-ears without sockets: what lines mean, what a leg tells, what is kept for learning."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.ears import Library
from callcore.ears_tones import ToneSet
from callcore.ears_verdict import HangupReason, Heard, Verdict
from tests.support.ears_process import packet
from tests.support.ears_sounds import FRAME, RATE, Samples, Speaker, cadence, sentence, silence
from tools.ears import protocol, spool
from tools.ears.leg import KEEP_SECONDS, Leg
from tools.ears.protocol import Answered, BadRequest, Failed, Listen, Ping, Stop, parse
from tools.ears.spool import UnknownSpool

CALL = "01980000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("table", "request_"),
    [
        ({"op": "ping"}, Ping()),
        ({"op": "listen", "id": "a"}, Listen(id="a")),
        (
            {
                "op": "listen",
                "id": "a",
                "tenant": 3,
                "tones": "us",
                "number": "1212",
                "answered": True,
                "seconds": 9,
            },
            Listen(id="a", tenant=3, tones="us", number="1212", answered=True, seconds=9),
        ),
        ({"op": "answered", "id": "a"}, Answered(id="a")),
        ({"op": "stop", "id": "a"}, Stop(id="a")),
        ({"op": "stop", "id": "a", "failed": {}}, Stop(id="a", failed=Failed())),
        (
            {"op": "stop", "id": "a", "failed": {"call": CALL, "number": "7495", "code": 404}},
            Stop(id="a", failed=Failed(call=UUID(CALL), number="7495", code=404)),
        ),
    ],
)
def test_lines_mean_requests(table: object, request_: object) -> None:
    assert parse(json.dumps(table).encode()) == request_


@pytest.mark.parametrize(
    "line",
    [
        "",
        "7",
        "{",
        "[]",
        '{"op": "listen"}',
        '{"op": "listen", "id": 7}',
        '{"op": "listen", "id": "a\\n"}',
        '{"op": "listen", "id": "a", "tenant": true}',
        '{"op": "listen", "id": "a", "seconds": 0}',
        '{"op": "listen", "id": "a", "tenant": -1}',
        '{"op": "stop", "id": "a", "failed": 7}',
        '{"op": "stop", "id": "a", "failed": {"call": "x"}}',
        '{"op": "stop", "id": "a", "failed": {"code": 200}}',
        '{"op": "sing", "id": "a"}',
        "[" * 5000,
    ],
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(BadRequest):
        parse(line.encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "failed", "code", "call"]), inner),
    max_leaves=8,
)
TABLES = st.fixed_dictionaries(
    {"op": st.sampled_from(["listen", "stop", "answered"]), "id": st.text()},
    optional={name: VALUES for name in ("tenant", "tones", "seconds", "failed")},
)


@given(st.binary(max_size=200) | TABLES.map(lambda table: json.dumps(table).encode()))
def test_any_line_is_a_request_or_refused(line: bytes) -> None:
    try:
        request = parse(line)
    except BadRequest:
        return
    assert isinstance(request, Listen | Answered | Stop | Ping)


def test_a_verdict_is_one_line_of_json() -> None:
    verdict = Verdict(
        heard=Heard.TONE,
        name="busy",
        reason=HangupReason.BUSY,
        final=True,
        at_seconds=1.23456,
        since_seconds=0,
    )
    line = protocol.verdict_line("a\nb", verdict)
    assert line.count(b"\n") == 1
    table = json.loads(line)
    assert (table["op"], table["id"], table["reason"], table["at"], table["final"]) == (
        *("verdict", "a\nb", "busy", 1.235),
        True,
    )


def play(leg: Leg, samples: Samples) -> list[Verdict]:
    samples = np.pad(samples, (0, -len(samples) % FRAME))
    return [
        verdict
        for number in range(len(samples) // FRAME)
        for verdict in leg.packet(
            packet(samples[number * FRAME : (number + 1) * FRAME], number), number * 0.02
        )
    ]


def new_leg(tone_sets: dict[str, ToneSet], answered: bool = False) -> Leg:
    return Leg(Library(), [tone_sets["ru"]], answered=answered, now=0.0, seconds=60)


def test_what_nobody_knows_is_kept_from_its_beginning(
    speaker: Speaker, tone_sets: dict[str, ToneSet]
) -> None:
    speech = speaker.say(sentence("ru", "long", 45), "ru")
    assert len(speech) > KEEP_SECONDS * RATE
    leg = new_leg(tone_sets)
    assert play(leg, speech) == []
    kept = leg.unknown_early_media()
    assert kept is not None
    assert KEEP_SECONDS * RATE <= len(kept) < (KEEP_SECONDS + 1) * RATE


def test_nothing_is_kept_of_what_is_known_short_or_answered(
    speaker: Speaker, tone_sets: dict[str, ToneSet]
) -> None:
    speech = speaker.say(sentence("ru", "long", 45), "ru")
    busy, short, answered = (new_leg(tone_sets) for _ in range(3))
    assert [one.name for one in play(busy, cadence(5, [425], [(0.35, 0.35)]))] == ["busy"]
    assert busy.done
    play(short, speech[:RATE])
    play(answered, speech[: 4 * RATE])
    answered.answered()
    assert [leg.unknown_early_media() for leg in (busy, short, answered)] == [None, None, None]


def test_silence_without_packets_is_noticed_by_the_clock(
    speaker: Speaker, tone_sets: dict[str, ToneSet]
) -> None:
    leg = new_leg(tone_sets, answered=True)
    hello = np.concatenate([silence(0.3), speaker.say("Hello", "en-us")])
    assert play(leg, hello) == []
    told = [verdict for tick in range(40) for verdict in leg.tick(len(hello) / RATE + tick * 0.1)]
    assert [one.heard for one in told] == [Heard.HUMAN]


def test_the_spool_keeps_what_fits_and_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST_FILES", 2)
    folder = UnknownSpool(tmp_path)
    sound = cadence(2, [425], [(0.3, 0.3)])
    failed = Failed(call=UUID(CALL), number="7495", code=404)
    assert [folder.put(3, sound, failed) for _ in range(3)] == [True, True, False]
    (path, media), _ = folder.waiting()
    assert media is not None
    assert (media.tenant_id, media.call_id, media.number, media.code) == (3, UUID(CALL), "7495", 404)
    assert str(media.early_media_id) == path.stem
    assert len(media.samples) == len(sound)
    path.write_text("{torn")
    assert dict(folder.waiting())[path] is None
