"""How a forwarded call tells of itself."""

from __future__ import annotations

import pytest

from callcore.account_service import ForwardCondition
from callcore.diversion import Diversion, count_before, headers

ALWAYS = Diversion("101", ForwardCondition.ALWAYS, "74951111111")
BUSY = Diversion("102", ForwardCondition.BUSY, "", paid=True)


def test_nothing_is_told_of_a_call_that_was_not_forwarded() -> None:
    assert headers((), "demo.test", outside=False, target="sip:x@y") == ()


def test_headers_of_two_forwardings() -> None:
    lines = headers((ALWAYS, BUSY), "demo.test", outside=True, target="sip:79@192.0.2.1:5060;transport=tcp")
    assert lines == (
        "Diversion: <sip:102@demo.test>;reason=user-busy;counter=1",
        "Diversion: <sip:74951111111@demo.test>;reason=unconditional;counter=1",
        "History-Info: <sip:74951111111@demo.test>;index=1, "
        "<sip:102@demo.test?Reason=SIP%3Bcause%3D302>;index=1.1, "
        "<sip:79@192.0.2.1:5060?Reason=SIP%3Bcause%3D486>;index=1.1.1",
    )
    assert "74951111111" not in headers((ALWAYS,), "demo.test", outside=False, target="sip:x@y")[0]


def test_our_own_headers_are_counted_by_the_next_system() -> None:
    *diversions, history = headers((ALWAYS, BUSY), "demo.test", outside=True, target="sip:79@192.0.2.1")
    told = ", ".join(line.partition(": ")[2] for line in diversions)
    assert count_before(told, "") == 2
    assert count_before("", history.partition(": ")[2]) == 2


@pytest.mark.parametrize(
    ("diversion", "history", "count"),
    [
        ("", "", 0),
        ("<sip:1@a>", "", 1),
        ("<sip:1@a>;counter=4, <sip:2@a>;reason=unknown", "", 5),
        ('"Smith, John" <sip:1@a>;counter=2', "", 2),
        ("", "<sip:1@a>;index=1, <sip:2@a;cause=302>;index=1.1", 1),
    ],
)
def test_forwardings_of_others_are_counted(diversion: str, history: str, count: int) -> None:
    assert count_before(diversion, history) == count


def test_a_forwarding_survives_the_state_of_a_call() -> None:
    for entry in (ALWAYS, BUSY):
        assert Diversion.decode(entry.encode()) == entry
