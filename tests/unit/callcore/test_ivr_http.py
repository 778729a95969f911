"""Which hosts a scenario may ask, and which addresses may be connected to."""

from __future__ import annotations

import pytest

from callcore.ivr_http import Allowed, HostNotAllowed, check_address, target_of

LIST = (
    Allowed("crm.test"),
    Allowed("*.api.test"),
    Allowed("inner.test", 8080, private=True),
    Allowed("10.0.0.5"),
)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://crm.test", "crm.test", 80, "/"),
        ("https://CRM.test./a?b=c", "crm.test", 443, "/a?b=c"),
        ("https://a.b.api.test/x#y", "a.b.api.test", 443, "/x"),
        ("http://inner.test:8080/", "inner.test", 8080, "/"),
    ],
)
def test_a_listed_host_may_be_asked(url: str, host: str, port: int, path: str) -> None:
    target = target_of(url, LIST)
    assert (target.host, target.port, target.path) == (host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.test/",
        "http://api.test/",
        "http://crm.test.evil.test/",
        "http://crm.test:81/",
        "http://inner.test/",
        "http://crm.test@evil.test/",
        "http://evil.test\\@crm.test/",
        "ftp://crm.test/",
        "file:///etc/passwd",
        "http:///x",
        "http://crm.test/a b",
        "http://crm.test/\r\nX: y",
        "http://crm.test:99999/",
        "http://[::1",
        "http://crm.test/" + "a" * 3000,
    ],
)
def test_everything_else_may_not(url: str) -> None:
    with pytest.raises(HostNotAllowed):
        target_of(url, LIST)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.5", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::"),
        *("224.0.0.1", "ff02::1", "255.255.255.255"),
    ],
)
def test_an_address_that_is_not_public_is_not_connected_to(address: str) -> None:
    with pytest.raises(HostNotAllowed):
        check_address(address, Allowed("crm.test"))


def test_a_host_that_is_listed_as_private_may_be() -> None:
    for address in ("127.0.0.1", "10.0.0.5", "::1", "fc00::1", "::ffff:10.0.0.1"):
        check_address(address, Allowed("inner.test", private=True))
    check_address("8.8.8.8", Allowed("crm.test"))
    check_address("2001:4860:4860::8888", Allowed("crm.test"))
    for never in ("0.0.0.0", "224.0.0.1", "255.255.255.255"):
        with pytest.raises(HostNotAllowed):
            check_address(never, Allowed("inner.test", private=True))
