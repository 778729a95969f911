"""A tenant with campaigns on a fresh database."""

from __future__ import annotations

import pytest

from kalibri.db import Conn
from tests.support.dial_field import DialField


@pytest.fixture
def field(db: Conn) -> DialField:
    """The tenant acme and a media host that the test plays."""
    return DialField(db)
