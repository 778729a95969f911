"""What calls itself pure is: no socket, clock, file, environment, database or framework, however far one looks.

A module claims it by the word "Pure" in its docstring; the packages of PURE_PACKAGES claim it for all that is in them.
Each is followed through everything of the project that it imports.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.import_graph import Module, project, reached

#: Packages, and modules that decide inside packages of shells.
PURE_PACKAGES = (
    *("callcore", "kemi.ks_acd", "kemi.ks_route", "sems_apps.machines"),
    *("tools.dial.agent_first", "tools.dial.campaign_state", "tools.dial.paced", "tools.dial.shared_queues"),
)
#: Shells inside those packages: they read and write the files of the route index.
SHELLS = frozenset(f"kemi.ks_route.{name}" for name in ("index_file", "index_write", "overlay", "table"))
#: "Pure but for …" says itself what it is not.
_CLAIM = re.compile(r"\bPure\b(?! but\b)")
#: All of the standard library that decides nothing by the state of the machine. zoneinfo reads the time-zone rules;
#: warnings are caught where a pattern is compiled; a log line changes no decision.
ALLOWED = {
    "__future__", "array", "ast", "base64", "bisect", "collections", "collections.abc", "contextlib",
    "dataclasses", "datetime", "decimal", "enum", "functools", "hashlib", "heapq", "hmac", "ipaddress",
    "itertools", "json", "logging", "math", "operator", "random", "re", "string", "struct", "types",
    "typing", "urllib.parse", "uuid", "warnings", "xml.etree", "zlib", "zoneinfo",
}  # fmt: skip
#: Computation from elsewhere.
ALLOWED_LIBRARIES = frozenset({"numpy", "numpy.typing", "re2", "yaml"})
#: What allowed modules have that reads a clock, rolls dice or opens files.
IMPURE_NAMES = frozenset({"now", "utcnow", "today", "uuid1", "uuid4"})
IMPURE_BUILTINS = frozenset({"open", "input", "print"})


def claiming() -> Iterator[str]:
    """Yield the modules that are to be pure."""
    for name, module in project().items():
        inside = any(name == package or name.startswith(f"{package}.") for package in PURE_PACKAGES)
        if (inside or _CLAIM.search(module.docstring)) and name not in SHELLS:
            yield name


@cache
def faults(name: str) -> tuple[str, ...]:
    """Return what is not pure in a module itself."""
    module = project()[name]
    found = sorted(module.foreign - ALLOWED - ALLOWED_LIBRARIES - ({"pathlib"} & _pure_paths(module)))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            what = node.func
            if isinstance(what, ast.Name) and what.id in IMPURE_BUILTINS:
                found.append(f"{what.id}() in line {node.lineno}")
            elif isinstance(what, ast.Attribute) and _is_impure(what):
                found.append(f"{ast.unparse(what)}() in line {node.lineno}")
    return tuple(found)


def _pure_paths(module: Module) -> set[str]:
    """Return {"pathlib"} if a module knows paths only as names, which no disk is asked for."""
    nodes = [node for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in nodes if node.module == "pathlib" for alias in node.names}
    return {"pathlib"} if names == {"PurePath"} else set()


def _is_impure(what: ast.Attribute) -> bool:
    """Tell whether a function reads the clock or the common dice; random.Random(seed) is a value like another."""
    if isinstance(what.value, ast.Name) and what.value.id == "random":
        return what.attr != "Random"
    return what.attr in IMPURE_NAMES


@pytest.mark.parametrize("name", list(claiming()))
def test_what_claims_to_be_pure_reaches_nothing_impure(name: str) -> None:
    ways = reached(name)
    wrong = [f"{' -> '.join(way)}: {', '.join(faults(end))}" for end, way in ways.items() if faults(end)]
    assert not wrong, "\n".join(wrong)


def test_the_decisions_are_among_those_that_claim_it() -> None:
    decisions = {
        "callcore.pacing",
        "rtpproxy_ctl.balancer",
        "kemi.ks_route.decide",
        "sems_apps.machines.hold_queue",
    }
    assert decisions <= set(claiming())


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("kalibri.db", "psycopg"),
        ("kemi.kamailio", "KSR"),
        ("sems_apps.host.sip_stack", "sippy"),
        ("kemi.worker", "time"),
        ("kalibri.files", "os"),
        ("kemi.ks_route.index_file", "mmap"),
    ],
)
def test_what_is_not_pure_is_found(name: str, fault: str) -> None:
    assert any(found.split(".")[0] == fault for end in reached(name) for found in faults(end))


#: Which package may import which others (ARCHITECTURE.md names their work).
DIRECTIONS = {
    "callcore": set(),
    "kalibri": {"callcore", "kemi"},
    "kemi": {"callcore", "kalibri"},
    "rtpproxy_ctl": {"callcore", "kalibri"},
    "sems_apps": {"callcore", "kalibri", "rtpproxy_ctl"},
    "api": {"callcore", "kalibri", "kemi"},
    "tools": {"callcore", "kalibri", "kemi", "rtpproxy_ctl", "api"},
}


def test_packages_import_in_one_direction() -> None:
    wrong = [
        f"{module.name} imports {other}"
        for module in project().values()
        for other in module.own
        if (package := module.name.split(".")[0]) != (used := other.split(".")[0])
        and used not in DIRECTIONS[package]
    ]
    assert not wrong
