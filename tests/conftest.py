"""Fixtures of all tests: one plugin module per outside thing."""

pytest_plugins = ["tests.support.fix_phones"]
