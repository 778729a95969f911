"""A tenant with call distribution, fresh for each test."""

from __future__ import annotations

import pytest

from kalibri.db import Conn
from tests.support.acd_field import Field


@pytest.fixture
def field(db: Conn) -> Field:
    """A tenant with a living media host, without queues and agents."""
    field = Field(db)
    field.host()
    return field
