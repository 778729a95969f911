"""Who decides whether a call is recorded."""

from __future__ import annotations

import pytest

from kemi.recording_choice import why_recorded


@pytest.mark.parametrize(
    ("route", "accounts", "tenant", "reason"),
    [
        (True, (), False, "route"),
        (True, (False,), False, "route"),
        (False, (True, True), True, None),
        (None, (), False, None),
        (None, (), True, "account"),
        (None, (None, None), False, None),
        (None, (None, True), False, "account"),
        (None, (True, False), True, None),
        (None, (False,), True, None),
    ],
)
def test_the_route_decides_then_the_accounts_then_the_tenant(
    route: bool | None, accounts: tuple[bool | None, ...], tenant: bool, reason: str | None
) -> None:
    assert why_recorded(route, accounts, tenant) == reason
