"""What is told by a call-id, and what a node gets of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpproxy_ctl.controller.ids import handle, session_id, split_tag, tag_handle

CALL = "0198f000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("key", "call", "sip_call_id", "owner"),
    [
        (f"a@b;{CALL}", CALL, "a@b", ""),
        (f"a@b;{CALL.upper()}", CALL, "a@b", ""),
        (f"x;{CALL};{CALL[:-1]}2", CALL[:-1] + "2", f"x;{CALL}", ""),
        (f"media-1:{CALL}:caller", CALL, "", "media-1"),
        (f"media-1:{CALL}:caller;{CALL[:-1]}2", CALL[:-1] + "2", f"media-1:{CALL}:caller", ""),
        ("a@b", "", "a@b", ""),
        ("a@b;branch", "", "a@b;branch", ""),
        (f";{CALL}", "", f";{CALL}", ""),
    ],
)
def test_a_call_id_tells_call_and_owner(key: str, call: str, sip_call_id: str, owner: str) -> None:
    told = session_id(key)
    assert (told.key, told.call, told.sip_call_id, told.owner) == (key, call, sip_call_id, owner)


@given(st.text(max_size=200))
def test_only_hashes_reach_a_node(text: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", handle(text))
    assert re.fullmatch("([0-9a-f]{20}(;[0-9]{1,3})?)?", tag_handle(text))


def test_the_suffix_of_a_stream_stays() -> None:
    assert split_tag("abc;2") == ("abc", ";2")
    assert split_tag("abc") == ("abc", "")
    assert split_tag(";1") == (";1", "")
    assert tag_handle("abc;2") == tag_handle("abc") + ";2"
    assert tag_handle("") == ""
