"""Scenarios on the instance with real media hosts, with short prompts and a web server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.call_centre import CallCentre
from tests.support.ivr_centre import IvrCentre, WebServer, install_prompts
from tests.support.switch import Switch


@pytest.fixture(scope="session")
def ivr_switch(live_switch: Switch) -> Switch:
    """The instance, with the prompts."""
    install_prompts(live_switch)
    return live_switch


@pytest.fixture
def centre(ivr_switch: Switch, live_centre: CallCentre) -> IvrCentre:
    """Scenarios of its tenant."""
    return IvrCentre(live_centre)


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server that misbehaves when it is asked to."""
    server = WebServer()
    yield server
    server.close()
