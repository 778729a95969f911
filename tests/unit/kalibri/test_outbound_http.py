"""Requests to addresses of tenants: where they go, how long they last, what they take for an answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kalibri import outbound_http
from kalibri.outbound_http import NotFetched, Reach, fetch_json, networks_of, read_object

LOOPBACK = Reach(networks_of("127.0.0.1/32"))


class Server:
    """A server whose answers are set by path; "{port}" in a location is its own port."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.drip_seconds = 0.0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                status, headers, body = server.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value.replace("{port}", str(server.port)))
                self.end_headers()
                try:
                    for byte in body:
                        self.wfile.write(bytes([byte]))
                        time.sleep(server.drip_seconds)
                except OSError:
                    pass  # whoever asked has had enough

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def get(
        self, path: str, *, reach: Reach = LOOPBACK, timeout: float = 30.0, host: str = "127.0.0.1"
    ) -> Any:
        """Ask this server."""
        url = f"http://{host}:{self.port}{path}"
        return fetch_json(url, headers={"Authorization": "secret"}, timeout_seconds=timeout, reach=reach)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on this machine."""
    made = Server()
    yield made
    made.close()


def test_an_object_is_fetched(server: Server) -> None:
    server.answers["/x?n=%2B7"] = (200, {}, json.dumps({"name": "Анна", "vip": True}).encode())
    assert server.get("/x?n=%2B7") == {"name": "Анна", "vip": True}
    assert server.asked[0][1]["authorization"] == "secret"
    assert server.get("/nobody") == {}, "404 is an answer: nothing is known"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "2130706433", "127.1", "0.0.0.0", "[::ffff:127.0.0.1]", "0x7f000001"],
)
def test_a_private_address_is_never_asked_in_whatever_form_it_is_written(server: Server, host: str) -> None:
    server.answers["/"] = (200, {}, b"{}")
    with pytest.raises(NotFetched):
        server.get("/", host=host, reach=Reach())
    assert server.asked == []


def test_a_name_that_leads_to_us_is_not_followed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was checked is the one that is used: the resolver is asked once."""
    answers = [["93.184.216.34"], ["127.0.0.1"]]
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

    reached: list[str] = []

    def connect(address: tuple[str, int], _timeout: float) -> socket.socket:
        reached.append(address[0])
        raise ConnectionRefusedError("nobody is asked in a test")

    monkeypatch.setattr(outbound_http.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(outbound_http.socket, "create_connection", connect)
    for _ in range(2):
        with pytest.raises(NotFetched):
            server.get("/", host="crm.example", reach=Reach())
    assert asked == ["crm.example", "crm.example"]
    assert reached == ["93.184.216.34"], "the second time the name led to us"


def test_redirects_are_followed_within_the_rules(server: Server) -> None:
    server.answers["/a"] = (302, {"location": "/b"}, b"")
    server.answers["/b"] = (307, {"location": "http://127.0.0.1:{port}/c"}, b"")
    server.answers["/c"] = (200, {}, b'{"n": 1}')
    assert server.get("/a") == {"n": 1}


@pytest.mark.parametrize("host", ["127.0.0.2", "169.254.169.254", "[::1]", "10.0.0.1"])
def test_a_redirect_into_our_network_is_not_followed(server: Server, host: str) -> None:
    server.answers["/a"] = (302, {"location": f"http://{host}:{{port}}/secret"}, b"")
    with pytest.raises(NotFetched, match="no public address"):
        server.get("/a")
    assert [path for path, _ in server.asked] == ["/a"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://a/", "http://u@127.0.0.1/", "//:x/", ""])
def test_a_redirect_to_something_else_is_not_followed(server: Server, target: str) -> None:
    server.answers["/a"] = (302, {"location": target}, b"")
    with pytest.raises(NotFetched):
        server.get("/a")


def test_secrets_go_to_the_host_that_was_named_only(server: Server) -> None:
    other = Server()
    try:
        server.answers["/a"] = (302, {"location": f"http://127.0.0.1:{other.port}/b"}, b"")
        other.answers["/b"] = (200, {}, b'{"n": 2}')
        assert server.get("/a") == {"n": 2}
        assert "authorization" not in other.asked[0][1]
    finally:
        other.close()


def test_a_circle_of_redirects_ends(server: Server) -> None:
    server.answers["/a"] = (302, {"location": "/a"}, b"")
    with pytest.raises(NotFetched, match="more than 3 times"):
        server.get("/a")
    assert len(server.asked) == 4


def test_an_answer_that_drips_is_ended_in_time(server: Server) -> None:
    server.answers["/"] = (200, {}, b'{"a": "' + b"x" * 60_000 + b'"}')
    server.drip_seconds = 0.01
    began = time.monotonic()
    with pytest.raises(NotFetched):
        server.get("/", timeout=0.3)
    assert time.monotonic() - began < 20, "all of it would take 600 s"


def test_a_resolver_that_hangs_costs_no_more_than_the_timeout(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(outbound_http.socket, "getaddrinfo", lambda *_, **__: released.wait(60) and [])
    with pytest.raises(NotFetched, match="too long"):
        server.get("/", host="crm.example", timeout=0.1)
    released.set()


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"7", b"{", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 5000, b'{"a": "\xff"}'),
        b"x" * 70_000,
        b'{"a":' * 12 + b"1" + b"}" * 12,
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(NotFetched):
        read_object(body)


def test_what_the_database_cannot_store_is_taken_out() -> None:
    assert read_object(b'{"a\\u0000": ["x\\u0000y", "\\ud800"], "n": 1}') == {"a": ["xy", "?"], "n": 1}


def test_networks_are_read() -> None:
    reach = Reach(networks_of("10.1.0.0/16, fd00::/8 192.168.7.5"))
    assert reach.allows("10.1.2.3")
    assert reach.allows("::ffff:10.1.2.3")
    assert reach.allows("fd00::1")
    assert not reach.allows("10.2.0.1")
    assert not reach.allows("192.168.7.6")
    with pytest.raises(ValueError, match="10"):
        networks_of("10.1.0.1/16")
