"""Whether media is relayed, decided per leg."""

from __future__ import annotations

import pytest

from kemi.media_policy import offer_flags, relay_wanted


@pytest.mark.parametrize(
    ("caller_nat", "callee_nat", "modes", "expected"),
    [
        (False, False, ("auto", "auto"), False),
        (True, False, ("auto", "auto"), True),
        (False, True, ("auto", "auto"), True),
        (True, True, ("never", "always"), False),
        (False, False, ("always", "never"), True),
        (False, False, ("auto", "always"), True),
        (True, False, ("auto", "never"), False),
    ],
)
def test_the_first_mode_that_is_not_auto_decides(
    caller_nat: bool, callee_nat: bool, modes: tuple[str, ...], expected: bool
) -> None:
    assert relay_wanted(caller_nat=caller_nat, callee_nat=callee_nat, modes=modes) is expected


def test_the_sdp_address_is_believed_only_without_nat() -> None:
    assert "r" in offer_flags(sender_nat=False)
    assert "r" not in offer_flags(sender_nat=True)
