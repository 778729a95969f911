"""What the proxy does after an answer of the ACD."""

from __future__ import annotations

import pytest

from kemi.ks_acd.model import AcdAction, MediaHost, QueueCall, Stage
from kemi.ks_acd.steps import Leave, Nothing, RingAgent, Step, ToHost, step_of


def action(kind: str, **data: object) -> AcdAction:
    return AcdAction(kind=kind, entry_id=3, offer_id=4, data=data)


CASES: list[tuple[AcdAction, Step]] = [
    (
        action("offer_agent", to_kind="account", to="201", ring_seconds=15, agent_name="eve"),
        RingAgent(3, 4, "account", "201", 15, "eve"),
    ),
    (action("offer_agent", to="201"), RingAgent(3, 4, "account", "201", 20)),
    (
        action("wait", hosts=[{"name": "m1", "address": "udp:127.0.0.1:5070"}]),
        ToHost(3, (MediaHost("m1", "udp:127.0.0.1:5070"),)),
    ),
    (action("wait"), ToHost(3)),
    (
        action("leave", reason="full", to_kind=None),
        Leave("full", None, "", "", 486, "Queue Full"),
    ),
    (
        action("leave", reason="timeout", to_kind="account", to="900", announcement="sorry"),
        Leave("timeout", "account", "900", "sorry", 480, "Temporarily Unavailable"),
    ),
    (action("none"), Nothing()),
    (action("ended", end_reason="abandoned"), Nothing()),
    # Nothing that a proxy could do: a media host asks again, and the caller stays.
    (action("dial", number="1"), ToHost(3)),
]


@pytest.mark.parametrize(("given", "step"), CASES, ids=[given.kind for given, _ in CASES])
def test_each_action_has_its_step(given: AcdAction, step: Step) -> None:
    assert step_of([given]) == step


def test_the_last_action_counts() -> None:
    assert step_of([action("cancel_offer"), action("ended")]) == Nothing()
    assert isinstance(step_of([action("cancel_offer"), action("leave", reason="exit_key")]), Leave)
    assert step_of([]) == Nothing()


def test_a_queue_call_is_read_back_as_it_was_written() -> None:
    call = QueueCall(1, 2, "sales", "100").ringing(3, 4, 5)
    assert QueueCall.from_list(call.to_list()) == call
    assert call.hosted(9) == QueueCall(1, 2, "sales", "100", Stage.HOSTED, 9)
