"""Fixtures for all tests, one module for each outside thing; a clean environment first."""

from __future__ import annotations

import os

from hypothesis import settings

#: Ask the fuzz tests and the storm for a longer run; change what is tried, not what is expected.
_KEPT = frozenset({"KALIBRI_FUZZ_SECONDS", "KALIBRI_STORM_OPERATIONS"})

# A module comes after those that it imports: pytest rewrites assertions only at the first import.
pytest_plugins = [
    "tests.support.fix_api",
    "tests.support.fix_ears",
    "tests.support.fix_instance",
    "tests.support.fix_ksctl",
    "tests.support.fix_leftovers",
    "tests.support.fix_pg",
    "tests.support.fix_phones",
    "tests.support.fix_s3",
    "tests.support.fix_switch",
    "tests.support.fix_carriers",
    "tests.support.fix_call_centre",
]

# A loaded machine is no failure. `make fuzz` runs the property tests for minutes; a test that sets max_examples
# itself keeps its own number.
settings.register_profile("test", deadline=None)
settings.register_profile("fuzz", max_examples=20_000, deadline=None)
settings.load_profile("test")


def pytest_configure() -> None:
    """A developer's own settings must not change what a test sees."""
    for name in [name for name in os.environ if name.startswith(("KALIBRI_", "PG"))]:
        if name not in _KEPT:
            del os.environ[name]
