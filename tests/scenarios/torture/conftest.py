"""The field of torture: one for all tests of this folder, with what a fresh proxy needs to be compared to itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.torture.field import Field
from tests.scenarios.torture.sender import Sink
from tests.support.switch import Switch


@pytest.fixture(scope="session")
def _field(switch: Switch) -> Iterator[Field]:
    with Sink() as sink:
        yield Field(switch, sink)


@pytest.fixture
def field(_field: Field) -> Iterator[Field]:
    """The field; afterwards the proxy must live, with all its processes, and have counted no exception."""
    before, workers = _field.watch(), _field.probe.workers()
    yield _field
    _field.probe.assert_alive(workers)
    _field.assert_clean(before)
