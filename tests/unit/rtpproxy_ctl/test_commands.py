"""Commands to text and back; the error numbers are those that rtp.io 1.1.1 answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpproxy_ctl import protocol as p
from rtpproxy_ctl.protocol import BadCommand, parse_command

WORD = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=20).filter(
    lambda text: "&&" not in text and not any(character.isspace() for character in text)
)
MAYBE = st.one_of(st.just(""), WORD)
PORT = st.integers(0, 65535)
ADDRESS = st.sampled_from(["127.0.0.1", "0.0.0.0", "2001:db8::1", "host.example"])
MEDIA = st.builds(
    p.Media,
    flags=st.text("aeisw6n", max_size=3),
    codecs=st.lists(st.integers(0, 127), max_size=4).map(tuple),
    ptime_ms=st.one_of(st.none(), st.integers(1, 999)),
    local=st.sampled_from(["", "127.0.0.1", "[2001:db8::1]", "{RTQ:0x12}"]),
    remote=st.sampled_from(["", "127.0.0.1"]),
)
SUBS = st.lists(
    st.one_of(
        st.builds(p.ModuleCall, st.just("3:1"), st.lists(WORD, max_size=3).map(tuple)),
        st.builds(p.OtherSide, ADDRESS, PORT, MEDIA),
    ),
    max_size=2,
).map(tuple)
NOTIFY = st.one_of(st.none(), st.builds(p.Notify, WORD, WORD))
COUNTERS = st.lists(st.sampled_from(p.SESSION_COUNTERS), max_size=4).map(tuple)
COMMANDS = st.one_of(
    st.just(p.Version()),
    st.builds(p.HasCapability, st.integers(0, 99999999)),
    st.builds(p.Counters, st.lists(st.sampled_from(["pps_in", "nsess_created"]), min_size=1).map(tuple)),
    st.builds(p.Info, st.booleans()),
    st.just(p.DeleteAll()),
    st.builds(p.Update, WORD, ADDRESS, PORT, WORD, MAYBE, NOTIFY, MEDIA, SUBS),
    st.builds(p.Lookup, WORD, ADDRESS, PORT, WORD, MAYBE, MEDIA, SUBS),
    st.builds(p.Delete, WORD, WORD, MAYBE, st.booleans()),
    st.builds(p.Play, WORD, WORD, WORD, WORD, MAYBE, st.integers(-1, 99)),
    st.builds(p.StopPlay, WORD, WORD, MAYBE),
    st.builds(p.Record, WORD, WORD, MAYBE, st.booleans()),
    st.builds(p.Copy, WORD, WORD, WORD, MAYBE, st.booleans()),
    st.builds(p.StopRecord, WORD, WORD, MAYBE),
    st.builds(p.Query, WORD, WORD, WORD, COUNTERS, st.booleans()),
    st.builds(p.Query, WORD, WORD, MAYBE, st.just(()), st.booleans()),
)


@given(COMMANDS)
def test_every_command_comes_back_as_it_was(command: p.AnyCommand) -> None:
    assert parse_command(command.encode()) == command


@given(st.text(max_size=300))
def test_any_text_is_a_command_or_is_refused(text: str) -> None:
    try:
        command = parse_command(text)
    except BadCommand:  # which cannot be made with a number that RTPProxy does not have
        return
    assert parse_command(command.encode()) == command


@given(
    st.builds(p.Ports, PORT, st.sampled_from(["", "127.0.0.1", "2001:db8::1"]), st.just(("0", "22 ::1 6")))
)
def test_ports_come_back_as_they_were(ports: p.Ports) -> None:
    assert p.parse_ports(ports.encode()) == ports


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("", 5),
        ("Z", 0),
        ("U", 1),
        ("V x", 1),
        ("VF", 1),
        ("Vx", 2),
        ("Uq h 1.1.1.1 1 F", 35),
        ("Uf h 1.1.1.1 1 F", 35),
        ("U h 1.1.1.1 abc F", 37),
        ("Uz0 h 1.1.1.1 1 F", 13),
        ("Uc h 1.1.1.1 1 F", 14),
        ("Ul h 1.1.1.1 1 F", 15),
        ("Urx h 1.1.1.1 1 F", 16),
        ("U h 1.1.1.1 1 F && Z", 3),
        ("D h F T && M3:1 x", 3),
        ("Px h /x session F T", 17),
        ("P h a F", 1),
        ("Rx h F", 7),
        ("Ds h F", 8),
        ("I x", 1),
        ("Ix", 18),
        ("Qx h F T", 19),
        ("Qv h F T foo", 62),
        ("X1", 2),
        ("X 1", 1),
        ("U h 1.1.1.1 1 F " + "x" * 9000, 1),
    ],
)
def test_what_cannot_be_understood_gets_the_number_that_rtpproxy_gives(line: str, number: int) -> None:
    with pytest.raises(BadCommand) as caught:
        parse_command(line)
    assert caught.value.number == number


def test_what_kamailio_sends_is_understood() -> None:
    assert parse_command("Uc0,101 cid;x 10.0.0.1 4000 F;1") == p.Update(
        "cid;x", "10.0.0.1", 4000, "F;1", media=p.Media(codecs=(0, 101))
    )
    assert parse_command("Lc0,101 cid 10.0.0.2 4002 F;1 T;1") == p.Lookup(
        "cid", "10.0.0.2", 4002, "F;1", "T;1", p.Media(codecs=(0, 101))
    )
    assert parse_command("D cid F ") == p.Delete("cid", "F")


def test_a_single_shot_is_understood() -> None:
    line = "Uc0,101z20 h 10.0.0.1 4000 A B tcp:127.0.0.1:9 tag && M3:1 dt 101 && Lc0,101z20 0.0.0.0 0"
    media = p.Media(codecs=(0, 101), ptime_ms=20)
    more = (p.ModuleCall("3:1", ("dt", "101")), p.OtherSide("0.0.0.0", 0, media))
    notify = p.Notify("tcp:127.0.0.1:9", "tag")
    assert parse_command(line) == p.Update("h", "10.0.0.1", 4000, "A", "B", notify, media, more)


def test_counters_of_a_session_are_read_in_both_forms() -> None:
    assert p.parse_counters("3600 1 2 3 0") == {
        "ttl": 3600,
        "npkts_ina": 1,
        "npkts_ino": 2,
        "nrelayed": 3,
        "ndropped": 0,
    }
    assert p.parse_counters("ttl=5 rtpa_jmax=1.5") == {"ttl": 5, "rtpa_jmax": 1.5}
    with pytest.raises(p.BadReply):
        p.parse_counters("ttl=x")


@pytest.mark.parametrize("text", ["", "x", "70000", "1 2 3 4", "-1"])
def test_a_reply_without_port_is_refused(text: str) -> None:
    with pytest.raises(p.BadReply):
        p.parse_ports(text)
