"""Retransmission and matching, with a clock that the test moves."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import pytest

from tests.support.net_loop import Timer
from tests.support.sip_message import SipRequest, SipResponse, make_response, parse_message
from tests.support.sip_transaction import ServerTransaction, Timing, TransactionLayer

_REQUEST = (
    "{method} sip:101@demo.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK{branch}\r\n"
    "From: <sip:100@demo.example>;tag=1\r\nTo: <sip:101@demo.example>{to}\r\nCall-ID: c\r\n"
    "CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:100@10.0.0.1>\r\nContent-Length: 0\r\n\r\n"
)


def request(method: str, branch: str = "a", to: str = "") -> SipRequest:
    """Return a request."""
    message = parse_message(_REQUEST.format(method=method, branch=branch, to=to).encode())
    assert isinstance(message, SipRequest)
    return message


class FakeLoop:
    """The part of NetLoop that transactions use, moved by hand."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, Timer]] = []

    def now(self) -> float:
        return self._now

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(self._now + seconds, action)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move time and fire what falls due, in order."""
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            self._now, _, timer = heapq.heappop(self._timers)
            timer.fire()
        self._now = until


class FakeFlow:
    """Keeps when something was sent."""

    remote = ("10.0.0.2", 5060)

    def __init__(self, loop: FakeLoop, *, reliable: bool = False) -> None:
        self._loop, self.reliable = loop, reliable
        self.times: list[float] = []
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.times.append(self._loop.now())
        self.sent.append(data)


class Bench:
    """A layer with everything that it tells."""

    def __init__(self, *, reliable: bool = False) -> None:
        self.loop = FakeLoop()
        self.flow = FakeFlow(self.loop, reliable=reliable)
        self.requests: list[ServerTransaction] = []
        self.acks: list[SipRequest] = []
        self.violations: list[str] = []
        self.responses: list[int] = []
        self.timeouts = 0
        self.layer = TransactionLayer(
            self.loop,  # type: ignore[arg-type]
            Timing(),
            self.requests.append,
            self.acks.append,
            self.violations.append,
        )

    def send(self, made: SipRequest) -> None:
        """Start a client transaction."""
        self.layer.send(
            made,
            self.flow,
            lambda _tx, response: self.responses.append(response.code),
            lambda _tx: self._timeout(),
        )

    def _timeout(self) -> None:
        self.timeouts += 1

    def receive(self, message: SipRequest) -> None:
        """Take a request as it would come from the wire."""
        self.layer.receive_request(message, message.encode(), self.flow)


def answer(made: SipRequest, code: int, tag: str = "2") -> SipResponse:
    """Return the response as the wire would bring it."""
    message = parse_message(make_response(made, code, to_tag=tag).encode())
    assert isinstance(message, SipResponse)
    return message


def test_invite_is_repeated_by_timer_a_until_timer_b() -> None:
    bench = Bench()
    bench.send(request("INVITE"))
    bench.loop.advance(40)
    assert bench.flow.times == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.timeouts == 1


def test_other_requests_are_repeated_by_timer_e_at_most_each_4_seconds() -> None:
    bench = Bench()
    bench.send(request("OPTIONS"))
    bench.loop.advance(40)
    assert bench.flow.times == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.timeouts == 1


def test_nothing_is_repeated_on_a_reliable_transport() -> None:
    bench = Bench(reliable=True)
    bench.send(request("INVITE"))
    bench.loop.advance(40)
    assert bench.flow.times == [0]
    assert bench.timeouts == 1


def test_provisional_response_stops_the_repetition_and_the_timeout_of_an_invite() -> None:
    bench = Bench()
    bench.send(request("INVITE"))
    bench.layer.receive_response(answer(request("INVITE"), 100))
    bench.loop.advance(100)
    assert (bench.flow.times, bench.timeouts) == ([0], 0)


def test_refusal_is_acknowledged_on_the_same_branch_each_time_it_comes_and_told_once() -> None:
    bench = Bench()
    bench.send(request("INVITE"))
    for _ in range(2):
        bench.layer.receive_response(answer(request("INVITE"), 486))
    acks = [parse_message(data) for data in bench.flow.sent[1:]]
    assert [str(ack.cseq) for ack in acks] == ["1 ACK", "1 ACK"]
    assert (acks[0].vias[0].branch, acks[0].to_addr.tag) == ("z9hG4bKa", "2")
    assert bench.responses == [486]


def test_every_repeated_2xx_of_an_invite_is_handed_up() -> None:
    bench = Bench()
    bench.send(request("INVITE"))
    for _ in range(3):
        bench.layer.receive_response(answer(request("INVITE"), 200))
    assert bench.responses == [200, 200, 200]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("z9hG4bKa", "z9hG4bKother"), "fits no request"),
        (("Call-ID: c", "Call-ID: d"), "another Call-ID"),
        (("CSeq: 1 ", "CSeq: 2 "), "another Call-ID or CSeq"),
        (("tag=1", "tag=x"), "From tag"),
        (("Via: ", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa, "), "still has 2 Vias"),
    ],
)
def test_response_that_is_not_ours_is_a_violation(change: tuple[str, str], word: str) -> None:
    bench = Bench()
    bench.send(request("OPTIONS"))
    data = make_response(request("OPTIONS"), 200, to_tag="2").encode().decode().replace(*change)
    message = parse_message(data.encode())
    assert isinstance(message, SipResponse)
    bench.layer.receive_response(message)
    assert word in bench.violations[0]


def test_repeated_request_gets_the_same_response_and_is_told_once() -> None:
    bench = Bench()
    bench.receive(request("OPTIONS"))
    made = bench.requests[0]
    bench.layer.respond(made, answer(made.request, 200), bench.flow)
    bench.receive(request("OPTIONS"))
    assert len(bench.requests) == 1
    assert bench.flow.sent[0] == bench.flow.sent[1]
    assert made.repeats == 1


def test_same_branch_with_another_content_is_a_violation() -> None:
    bench = Bench()
    bench.receive(request("OPTIONS"))
    changed = request("OPTIONS")
    changed.headers.put("CSeq", "2 OPTIONS")
    bench.receive(changed)
    assert "branch used again" in bench.violations[0]


@pytest.mark.parametrize("code", [200, 486])
def test_final_response_to_invite_is_repeated_until_its_ack(code: int) -> None:
    bench = Bench()
    bench.receive(request("INVITE"))
    made = bench.requests[0]
    bench.layer.respond(made, answer(made.request, code), bench.flow)
    bench.loop.advance(4)
    assert bench.flow.times == [0, 0.5, 1.5, 3.5]
    bench.receive(request("ACK", "a" if code > 299 else "b", ";tag=2"))
    made.acked = True  # the call does this for a 2xx
    bench.loop.advance(60)
    assert len(bench.flow.times) == 4
    assert (len(bench.acks), bench.violations) == (0 if code > 299 else 1, [])


def test_ack_of_a_2xx_on_the_branch_of_its_invite_is_a_violation() -> None:
    bench = Bench()
    bench.receive(request("INVITE"))
    made = bench.requests[0]
    bench.layer.respond(made, answer(made.request, 200), bench.flow)
    bench.receive(request("ACK", "a", ";tag=2"))
    assert "branch of its INVITE" in bench.violations[0]
