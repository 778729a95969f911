"""Who may ring an account, and where its calls go instead."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from callcore.account_service import (
    AccountServices,
    Caller,
    Forward,
    ForwardCondition,
    ForwardKind,
    ForwardPolicy,
    ForwardTo,
    HuntGroup,
    HuntMode,
    Refuse,
    Ring,
    in_group,
    matches,
    on_arrival,
    on_failure,
)

ANNA = Caller("74951234567")
HIDDEN = Caller("anonymous", hidden=True)
MOBILE = Forward(ForwardKind.NUMBER, "79160000000")
DESK = Forward(ForwardKind.ACCOUNT, "102")


def services(**settings: Any) -> AccountServices:
    return AccountServices(**settings)


def test_without_services_the_phones_ring() -> None:
    assert on_arrival(services(), ANNA) == Ring()


def test_always_forwards_before_anything_rings() -> None:
    own = services(forwards={ForwardCondition.ALWAYS: MOBILE}, do_not_disturb=True)
    assert on_arrival(own, ANNA) == ForwardTo(ForwardCondition.ALWAYS, MOBILE)


def test_do_not_disturb_is_busy_for_forwarding_and_480_without_one() -> None:
    assert on_arrival(services(do_not_disturb=True), ANNA) == Refuse(480, "Do Not Disturb")
    own = services(do_not_disturb=True, forwards={ForwardCondition.BUSY: DESK})
    assert on_arrival(own, ANNA) == ForwardTo(ForwardCondition.BUSY, DESK)


def test_white_list_passes_do_not_disturb_and_black_list() -> None:
    own = services(do_not_disturb=True, white=("7495*",), black=("74951234567",))
    assert on_arrival(own, ANNA) == Ring()
    assert on_arrival(own, Caller("79991112233")) == Refuse(480, "Do Not Disturb")


def test_a_hidden_caller_is_on_no_list() -> None:
    own = services(do_not_disturb=True, white=("*",))
    assert on_arrival(own, HIDDEN) == Refuse(480, "Do Not Disturb")
    assert on_arrival(services(black=("*",)), HIDDEN) == Ring()


def test_anonymous_rejection_is_433() -> None:
    own = services(reject_anonymous=True, forwards={ForwardCondition.ALWAYS: MOBILE})
    assert on_arrival(own, HIDDEN) == Refuse(433, "Anonymity Disallowed")
    assert on_arrival(own, ANNA) == ForwardTo(ForwardCondition.ALWAYS, MOBILE)


@pytest.mark.parametrize("own", [services(black=("+7495123*",)), services(only_white=True, white=("101",))])
def test_callers_who_are_not_wanted_get_603(own: AccountServices) -> None:
    assert on_arrival(own, ANNA) == Refuse(603, "Decline")


def test_the_ringing_is_as_long_as_the_forwarding_says() -> None:
    waiting = Forward(ForwardKind.QUEUE, "sales", 7)
    assert on_arrival(services(forwards={ForwardCondition.NO_ANSWER: waiting}), ANNA) == Ring(7)


@pytest.mark.parametrize(
    ("code", "silent", "alerted", "condition"),
    [
        (486, False, True, ForwardCondition.BUSY),
        (600, False, False, ForwardCondition.BUSY),
        (408, True, True, ForwardCondition.NO_ANSWER),
        (480, False, True, ForwardCondition.NO_ANSWER),
        (408, True, False, ForwardCondition.UNREACHABLE),
        (480, False, False, ForwardCondition.UNREACHABLE),
        (503, False, False, ForwardCondition.UNREACHABLE),
    ],
)
def test_what_a_failure_means(code: int, silent: bool, alerted: bool, condition: ForwardCondition) -> None:
    every = services(forwards={each: Forward(ForwardKind.QUEUE, each.value) for each in ForwardCondition})
    found = on_failure(every, code, silent=silent, alerted=alerted)
    assert found == ForwardTo(condition, Forward(ForwardKind.QUEUE, condition.value))
    alone = services(forwards={ForwardCondition.ALWAYS: MOBILE})
    assert on_failure(alone, code, silent=silent, alerted=alerted) is None


@pytest.mark.parametrize("code", [403, 487, 488, 603, 302])
def test_other_answers_are_the_callers(code: int) -> None:
    every = services(forwards={each: MOBILE for each in ForwardCondition})
    assert on_failure(every, code, silent=False, alerted=False) is None


def test_members_of_a_group_ring_unless_they_refuse() -> None:
    assert in_group(None, ANNA)
    assert in_group(services(forwards={ForwardCondition.ALWAYS: MOBILE}), ANNA)
    assert not in_group(services(do_not_disturb=True), ANNA)
    assert not in_group(services(black=("7495*",)), ANNA)


def test_a_plus_does_not_matter_in_lists() -> None:
    assert matches(["+74951234567"], "74951234567")
    assert matches(["7495*"], "+74950000000")
    assert not matches(["7495"], "74950000000")


def test_the_directory_entry_is_read_and_later_kinds_are_left_out() -> None:
    read = AccountServices.from_json(
        {
            "do_not_disturb": True,
            "forwards": {"busy": ["number", "79160000000", None], "eclipse": ["moon", "", None]},
            "black": None,
            "white": ["101"],
            "speed_dial": {"5": "102"},
            "later": 1,
        }
    )
    assert read == services(
        do_not_disturb=True,
        forwards={ForwardCondition.BUSY: MOBILE},
        white=("101",),
        speed_dial={"5": "102"},
    )
    group = HuntGroup.from_json(
        {
            "name": "600",
            "mode": "serial",
            "ring_seconds": 9,
            "members": ["101"],
            "fallback": ["queue", "sales"],
        }
    )
    assert group == HuntGroup(
        name="600",
        mode=HuntMode.SERIAL,
        ring_seconds=9,
        members=("101",),
        fallback=Forward(ForwardKind.QUEUE, "sales"),
    )


def test_a_price_cap_takes_only_what_is_known_to_be_cheap() -> None:
    assert ForwardPolicy().allows(None)
    capped = ForwardPolicy(max_cost=Decimal("3"))
    assert [capped.allows(cost) for cost in (Decimal("3"), Decimal("3.01"), None)] == [True, False, False]
