"""Orders to record go to every controller of the host; one that is down hinders nothing."""

from __future__ import annotations

from typing import Any

import pytest

from callcore.errors import Unavailable
from kalibri.config import Config
from kalibri.services import recording_control
from kalibri.services.recording_control import Ask, NotRecorded, Ordered

CALL = "0198f000-0000-7000-8000-000000000001"


def controllers(**answers: list[str] | None) -> tuple[Ask, list[tuple[str, str, dict[str, Any]]]]:
    """Answer for each controller; None: it is down."""
    asked: list[tuple[str, str, dict[str, Any]]] = []

    def ask(name: str, method: str, params: dict[str, Any]) -> Any:
        asked.append((name, method, params))
        recordings = answers[name.replace("-", "")]
        if recordings is None:
            raise Unavailable("down")
        return {"recordings": recordings}

    return ask, asked


def test_a_start_goes_to_both_and_one_has_the_call() -> None:
    ask, asked = controllers(rtpc1=["r1"], rtpc2=[])
    assert recording_control.start(Config(), call=CALL, tenant=3, a="1", b="2", ask=ask) == Ordered(
        call=CALL, recordings=("r1",)
    )
    assert [name for name, _, _ in asked] == ["rtpc-1", "rtpc-2"]
    assert asked[0][1:] == (
        "record.start",
        {"call": CALL, "by": "demand", "tenant": 3, "a": "1", "b": "2"},
    )


def test_a_start_before_the_media_waits() -> None:
    ask, _ = controllers(rtpc1=[], rtpc2=None)
    assert recording_control.start(Config(), call=CALL, ask=ask).waiting


@pytest.mark.parametrize("verb", ["stop", "pause", "resume"])
def test_a_change_finds_the_recording_or_says_that_there_is_none(verb: str) -> None:
    order = getattr(recording_control, verb)
    ask, asked = controllers(rtpc1=None, rtpc2=["r1"])
    assert order(Config(), call=CALL, by="api", ask=ask).recordings == ("r1",)
    assert asked[1] == ("rtpc-2", f"record.{verb}", {"call": CALL, "by": "api"})
    ask, _ = controllers(rtpc1=[], rtpc2=[])
    with pytest.raises(NotRecorded):
        order(Config(), call=CALL, ask=ask)


def test_no_controller_at_all_is_an_error() -> None:
    ask, _ = controllers(rtpc1=None, rtpc2=None)
    with pytest.raises(Unavailable):
        recording_control.start(Config(), call=CALL, ask=ask)
