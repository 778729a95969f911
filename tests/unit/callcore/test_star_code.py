"""What a dialled code means."""

from __future__ import annotations

import pytest

from callcore.star_code import ARGUMENTS, CODE, DEFAULT_CODES, Dialled, StarAction, codes_of, read, slot_of


@pytest.mark.parametrize(
    ("dialled", "meaning"),
    [
        ("*78", Dialled(StarAction.DND_ON)),
        ("*78#", Dialled(StarAction.DND_ON)),
        ("*7279161234567", Dialled(StarAction.FORWARD_ALWAYS, "79161234567")),
        ("*72*79161234567#", Dialled(StarAction.FORWARD_ALWAYS, "79161234567")),
        ("*8", Dialled(StarAction.PICKUP_GROUP)),
        ("*8079161234567", Dialled(StarAction.UNBLOCK, "79161234567")),
        ("**101", Dialled(StarAction.PICKUP, "101")),
        ("*05", Dialled(StarAction.SPEED_CALL, "5")),
        ("*755*102", Dialled(StarAction.SPEED_SET, "5*102")),
        ("#31", Dialled(StarAction.HIDE_OFF)),
        ("*67101", Dialled(StarAction.HIDE_ONCE, "101")),
        ("*72", None),
        ("*785", None),
        ("*", None),
        ("*55", None),
    ],
)
def test_default_codes(dialled: str, meaning: Dialled | None) -> None:
    assert read(dialled, DEFAULT_CODES) == meaning


def test_a_tenant_changes_and_switches_off_codes() -> None:
    codes = codes_of({StarAction.DND_ON: "#1", StarAction.DND_OFF: ""})
    assert read("#1", codes) == Dialled(StarAction.DND_ON)
    assert read("*78", codes) is None
    assert read("*79", codes) is None


def test_every_action_has_one_code_of_good_form() -> None:
    assert set(DEFAULT_CODES) == set(StarAction)
    assert len(set(DEFAULT_CODES.values())) == len(StarAction)
    assert all(CODE.fullmatch(code) for code in DEFAULT_CODES.values())


def test_no_code_is_swallowed_by_another_with_an_argument() -> None:
    for action, code in DEFAULT_CODES.items():
        if action not in ARGUMENTS:
            assert read(code, DEFAULT_CODES) == Dialled(action)


def test_slot_and_number() -> None:
    assert slot_of("5*102") == ("5", "102")
    with pytest.raises(ValueError, match="102"):
        slot_of("102")
