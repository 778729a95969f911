"""Look-ups at web servers: redirects, names that change their mind, caching, retries."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from callcore.errors import KalibriError
from callcore.ivr_http import Allowed, HostNotAllowed, Request
from kalibri.ivr_fetch import Fetcher, LookupFailed
from tests.support.ivr_centre import WebServer


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def local(host: str, port: int) -> list[str]:
    """Return the address of every name in tests."""
    return ["127.0.0.1"]


def fetch(web: WebServer, path: str, *, private: bool = True, **more: object) -> object:
    allowed = (Allowed("crm.test", web.port, private), Allowed("other.test", web.port, True))
    request = Request("GET", f"http://crm.test:{web.port}/{path}", timeout_seconds=0.5, **more)  # type: ignore[arg-type]
    return Fetcher(resolver=local).fetch(1, request, allowed)


def test_an_answer_is_its_json(web: WebServer) -> None:
    assert fetch(web, "json", headers=(("X-Key", "1"),)) == {"value": "5"}
    ((method, path, headers, _),) = web.asked
    assert (method, path, headers["X-Key"], headers["Host"]) == ("GET", "/json", "1", f"crm.test:{web.port}")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("lies", "no JSON"),
        ("large", "larger than"),
        ("slow", "in time"),
        ("drip", "in time"),
        ("error", "answered 503"),
        ("short", "shorter than the server says"),
        ("nonsense", "BadStatusLine"),
    ],
)
def test_what_is_wrong_is_told(web: WebServer, path: str, why: str) -> None:
    with pytest.raises(LookupFailed) as caught:
        fetch(web, path)
    assert why in caught.value.message


def test_a_private_address_needs_permission(web: WebServer) -> None:
    with pytest.raises(HostNotAllowed):
        fetch(web, "json", private=False)
    assert web.asked == []


@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:{port}/json", "http://evil.test:{port}/json", "file:///etc/passwd"]
)
def test_a_redirect_is_judged_anew(web: WebServer, to: str) -> None:
    with pytest.raises(KalibriError):
        fetch(web, "to?" + to.format(port=web.port))
    assert [path.partition("?")[0] for _, path, _, _ in web.asked] == ["/to"]


def test_a_redirect_within_the_list_is_followed_without_secrets(web: WebServer) -> None:
    headers = (("Authorization", "secret"),)
    assert fetch(web, f"to?http://other.test:{web.port}/json", headers=headers) == {"value": "5"}
    assert [asked[2].get("Authorization") for asked in web.asked] == ["secret", None]


def test_redirects_end(web: WebServer) -> None:
    with pytest.raises(LookupFailed, match="redirects"):
        fetch(web, f"to?http://crm.test:{web.port}/to?/to?/to?/to?/to")


def test_a_name_with_one_private_address_is_refused_as_a_whole(web: WebServer) -> None:
    fetcher = Fetcher(resolver=lambda host, port: ["8.8.8.8", "127.0.0.1"])
    with pytest.raises(HostNotAllowed):
        fetcher.fetch(1, Request("GET", f"http://crm.test:{web.port}/json"), (Allowed("crm.test", web.port),))
    assert web.asked == []


def test_answers_are_remembered_by_tenant_and_request(web: WebServer) -> None:
    fetcher, allowed = Fetcher(resolver=local), (Allowed("crm.test", web.port, True),)
    request = Request("GET", f"http://crm.test:{web.port}/json", cache_seconds=60)
    for tenant in (1, 1, 2):
        fetcher.fetch(tenant, request, allowed)
    assert len(web.asked) == 2
    with pytest.raises(HostNotAllowed):
        fetcher.fetch(1, request, ())


def test_what_may_pass_is_tried_again(web: WebServer) -> None:
    with pytest.raises(LookupFailed):
        fetch(web, "error", retries=2)
    assert len(web.asked) == 3
    with pytest.raises(LookupFailed):
        fetch(web, "lies", retries=2)
    assert len(web.asked) == 4


def test_a_resolver_that_hangs_costs_no_more_than_the_timeout(web: WebServer) -> None:
    released = threading.Event()
    fetcher = Fetcher(resolver=lambda host, port: ["127.0.0.1"] * released.wait(60))
    request = Request("GET", f"http://crm.test:{web.port}/json", timeout_seconds=0.1)
    with pytest.raises(LookupFailed, match="in time"):
        fetcher.fetch(1, request, (Allowed("crm.test", web.port, True),))
    released.set()
    assert web.asked == []


def test_secrets_are_for_the_port_that_was_named_too(web: WebServer) -> None:
    other = WebServer()
    try:
        allowed = (Allowed("crm.test", web.port, True), Allowed("crm.test", other.port, True))
        url = f"http://crm.test:{web.port}/to?http://crm.test:{other.port}/json"
        headers = (("Authorization", "secret"),)
        request = Request("GET", url, headers, timeout_seconds=5)
        assert Fetcher(resolver=local).fetch(1, request, allowed) == {"value": "5"}
        assert [asked[2].get("Authorization") for asked in (*web.asked, *other.asked)] == ["secret", None]
    finally:
        other.close()
