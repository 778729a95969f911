"""Every SIPp scenario against its counterpart, directly and through the tiny Kamailio, read strictly."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import RtpPeer, compare, known_payload
from tests.support.sip_message import parse_message
from tests.support.sip_phone import Phone
from tests.support.sipp import LIBRARY, SippFailed, SippRun
from tests.support.tiny_kamailio import TinyKamailio

Sipp = Callable[..., SippRun]
Params = dict[str, object]

#: Tests that listen to what SIPp says.
LISTENERS = Path(__file__).parents[2] / "scenarios/campaign_hears_who_answers"
PAIRS: list[tuple[str, Params, str, Params]] = [
    ("uac_invite", {}, "uas_answer", {}),
    ("uac_invite", {"calls": 20, "rate": 50}, "uas_answer", {"calls": 20}),
    ("uac_hold", {}, "uas_answer", {}),
    ("uac_update", {}, "uas_answer", {}),
    ("uac_refer", {}, "uas_answer", {}),
    ("uac_request", {"method": "MESSAGE"}, "uas_answer", {}),
    ("uac_wait_bye", {}, "uas_answer_bye", {}),
    ("uac_cancel", {}, "uas_ring", {}),
    ("uac_prack", {}, "uas_prack", {}),
    ("uac_expect", {"code": 486}, "uas_reject", {"code": 486, "reason": "Busy Here"}),
    ("uac_expect", {"code": 302}, "uas_reject", {"code": 302, "headers": ["Contact: <sip:1@other.example>"]}),
    ("uac_message", {"headers": ["X-One: 1", "X-Two: 2"]}, "uas_message", {}),
    ("uac_options", {}, "uas_options", {}),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyKamailio]:
    """A Kamailio that asks for MD5 digest on REGISTER and on calls (SIPp knows no SHA-256)."""
    with TinyKamailio(tmp_path_factory.mktemp("tk"), auth="MD5", auth_calls=True) as proxy:
        yield proxy


def assert_strict(*runs: SippRun) -> None:
    """Fail if a message that went either way breaks a rule."""
    for run in runs:
        for message in run.messages():
            parse_message(message.raw)


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize(("uac", "uac_params", "uas", "uas_params"), PAIRS)
def test_pair_talks_directly(
    sipp: Sipp, transport: str, uac: str, uac_params: Params, uas: str, uas_params: Params
) -> None:
    callee = sipp(uas, user="7", transport=transport, timeout=15, **uas_params)
    caller = sipp(uac, user="7", transport=transport, timeout=15, remote=callee.address, **uac_params)
    caller.wait()
    callee.wait()
    assert_strict(caller, callee)


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize(
    ("uac", "uac_params", "uas", "uas_params"),
    [pair for pair in PAIRS if pair[0] not in ("uac_options", "uac_message")],
)
def test_registered_pair_calls_with_digest(
    sipp: Sipp,
    tiny: TinyKamailio,
    transport: str,
    uac: str,
    uac_params: Params,
    uas: str,
    uas_params: Params,
) -> None:
    login = {"domain": tiny.DOMAIN, "remote": tiny.address, "auth": ("100", tiny.PASSWORD), "timeout": 15}
    callee = sipp(uas, user="101", timeout=15, **uas_params)
    contact = f"{callee.ip}:{callee.port}"
    sipp("uac_register", caller="101", callee="101", contact_host=contact, **login).wait()
    caller = sipp(uac, user="101", transport=transport, **login, **uac_params)
    caller.wait()
    callee.wait()
    assert_strict(caller, callee)


def test_register_and_unregister(sipp: Sipp, tiny: TinyKamailio) -> None:
    login = {"domain": tiny.DOMAIN, "remote": tiny.address, "auth": ("120", tiny.PASSWORD), "timeout": 15}
    nat = sipp("uac_register", caller="120", callee="120", contact_host="192.168.77.10:5060", **login).wait()
    assert b'received="sip:127.0.0.1' in nat.messages()[-1].raw
    gone = sipp(
        "uac_register", caller="120", callee="120", contact_host="192.168.77.10:5060", expires=0, **login
    ).wait()
    assert b"Contact" not in gone.messages()[-1].raw


def test_rows_of_a_csv_are_used_one_after_the_other(sipp: Sipp) -> None:
    callee = sipp("uas_options", calls=3, timeout=15)
    rows = [("201",), ("202",), ("203",)]
    sipp("uac_options", remote=callee.address, rows=rows, calls=3, callee="[field0]", timeout=15).wait()
    assert sorted(item.first_line.split("@")[0] for item in callee.messages() if not item.sent) == [
        "OPTIONS sip:201",
        "OPTIONS sip:202",
        "OPTIONS sip:203",
    ]


def test_failed_call_is_raised_with_the_messages(sipp: Sipp) -> None:
    callee = sipp("uas_reject", code=603, reason="Decline")
    caller = sipp("uac_invite", remote=callee.address, timeout=10)
    with pytest.raises(SippFailed, match=r"unexpected message.*603 Decline"):
        raise_on_one_line(caller)


def raise_on_one_line(run: SippRun) -> None:
    """Wait and raise with line ends removed, so that a pattern can span them."""
    try:
        run.wait()
    except SippFailed as error:
        raise SippFailed(" ".join(str(error).split())) from None


def test_silent_callee_sees_the_repetitions(sipp: Sipp) -> None:
    callee = sipp("uas_silent")
    sipp("uac_invite", remote=callee.address)
    callee.wait_received("INVITE ", 3)
    assert not [item for item in callee.messages() if item.sent]


def test_media_of_an_rtp_peer_beside_sipp_is_bit_exact(sipp: Sipp, net_loop: NetLoop) -> None:
    with RtpPeer(net_loop) as there, RtpPeer(net_loop) as here:
        callee = sipp("uas_answer", media=(there.ip, there.port))
        caller = sipp("uac_invite", remote=callee.address, media=(here.ip, here.port), talk_ms=1200)
        caller.wait_received("SIP/2.0 200")
        frames = known_payload(0.6, seed=5)
        here.play(frames, to=caller.remote_media())
        compare(frames, there.wait_received(30)).assert_exact(30)
        caller.wait()


def test_phone_calls_sipp_and_cancels(
    sipp: Sipp, tiny: TinyKamailio, make_phone: Callable[..., Phone]
) -> None:
    phone = make_phone("130", tiny.DOMAIN, proxy=tiny.address, password=tiny.PASSWORD)
    ringing = sipp("uas_ring")
    call = phone.invite(f"sip:7@{ringing.ip}:{ringing.port}").wait_ringing()
    assert call.cancel().code == 200
    assert call.code == 487
    ringing.wait()


def test_every_scenario_of_the_library_is_tried_here() -> None:
    tried = {name for pair in PAIRS for name in (pair[0], pair[2])} | {"uac_register", "uas_silent"}
    # What is heard from these matters, so they are tried where somebody listens.
    text = "".join(path.read_text() for path in LISTENERS.glob("test_*.py"))
    heard = {path.stem for path in LIBRARY.glob("*.xml") if f'"{path.stem}"' in text}
    assert {path.stem for path in LIBRARY.glob("*.xml")} == tried | heard


def test_unknown_parameter_is_refused(sipp: Sipp, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="talk_seconds"):
        sipp("uas_answer", talk_seconds=1)


@pytest.mark.parametrize(("late", "code"), [("180 Ringing", 0), ("486 Busy Here", 1)])
def test_only_an_overtaken_180_may_come_behind_the_200(sipp: Sipp, late: str, code: int) -> None:
    """Two workers of a proxy reorder answers; anything else out of place fails the call at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as callee, ThreadPoolExecutor(1) as thread:
        callee.bind(("127.0.0.1", 0))
        callee.settimeout(20)
        served = thread.submit(serve_out_of_order, callee, late, byes=1 - code)
        run = sipp("uac_invite", remote=callee.getsockname(), talk_ms=300, timeout=15)
        assert run.wait_exit() == code
        assert run.unexpected() == ([] if code == 0 else [f"SIP/2.0 {late}"])
        served.result(20)


def serve_out_of_order(callee: socket.socket, late: str, byes: int) -> None:
    """Answer an INVITE with 200 and then `late`, and as many BYEs."""
    request, caller = callee.recvfrom(65_000)
    for status in ("200 OK", late):
        callee.sendto(answer_to(request.decode(), status), caller)
    while byes:
        request, caller = callee.recvfrom(65_000)
        if request.startswith(b"BYE "):
            callee.sendto(answer_to(request.decode(), "200 OK"), caller)
            byes -= 1


def answer_to(request: str, status: str) -> bytes:
    lines = [
        line for line in request.split("\r\n") if line.startswith(("Via:", "From:", "Call-ID:", "CSeq:"))
    ]
    to = next(line for line in request.split("\r\n") if line.startswith("To:"))
    tag = "" if ";tag=" in to else ";tag=t"
    return "\r\n".join(
        [f"SIP/2.0 {status}", *lines, to + tag, "Contact: <sip:127.0.0.1>", "Content-Length: 0", "", ""]
    ).encode()
