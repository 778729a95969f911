"""Calls to scenarios without Kamailio: what the media host is told of the caller."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kemi.ks_acd.media_host import read_arg
from kemi.ks_route.model import DestinationKind, RouteRow
from kemi.ks_route.table import RouteTable
from tests.support.fake_proxy import FakeProxy
from tests.support.queue_calls import call, host_headers, queue_proxy


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    """A proxy with media hosts, and a route to a scenario."""
    made = queue_proxy(tmp_path)
    row = RouteRow(
        route_id=1,
        tenant_id=1,
        priority=Decimal(1),
        b_pattern="^5$",
        destination_kind=DestinationKind.IVR,
        destination="reception",
    )
    made.set_routes(RouteTable.from_rows([row]))
    return made


@pytest.mark.parametrize(
    ("pvs", "caller", "name"),
    [
        ({}, "100", "Eve"),
        ({"$hdr(Privacy)": "none"}, "100", "Eve"),
        ({"$hdr(Privacy)": "id"}, "anonymous", "Anonymous"),
    ],
)
def test_a_scenario_is_told_who_calls_unless_he_hides(
    proxy: FakeProxy, pvs: dict[str, Any], caller: str, name: str
) -> None:
    call(proxy, b="5", **{"$fn": '"Eve"', **pvs})
    told = read_arg(dict(line.split(": ", 1) for line in host_headers(proxy))["X-KS-Arg"])
    assert (told["scenario"], told["caller"], told["caller_name"]) == ("reception", caller, name)


@pytest.mark.parametrize(
    ("number", "mailbox", "own"),
    [
        ("*98", "100", "yes"),
        ("*98#", "100", "yes"),
        ("*98100", "100", "yes"),
        ("*98*101", "101", None),
        ("%2A98999", "999", None),
    ],
)
def test_who_dials_voice_mail_is_brought_to_it_and_known_by_his_account(
    proxy: FakeProxy, number: str, mailbox: str, own: str | None
) -> None:
    call(proxy, b=number, **{"$hdr(Privacy)": "id"})
    headers = host_headers(proxy)
    assert "X-KS-App: mailbox" in headers
    [line] = [line for line in headers if line.startswith("X-KS-Arg: ")]
    told = read_arg(line.removeprefix("X-KS-Arg: "))
    assert (told["mailbox"], told.get("own"), told["caller"]) == (mailbox, own, "100")
