"""Fixtures `call_centre` and `own_call_centre`: agents, queues and media hosts on an instance; see call_centre.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.call_centre import CallCentre
from tests.support.net_loop import NetLoop
from tests.support.switch import Switch


@pytest.fixture
def call_centre(switch: Switch, net_loop: NetLoop) -> Iterator[CallCentre]:
    """An empty call centre on the instance that the scenarios share."""
    centre = CallCentre(switch, net_loop)
    yield centre
    centre.close()


@pytest.fixture
def own_call_centre(own_switch: Switch, net_loop: NetLoop) -> Iterator[CallCentre]:
    """An empty call centre on an instance of the test's own, to be killed."""
    centre = CallCentre(own_switch, net_loop)
    yield centre
    centre.close()
