"""Call centres on instances; see call_centre.py.

`call_centre`: the scenarios share it; no media host of its own, test phones play them. `own_call_centre`: the same on
an instance of the test's own, to be killed. `live_centre`: two real media hosts, two RTP nodes and music, shared;
`speaking_centre`: the same with short prompts. `own_live_centre`: as `live_centre` on an instance of the test's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from kalibri.config import Config
from tests.support.call_centre import CallCentre, install_music
from tests.support.fix_instance import Instance
from tests.support.fix_switch import SETTINGS, made_switch
from tests.support.ivr_centre import IvrCentre, install_prompts
from tests.support.net_loop import NetLoop
from tests.support.postman import Postman
from tests.support.switch import Switch

ACCOUNTS = ("100", "101", "102", "103")
#: A database that needs more than 200 ms on a busy machine is no outage.
PATIENT = {"database.connect_timeout_ms": 1000, "database.statement_timeout_ms": 1000}
BARE = {**SETTINGS, **PATIENT, "media.hosts": 0, "proxy.far_end_seconds": 3}
LIVE = {**SETTINGS, **PATIENT, "media.hosts": 2, "rtp.nodes": 2}


@pytest.fixture(scope="session")
def bare_switch(_swept: None) -> Iterator[Switch]:
    """An instance without media hosts."""
    yield from made_switch(BARE, ACCOUNTS)


@pytest.fixture(scope="session")
def postman() -> Iterator[Postman]:
    """The mail server of the shared instance with media hosts."""
    postman = Postman()
    with postman.serve():
        yield postman


@pytest.fixture(scope="session")
def live_switch(_swept: None, postman: Postman) -> Iterator[Switch]:
    """An instance with two media hosts, music, and a mail server."""
    mail = {"mail.host": "127.0.0.1", "mail.port": postman.port, "mail.sender": "kalibri@demo.test"}
    for switch in made_switch({**LIVE, **mail}, ACCOUNTS):
        install_music(switch)
        yield switch


def _centre(switch: Switch, loop: NetLoop) -> Iterator[CallCentre]:
    centre = CallCentre(switch, loop)
    yield centre
    centre.close()


@pytest.fixture
def call_centre(bare_switch: Switch, net_loop: NetLoop) -> Iterator[CallCentre]:
    """An empty call centre where test phones play the media hosts."""
    yield from _centre(bare_switch, net_loop)


@pytest.fixture
def own_call_centre(_swept: None, net_loop: NetLoop) -> Iterator[CallCentre]:
    """The same on an instance of the test's own."""
    for switch in made_switch(BARE, ACCOUNTS):
        yield from _centre(switch, net_loop)


@pytest.fixture
def live_centre(live_switch: Switch, net_loop: NetLoop) -> Iterator[CallCentre]:
    """An empty call centre with real media hosts."""
    yield from _centre(live_switch, net_loop)


@pytest.fixture(scope="session")
def speaking_switch(live_switch: Switch) -> Switch:
    """The instance with media hosts, with short prompts."""
    install_prompts(live_switch)
    return live_switch


@pytest.fixture
def speaking_centre(speaking_switch: Switch, live_centre: CallCentre) -> IvrCentre:
    """An empty call centre with real media hosts, scenarios, and an ear for what is said."""
    return IvrCentre(live_centre)


@pytest.fixture
def own_live_centre(_swept: None, net_loop: NetLoop) -> Iterator[CallCentre]:
    """The same on an instance of the test's own."""
    for switch in made_switch(LIVE, ACCOUNTS):
        install_music(switch)
        yield from _centre(switch, net_loop)


@dataclass(frozen=True)
class TwoProxies:
    """Two machines with one database: what each has of its own is seen through its switch."""

    first: CallCentre
    second: CallCentre


@pytest.fixture
def two_proxies(_swept: None, net_loop: NetLoop) -> Iterator[TwoProxies]:
    """Two proxies with a media host each; the database is the first one's."""
    for switch in made_switch({**LIVE, "media.hosts": 1}, ACCOUNTS):
        install_music(switch)
        other = Instance(
            {**LIVE, "media.hosts": 1, "node_name": "n2", "database.dsn": switch.config.database_dsn}
        )
        try:
            share_secrets(switch.config, other.config)
            other.up()
            second = CallCentre(Switch(other, tenant_id=switch.tenant_id), net_loop)
            first = CallCentre(switch, net_loop)
            yield TwoProxies(first, second)
            first.close()
            second.close()
        finally:
            other.remove()


def share_secrets(mine: Config, theirs: Config) -> None:
    """Let the second machine know the passwords that the first has made for Kamailio and the nodes."""
    shutil.copytree(mine.secrets_directory, theirs.secrets_directory)
