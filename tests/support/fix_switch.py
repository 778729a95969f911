"""Fixture `switch`: one instance for all scenarios of a test process that leave it up; see switch.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pytest

from tests.support.fix_instance import Instance
from tests.support.switch import Switch

#: Quick enough for tests: gateways are probed each second, and loopback phones neither flood nor guess. Who needs a
#: media host or the API has it added: each process of each instance is started on the same few cores.
SETTINGS: Mapping[str, object] = {
    "proxy.flood_requests_per_2s": 0,
    "proxy.lockout_failures": 0,
    "proxy.lockout_users": 0,
    "proxy.options_ping_seconds": 1,
    "rtp.nodes": 1,
    "media.hosts": 0,
    "api.enabled": False,
    "ears.enabled": False,
}


@pytest.fixture(scope="session")
def switch(_swept: None) -> Iterator[Switch]:
    """An instance that is up, with the tenant demo and accounts 100 to 103."""
    yield from made_switch(SETTINGS, ("100", "101", "102", "103"))


@pytest.fixture
def own_switch(_swept: None) -> Iterator[Switch]:
    """An instance of the test's own, to be killed and restarted."""
    yield from made_switch(SETTINGS, ("100", "101"))


def made_switch(settings: Mapping[str, object], accounts: Iterable[str]) -> Iterator[Switch]:
    """Start an instance with these settings and accounts, and remove it afterwards."""
    instance = Instance(settings)
    try:
        instance.up()
        made = Switch(instance)
        for username in accounts:
            made.add_account(username)
        made.save()
        yield made
    finally:
        instance.remove()
