"""All methods of the API: every module of api/methods declares those of one noun.

A new noun is one module there with a tuple METHODS; tests/unit/api/test_registry.py compares them with the
commands of ksctl, so that neither is forgotten.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from api import methods
from api.method import Method


@cache
def all_methods() -> Mapping[str, Method]:
    """Return every method by its name, in order."""
    found: dict[str, Method] = {}
    for module in pkgutil.iter_modules(methods.__path__):
        for method in import_module(f"{methods.__name__}.{module.name}").METHODS:
            assert method.name not in found, f"{method.name} is declared twice"
            found[method.name] = method
    return dict(sorted(found.items()))
