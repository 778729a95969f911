"""Each trap of sippy 2.5.0 that was met, with real sippy against real SIP messages: none of them may be felt."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from sems_apps.host import sdp
from sems_apps.host.sip_leg import SipLeg
from tests.support.sip_call import Call
from tests.support.sip_host import SipHost
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan

QUEUE = "sip:queue@kalibri.internal"
MakePhone = Callable[..., Phone]


@pytest.fixture
def host() -> Iterator[SipHost]:
    with SipHost() as running:
        yield running
        assert running.errors == []


@pytest.fixture
def alice(host: SipHost, make_phone: MakePhone) -> Phone:
    return make_phone("100", "kalibri.internal", proxy=host.address)


@pytest.fixture
def agent(make_phone: MakePhone) -> Phone:
    """Stands for the proxy behind which an agent is."""
    return make_phone("agent", "kalibri.internal")


def answered(host: SipHost, alice: Phone) -> tuple[Call, SipLeg]:
    call = alice.invite(QUEUE)
    leg = host.wait_leg()
    host.run(lambda: leg.answer(host.sdp()))
    return call.wait_answered(), leg


def test_caller_rings_is_answered_and_hangs_up(host: SipHost, alice: Phone) -> None:
    call = alice.invite(QUEUE)
    leg = host.wait_leg()
    host.run(leg.ring)
    call.wait_ringing()
    host.run(lambda: leg.answer(host.sdp()))
    call.wait_answered()
    assert leg.remote is not None
    assert call.hang_up().code == 200
    host.wait_told("ended", leg)


def test_caller_gives_up_before_the_answer(host: SipHost, alice: Phone) -> None:
    call = alice.invite(QUEUE)
    leg = host.wait_leg()
    host.run(leg.ring)
    call.cancel()
    assert call.code == 487  # with the To tag of the 180: the phone is strict about it, sippy was not
    host.wait_told("ended", leg)


def test_agent_answers_and_is_hung_up(host: SipHost, agent: Phone) -> None:
    agent.plan = Plan.answer(ring_after=0.01)
    leg = host.dial(agent.address, **{"X-KS-Leg": "agent"})
    host.wait_told("ringing", leg)
    host.wait_told("answered", leg)
    assert agent.calls[0].invite.headers.get("X-KS-Leg") == "agent"
    host.run(lambda: leg.hang_up("done"))
    assert agent.calls[0].wait_ended().ended_by == "remote"


@pytest.mark.parametrize("code", [404, 486, 503, 603, 302])
def test_agent_refuses(host: SipHost, agent: Phone, code: int) -> None:
    agent.plan = Plan.reject(
        code, headers=[("Contact", "<sip:other@kalibri.internal>")] if code == 302 else []
    )
    leg = host.dial(agent.address)
    assert host.wait_told("failed", leg) == code
    assert leg.ended


def test_agent_who_rings_is_cancelled(host: SipHost, agent: Phone) -> None:
    agent.plan = Plan.ring()
    leg = host.dial(agent.address)
    host.wait_told("ringing", leg)
    host.run(lambda: leg.hang_up("caller gone"))
    assert agent.calls[0].wait_ended().cancelled
    assert host.found("failed", leg) == []


# ---- the traps


def test_messages_leave_in_the_order_of_sending(host: SipHost, make_phone: MakePhone) -> None:
    """nworkers: three sender threads let 100 overtake 200; SIPp failed 18 % of the calls."""
    phones = [make_phone(f"1{i}", "kalibri.internal", proxy=host.address) for i in range(4)]
    host.ready = True
    calls = [phone.invite(QUEUE) for phone in phones for _ in range(25)]
    for number in range(len(calls)):
        leg = host.wait_leg(number + 1)
        host.run(lambda leg=leg: (leg.ring(), leg.answer(host.sdp())))
    for call in calls:
        call.wait_answered()
        assert [response.code for response in call.provisional] == [100, 180]


def test_second_host_on_the_same_port_is_refused(host: SipHost) -> None:
    """SO_REUSEPORT: a second process bound the same port silently and stole half of the calls."""
    with pytest.raises(OSError, match="in use"):
        SipHost(host.address)


def test_request_made_when_the_answer_is_told_follows_the_ack(host: SipHost, agent: Phone) -> None:
    """A BYE issued inside sippy's connect event left before the ACK."""
    host.on["answered"] = lambda leg: leg.hang_up("at once")
    host.dial(agent.address)
    call = agent.wait_call()
    call.wait_ended()
    methods = [item.message.method for item in agent.received if hasattr(item.message, "method")]
    assert methods == ["INVITE", "ACK", "BYE"]


def test_exception_in_a_handler_ends_only_that_call(host: SipHost, alice: Phone, agent: Phone) -> None:
    """sippy printed it and the call hung."""

    def fail(leg: SipLeg) -> None:
        raise RuntimeError("a fault of ours")

    call, leg = answered(host, alice)
    host.on["ringing"] = fail
    host.dial(agent.address)
    host.wait_told("answered")
    assert [str(error) for error in host.errors] == ["a fault of ours"]
    host.errors.clear()
    host.run(leg.hang_up)
    call.wait_ended()


def test_transport_in_capitals_does_no_harm(host: SipHost, make_phone: MakePhone) -> None:
    """`;transport=UDP` raised RuntimeError at the next request: BYE never left."""
    alice = make_phone("100", "kalibri.internal", proxy=host.address, strict=False)
    request = alice.make_request("INVITE", QUEUE)
    request.headers.put("Contact", f"<sip:100@127.0.0.1:{alice.address[1]};transport=UDP>")
    exchange = alice.loop.run(lambda: alice.exchange(request))
    leg = host.wait_leg()
    host.run(lambda: leg.answer(host.sdp()))
    alice.wait(lambda: exchange.final is not None, 10, "200")
    host.run(leg.hang_up)
    assert alice.wait_request("BYE").method == "BYE"


def test_invite_without_contact_is_refused(host: SipHost, alice: Phone) -> None:
    """sippy raised and nobody answered."""
    request = alice.make_request("INVITE", QUEUE)
    request.headers.remove("Contact")
    exchange = alice.loop.run(lambda: alice.exchange(request))
    assert alice.finish(exchange, 10).code == 400


@pytest.mark.parametrize(
    ("method", "code"),
    [("UPDATE", 200), ("OPTIONS", 200), ("INFO", 200), ("PRACK", 481), ("NOTIFY", 481), ("MESSAGE", 405)],
)
def test_every_request_in_the_dialog_is_answered(host: SipHost, alice: Phone, method: str, code: int) -> None:
    """sippy left UPDATE, PRACK, NOTIFY and MESSAGE without any answer."""
    call, leg = answered(host, alice)
    headers = [("RAck", "1 1 INVITE")] if method == "PRACK" else []
    assert call.request(method, headers=headers).code == code
    assert not leg.ended
    assert call.hang_up().code == 200


def test_update_before_the_answer_is_answered(host: SipHost, alice: Phone) -> None:
    call = alice.invite(QUEUE)
    leg = host.wait_leg()
    host.run(leg.ring)
    call.wait_ringing()
    request = alice.make_request("UPDATE", QUEUE)
    request.headers.put("Call-ID", call.call_id)
    request.headers.put("From", str(call.invite.headers.get("From")))
    request.headers.put("To", str(call.provisional[-1].headers.get("To")))
    request.headers.put("CSeq", f"{call.invite.cseq.number + 1} UPDATE")
    exchange = alice.loop.run(lambda: alice.exchange(request))
    assert alice.finish(exchange, 10).code == 200
    call.cancel()


@pytest.mark.parametrize("tag", ["100rel", "timer", "replaces"])
def test_required_extension_is_refused_by_name(host: SipHost, alice: Phone, tag: str) -> None:
    """sippy ignored Require and answered 200."""
    call = alice.invite(QUEUE, headers=[("Require", tag)]).wait_ended()
    assert call.code == 420
    assert call.final is not None
    assert call.final.headers.get("Unsupported") == tag


def test_answer_without_sdp_keeps_what_the_183_said(host: SipHost, agent: Phone) -> None:
    agent.plan = Plan.by_test()
    leg = host.dial(agent.address)
    call = agent.wait_call()
    call.ring(183, sdp=True)
    host.wait_told("ringing", leg)
    early = leg.remote
    assert early is not None
    call._put_sdp = lambda message, description: None  # type: ignore[method-assign]  # its 200 has no body
    call.answer()
    host.wait_told("answered", leg)
    assert leg.remote is not None
    assert leg.remote.port == early.port


def test_reinvite_is_answered_each_time(host: SipHost, alice: Phone) -> None:
    """Not answered by the application, sippy left it at 100, and later ones at 491."""
    call, leg = answered(host, alice)
    assert call.hold().code == 200
    assert host.wait_told("media", leg).holds
    assert call.held is False
    assert call.resume().code == 200
    host.wait(lambda: len(host.found("media", leg)) == 2, "the second change")
    assert not host.found("media", leg)[-1].holds
    assert call.hold().code == 200


def test_reinvite_without_sdp_gets_our_offer(host: SipHost, alice: Phone) -> None:
    call, _leg = answered(host, alice)
    request = call.request("INVITE", timeout=10)
    assert request.code == 200
    assert sdp.parse(request.body.decode()).codecs


def test_reinvite_of_ours_is_answered(host: SipHost, alice: Phone) -> None:
    call, leg = answered(host, alice)
    host.run(lambda: leg.reinvite(host.sdp(9100)))
    host.wait_told("media", leg)
    assert call.wait_request("INVITE").body
    assert not leg.ended


def test_refer_is_accepted_and_the_leg_stays(host: SipHost, alice: Phone) -> None:
    """sippy sent BYE at once and never NOTIFY."""
    call, leg = answered(host, alice)
    assert call.refer("sip:200@kalibri.internal").code == 202
    assert host.wait_told("refer", leg) == ("sip:200@kalibri.internal", "")
    host.run(lambda: (leg.notify(100, "Trying"), leg.notify(200, "OK")))
    alice.wait(lambda: len(call.refer_progress) == 2, 10, "two NOTIFYs")
    assert call.refer_progress[-1] == "SIP/2.0 200 OK"
    assert not leg.ended


def test_notifies_and_bye_wait_for_each_other(host: SipHost, alice: Phone) -> None:
    """A proxy has several workers: sent together, the second NOTIFY overtook the first."""
    call, leg = answered(host, alice)
    call.refer("sip:200@kalibri.internal")
    host.wait_told("refer", leg)
    alice.deaf = True
    host.run(lambda: (leg.notify(100, "Trying"), leg.notify(200, "OK"), leg.hang_up("transferred")))
    alice.deaf = False
    call.wait_ended()
    assert call.refer_progress == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    assert [request.method for request in call.requests if request.method != "ACK"] == [
        "NOTIFY",
        "NOTIFY",
        "BYE",
    ]


def test_bye_does_not_wait_for_ever_for_a_notify(host: SipHost, alice: Phone) -> None:
    call, leg = answered(host, alice)
    alice.reply_codes["NOTIFY"] = 100  # never a final answer
    call.refer("sip:200@kalibri.internal")
    host.wait_told("refer", leg)
    host.run(lambda: (leg.notify(100, "Trying"), leg.notify(200, "OK"), leg.hang_up("transferred")))
    call.wait_ended()


def test_refer_with_replaces_says_which_dialog(host: SipHost, alice: Phone) -> None:
    call, leg = answered(host, alice)
    call.refer("sip:200@kalibri.internal?Replaces=abc%40x%3Bto-tag%3D1%3Bfrom-tag%3D2")
    assert host.wait_told("refer", leg) == ("sip:200@kalibri.internal", "abc@x;to-tag=1;from-tag=2")


@pytest.mark.parametrize(
    ("kind", "body", "digit"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", b"Signal= *\r\n", "*"),
        ("application/dtmf", b"11", "#"),
    ],
)
def test_info_brings_a_digit(host: SipHost, alice: Phone, kind: str, body: bytes, digit: str) -> None:
    call, leg = answered(host, alice)
    assert call.request("INFO", body, [("Content-Type", kind)]).code == 200
    assert host.wait_told("key", leg) == digit


def test_byte_that_is_not_utf8_costs_nobody_his_call(host: SipHost) -> None:
    """sippy decodes strictly: nobody answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        own = f"127.0.0.1:{sock.getsockname()[1]}"
        lines = [
            "INVITE sip:queue@kalibri.internal SIP/2.0",
            f"Via: SIP/2.0/UDP {own};branch=z9hG4bK1",
            f"From: <sip:100@{own}>;tag=1",
            "To: <sip:queue@kalibri.internal>",
            "Call-ID: latin1",
            "CSeq: 1 INVITE",
            f"Contact: <sip:100@{own}>",
            "Subject: caf\xe9",
            "Content-Length: 0",
        ]
        sock.sendto("\r\n".join([*lines, "", ""]).encode("latin-1"), host.address)
        assert sock.recv(2000).startswith(b"SIP/2.0 100")
        leg = host.wait_leg()
        host.run(lambda: leg.reject(486, "Busy Here"))
        assert sock.recv(2000).startswith(b"SIP/2.0 486")


def test_a_call_of_ours_that_comes_back_through_the_proxy_is_a_call(host: SipHost) -> None:
    """Who is handed on to a queue may reach the same host again: sippy refused him with 482."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.settimeout(10)
        ours = host.dial(proxy.getsockname(), target="queue")
        invite = proxy.recv(65_000).decode()
        via = f"Via: SIP/2.0/UDP 127.0.0.1:{proxy.getsockname()[1]};branch=z9hG4bKproxy"
        proxy.sendto(invite.replace("\r\nVia:", f"\r\n{via}\r\nVia:", 1).encode(), host.address)
        assert proxy.recv(65_000).startswith(b"SIP/2.0 100")
        theirs = host.wait_leg()
        host.run(lambda: theirs.answer(host.sdp()))
        answer = proxy.recv(65_000).decode()
        assert answer.startswith("SIP/2.0 200")
        proxy.sendto(answer.replace(f"{via}\r\n", "").encode(), host.address)
        host.wait_told("answered", ours)


def test_options_tells_whether_the_host_takes_calls(host: SipHost, alice: Phone) -> None:
    for ready, code in ((True, 200), (False, 503)):
        host.ready = ready
        request = alice.make_request("OPTIONS", QUEUE)
        exchange = alice.loop.run(lambda request=request: alice.exchange(request))
        assert alice.finish(exchange, 10).code == code


def test_far_end_that_forgot_the_dialog_is_found_out(host: SipHost, alice: Phone) -> None:
    _call, leg = answered(host, alice)
    alice.reply_codes["OPTIONS"] = 481
    host.run(leg.probe)
    assert host.wait_told("ended", leg) == "the far end is gone"


def test_silent_far_end_is_given_up_after_two_seconds(host: SipHost, alice: Phone) -> None:
    _call, leg = answered(host, alice)
    alice.deaf = True
    host.run(leg.probe)
    assert host.wait_told("ended", leg) == "the far end is gone"
