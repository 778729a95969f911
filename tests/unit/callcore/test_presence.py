"""Documents that watchers of a line get."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from callcore.presence import Line, LineState, dialog_info, pidf

INFO = "{urn:ietf:params:xml:ns:dialog-info}"
RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"


def test_dialog_info_is_the_whole_state() -> None:
    lines = {
        "c1": Line(LineState.EARLY, "recipient", "7495&1"),
        "c2": Line(LineState.CONFIRMED, "initiator", "102"),
    }
    top = ElementTree.fromstring(
        dialog_info("sip:101@demo.test", lines, version=3, host="demo.test").encode()
    )
    assert (top.get("version"), top.get("state"), top.get("entity")) == ("3", "full", "sip:101@demo.test")
    told = [
        (each.get("id"), each.findtext(f"{INFO}state"), each.findtext(f"{INFO}remote/{INFO}identity"))
        for each in top
    ]
    assert told == [("c1", "early", "sip:7495&1@demo.test"), ("c2", "confirmed", "sip:102@demo.test")]
    empty = dialog_info("sip:101@demo.test", {}, version=0, host="demo.test")
    assert len(ElementTree.fromstring(empty.encode())) == 0


@pytest.mark.parametrize(
    ("registered", "talks", "agent", "basic", "activity"),
    [
        (True, False, "", "open", None),
        (False, False, "", "closed", None),
        (True, True, "", "open", "on-the-phone"),
        (True, False, "ringing", "open", "on-the-phone"),
        (True, False, "paused", "open", "away"),
        (True, False, "wrapup", "open", "busy"),
        (True, False, "free", "open", None),
    ],
)
def test_presence(registered: bool, talks: bool, agent: str, basic: str, activity: str | None) -> None:
    text = pidf("sip:101@demo.test", registered=registered, talks=talks, agent=agent)
    top = ElementTree.fromstring(text.encode())
    activities = top.find(f".//{RPID}activities")
    assert top.findtext(".//{urn:ietf:params:xml:ns:pidf}basic") == basic
    found = None if activities is None else activities[0].tag.removeprefix(RPID)
    assert found == activity
    assert (f"agent: {agent}" in text) == bool(agent)


def test_a_line_survives_json() -> None:
    line = Line(LineState.TRYING, "initiator", "102")
    assert Line.from_list(line.to_list()) == line
