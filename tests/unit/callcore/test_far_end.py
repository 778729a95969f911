"""Who vanished from an agent's conversation is noticed soon, and nobody else is taken for him."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest

from callcore.far_end import PATIENCE_SECONDS, Answer, Ask, End, FarEnds, Side

EVERY = 3.0


def run(
    ends: FarEnds, times: list[float], heard: Callable[[float, str, Side], Answer | None]
) -> list[tuple[float, End]]:
    """Look at these times at one dialog that exists until it is ended; an answer comes only to who was asked."""
    asked: set[Side] = set()
    ended: list[tuple[float, End]] = []

    def answer(now: float, dialog: str, side: Side) -> Answer | None:
        return heard(now, dialog, side) if side in asked else None

    for now in times:
        orders = ends.look(now, [] if ended else ["d"], partial(answer, now))
        asked = {order.side for order in orders if isinstance(order, Ask)}
        ended += [(now, order) for order in orders if isinstance(order, End)]
    return ended


def seconds(last: int) -> list[float]:
    return [1000.0 + n for n in range(last)]


def test_who_answers_is_asked_now_and_then_and_never_ended() -> None:
    ends, asked = FarEnds(EVERY), 0
    for now in seconds(61):
        asked += len(ends.look(now, ["d"], lambda *_: Answer.THERE))
    assert asked == 2 * (60 / EVERY + 1)


@pytest.mark.parametrize("side", list(Side))
def test_who_vanished_is_ended_within_nine_seconds(side: Side) -> None:
    for gone_at in (1005.0, 1006.0, 1007.0, 1008.0):
        ended = run(
            FarEnds(EVERY),
            seconds(40),
            lambda now, _, asked, gone_at=gone_at: (
                Answer.THERE if asked is not side or now < gone_at else None
            ),
        )
        assert [order for _, order in ended] == [End("d", side)]
        # He may have vanished before his last answer was looked for.
        assert PATIENCE_SECONDS - 1 <= ended[0][0] - gone_at <= 8


def test_lost_packets_end_no_call() -> None:
    """One answer of three arrives, for an hour."""
    luck = random.Random(7)
    answers = [luck.random() < 0.7 for _ in range(100)]
    ended = run(
        FarEnds(EVERY), seconds(3600), lambda now, *_: Answer.THERE if answers[int(now) % 100] else None
    )
    assert ended == []


def test_who_knows_the_dialog_no_more_is_gone_at_once() -> None:
    def heard(now: float, _: str, side: Side) -> Answer:
        return Answer.GONE if side is Side.CALLEE and now > 1005 else Answer.THERE

    assert run(FarEnds(EVERY), seconds(20), heard) == [(1007.0, End("d", Side.CALLEE))]


def test_who_never_answers_is_never_ended() -> None:
    assert run(FarEnds(EVERY), seconds(100), lambda *_: None) == []


def test_gateway_that_never_knows_dialogs_of_options_keeps_its_calls() -> None:
    assert run(FarEnds(EVERY), seconds(100), lambda *_: Answer.GONE) == []


def test_who_was_stopped_himself_blames_nobody() -> None:
    """The process that asks stood still for a minute; the answers lie in sockets that nobody has read yet."""
    ends = FarEnds(EVERY)
    for now in seconds(4):
        ends.look(now, ["d"], lambda *_: None)
    assert all(isinstance(order, Ask) for order in ends.look(1060.0, ["d"], lambda *_: None))
    assert ends.look(1061.0, ["d"], lambda *_: Answer.THERE) == []


def test_what_has_ended_is_forgotten() -> None:
    ends = FarEnds(EVERY)
    for now in seconds(6):
        ends.look(now, ["d"], lambda *_: None)
    assert ends.look(1006.0, [], lambda *_: None) == []
    assert ends.look(1007.0, ["d"], lambda *_: None) == [Ask("d", side) for side in Side]
