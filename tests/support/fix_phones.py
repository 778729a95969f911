"""Fixtures: the event loop of the phones, makers of phones and carriers, a tiny Kamailio to try them on.

def test_call(net_loop, make_phone, tiny_kamailio):
    alice = make_phone("100", tiny_kamailio.DOMAIN, proxy=tiny_kamailio.address)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.net_loop import NetLoop
from tests.support.sip_carrier import Carrier
from tests.support.sip_phone import Phone
from tests.support.sipp import SippRun, start_sipp
from tests.support.tiny_kamailio import TinyKamailio


@pytest.fixture
def net_loop() -> Iterator[NetLoop]:
    """A loop for this test; a violation that no wait has raised fails the test at its end."""
    with NetLoop() as loop:
        yield loop


@pytest.fixture
def make_phone(net_loop: NetLoop) -> Iterator[Callable[..., Phone]]:
    """Return a maker of phones, `make_phone(username, domain, **more)`; they are closed after the test."""
    made: list[Phone] = []

    def make(username: str, domain: str, **more: Any) -> Phone:
        made.append(Phone(net_loop, username, domain, **more))
        return made[-1]

    yield make
    for phone in made:
        phone.close()


@pytest.fixture
def make_carrier(net_loop: NetLoop) -> Iterator[Callable[..., Carrier]]:
    """Return a maker of carriers, `make_carrier(**more)`; they are closed after the test."""
    made: list[Carrier] = []

    def make(**more: Any) -> Carrier:
        made.append(Carrier(net_loop, **more))
        return made[-1]

    yield make
    for carrier in made:
        carrier.close()


@pytest.fixture
def sipp() -> Iterator[Callable[..., SippRun]]:
    """Return `start_sipp`; what it started is ended and its folder deleted after the test."""
    runs: list[SippRun] = []

    def start(scenario: str | Path, **more: Any) -> SippRun:
        runs.append(start_sipp(scenario, **more))
        return runs[-1]

    yield start
    for run in runs:
        run.remove()


@pytest.fixture(scope="module")
def tiny_kamailio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyKamailio]:
    """A minimal Kamailio with UDP, TCP and TLS, digest SHA-256 for REGISTER, pings each second."""
    home: Path = tmp_path_factory.mktemp("tk")
    with TinyKamailio(home, auth="SHA-256", tls=True, ping_seconds=1) as proxy:
        yield proxy
