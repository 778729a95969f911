"""The client without a socket: repetition, matching, fail-over to another peer."""

from __future__ import annotations

import pytest

from rtpproxy_ctl.client import SCHEDULE, Answer, Client, Failed, Send

ONE, TWO = ("127.0.0.1", 1), ("127.0.0.1", 2)


def make(*peers: tuple[str, int]) -> Client:
    return Client(peers or (ONE,), random_bytes=b"abcd")


def cookie(send: object) -> bytes:
    assert isinstance(send, Send)
    return send.datagram.split(b" ")[0]


def test_a_reply_meets_its_request_once() -> None:
    client = make()
    (send,) = client.request("V", "token", 10.0)
    assert send.peer == ONE
    assert send.datagram.endswith(b" V")
    answer = client.receive(cookie(send) + b" 20040107\n", ONE, 10.25)
    assert answer == Answer("token", "20040107", ONE, 0.25)
    assert client.receive(cookie(send) + b" 20040107\n", ONE, 10.3) is None
    assert (client.strange, client.under_way, client.next_tick) == (1, 0, None)


@pytest.mark.parametrize("reply", [b"", b" ", b"nonsense", b"\xff\xfe\x00", b"61626364 0"])
def test_what_nobody_asked_for_is_passed_over(reply: bytes) -> None:
    client = make()
    client.request("V", "token", 0.0)
    assert client.receive(reply, ONE, 0.1) is None
    assert client.under_way == 1


def test_a_reply_from_somewhere_else_is_a_lie() -> None:
    client = make()
    (send,) = client.request("V", "token", 0.0)
    assert client.receive(cookie(send) + b" 0", TWO, 0.1) is None
    assert client.under_way == 1


def test_a_silent_peer_gets_the_same_datagram_again_and_then_it_fails() -> None:
    client = make()
    (first,) = client.request("V", "token", 0.0)
    seen: list[object] = []
    for _ in SCHEDULE:
        assert client.next_tick is not None
        seen += client.tick(client.next_tick)
    assert seen == [first, first, first, Failed("token")]
    assert client.repeated == len(SCHEDULE) - 1
    assert client.next_tick is None


def test_the_next_peer_is_asked_when_one_is_silent_and_stays_first() -> None:
    client = make(ONE, TWO)
    client.request("V", "token", 0.0)
    (send,) = client.tick(SCHEDULE[-1] + 9)[-1:]
    while isinstance(send, Send) and send.peer == ONE:
        (send,) = client.tick(client.next_tick or 0.0)[-1:]
    assert isinstance(send, Send)
    assert send.peer == TWO
    assert client.receive(cookie(send) + b" 1", TWO, 3.0) is not None
    (following,) = client.request("V", "token", 4.0)
    assert following.peer == TWO


def test_a_peer_known_to_be_gone_is_not_waited_for() -> None:
    client = make(ONE, TWO)
    client.request("V", "a", 0.0)
    (send,) = client.unreachable(ONE, 0.01)
    assert isinstance(send, Send)
    assert send.peer == TWO
    assert client.unreachable(TWO, 0.02) == [Failed("a")]
    assert client.under_way == 0


def test_cookies_never_come_twice() -> None:
    client = make()
    cookies = {cookie(client.request("V", n, 0.0)[0]) for n in range(1000)}
    assert len(cookies) == 1000
    assert len(client.cancel_all()) == 1000


def test_bytes_that_are_no_utf8_survive() -> None:
    client = make()
    (send,) = client.request(b"D \xff\xe9 x".decode(errors="surrogateescape"), "t", 0.0)
    assert send.datagram.endswith(b"D \xff\xe9 x")
