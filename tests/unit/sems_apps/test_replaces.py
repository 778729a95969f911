"""Reading Replaces (RFC 3891): who wants to take over which dialog."""

from __future__ import annotations

import pytest

from sems_apps.host.sip_leg_facts import Replaced, read_replaces


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("c@h;to-tag=t;from-tag=f", Replaced("c@h", "t", "f")),
        (" c@h ; From-Tag=f ; to-tag = t ", Replaced("c@h", "t", "f")),
        ("c@h;to-tag=t;from-tag=f;early-only", Replaced("c@h", "t", "f", early_only=True)),
        ("c@h;to-tag=t", None),
        (";to-tag=t;from-tag=f", None),
        ("", None),
    ],
)
def test_a_dialog_is_named_by_all_three(text: str, expected: Replaced | None) -> None:
    assert read_replaces(text) == expected
