"""Scenarios on the instance with real media hosts, with short prompts and a web server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.ivr_centre import IvrCentre, WebServer


@pytest.fixture
def centre(speaking_centre: IvrCentre) -> IvrCentre:
    """Scenarios of its tenant."""
    return speaking_centre


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server that misbehaves when it is asked to."""
    server = WebServer()
    yield server
    server.close()
