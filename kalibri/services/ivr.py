"""IVR scenarios: versions, checks against what exists around them, the allow-list of their look-ups.

Decides what may be stored: a scenario without a mistake, each with file and line. What a call does is callcore's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from callcore.errors import BadInput, NotFound, StillInUse
from callcore.ivr_check import World, check
from callcore.ivr_graph import to_dot
from callcore.ivr_http import Allowed
from callcore.ivr_lines import Problem
from callcore.ivr_scenario import parse
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.ivr_bundle import BadScenario, Loaded, Reader
from kalibri.prompt_files import system_sources
from kalibri.prompt_index import ANY
from kalibri.services import ivr_table
from kalibri.services import prompt as prompts
from kalibri.services.references import refuse_if_used
from kemi.ks_route.model import DestinationKind

SQL = db.statements("ivr")
LANGUAGES = ("ru", "en")
SHOWN_PROBLEMS = 20
_HOST = re.compile(r"(\*\.)?[a-z0-9:]([a-z0-9:._-]{0,251}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One version of a scenario, as it is listed."""

    tenant_id: int
    tenant: str
    name: str
    version: int
    #: Scenarios that it leads through.
    uses: tuple[str, ...]
    created_at: datetime
    created_by: str
    #: The next caller gets this version.
    current: bool


@dataclass(frozen=True, kw_only=True)
class Host:
    """A web server that a tenant's scenarios may ask."""

    tenant_id: int
    tenant: str
    host: str
    #: 0: 80 and 443.
    port: int
    private: bool


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake in a scenario."""

    line: int
    node: str
    message: str


@dataclass(frozen=True)
class _Name:
    kind: str
    name: str


@dataclass(frozen=True)
class _User:
    name: str


def list_scenarios(conn: Conn, *, tenant_id: int | None = None, name: str | None = None) -> list[Scenario]:
    """Return scenarios, each version, the newest first; None: whatever it is."""
    return db.fetch_all(conn, Scenario, SQL["list_scenarios"], tenant_id=tenant_id, name=name)


def find(conn: Conn, *, tenant_id: int, name: str) -> Scenario:
    """Return the newest version of a scenario; raises NotFound."""
    found = list_scenarios(conn, tenant_id=tenant_id, name=name)
    return db.require(found[0] if found else None, "scenario", name)


def export(conn: Conn, *, tenant_id: int, name: str, version: int | None = None) -> str:
    """Return the YAML of a version, None: the newest; raises NotFound."""
    found = db.fetch_value(conn, SQL["source"], tenant_id=tenant_id, name=name, version=version)
    return str(db.require(found, "scenario", name))


def add(conn: Conn, config: Config, *, tenant_id: int, name: str, source: str, by: str = "") -> Scenario:
    """Make a scenario, or a new version of it. Raises BadScenario naming every mistake, BadInput."""
    problems = problems_of(conn, config, tenant_id=tenant_id, source=source, itself=name)
    if problems:
        _refuse(name, problems)
    scenario = parse(source).scenario
    assert scenario is not None
    with conn.transaction():
        db.execute(conn, SQL["lock_names"], tenant_id=tenant_id)
        uses = list(scenario.sub_scenarios())
        db.execute(conn, SQL["add_scenario"], tenant_id=tenant_id, name=name, source=source, uses=uses, by=by)
        return find(conn, tenant_id=tenant_id, name=name)


def _refuse(name: str, problems: tuple[Problem, ...]) -> None:
    told = [problem.text(name) for problem in problems[:SHOWN_PROBLEMS]]
    told += [f"and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
    details = [{"line": one.line, "node": one.node, "message": one.message} for one in problems]
    raise BadScenario(
        f"{len(problems)} mistakes, nothing was stored\n  " + "\n  ".join(told), problems=details
    )


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a scenario with all versions; raises NotFound, StillInUse (a number, a route, another scenario)."""
    with conn.transaction():
        refuse_if_used(conn, kind=DestinationKind.IVR, tenant_id=tenant_id, name=name)
        users = [
            row.name for row in db.fetch_all(conn, _User, SQL["users_of"], tenant_id=tenant_id, name=name)
        ]
        if users:
            raise StillInUse(f'scenario "{name}" is used by {", ".join(users)}', used_by=users)
        if not db.execute(conn, SQL["remove_scenario"], tenant_id=tenant_id, name=name):
            raise NotFound(f'there is no scenario "{name}"')


def check_source(conn: Conn, config: Config, *, tenant_id: int, source: str) -> list[Mistake]:
    """Return every mistake of a scenario, by line."""
    problems = problems_of(conn, config, tenant_id=tenant_id, source=source)
    return [Mistake(line=one.line, node=one.node, message=one.message) for one in problems]


def problems_of(
    conn: Conn, config: Config, *, tenant_id: int, source: str, itself: str = ""
) -> tuple[Problem, ...]:
    """Return every problem of a scenario; itself: its own name, which it may lead to before it exists."""
    parsed = parse(source)
    if parsed.scenario is None:
        return parsed.problems
    world = world_of(conn, config, tenant_id=tenant_id, itself=itself)
    return tuple(sorted({*parsed.problems, *check(parsed.scenario, world)}))


def world_of(conn: Conn, config: Config, *, tenant_id: int, itself: str = "") -> World:
    """Return the names that exist around the scenarios of a tenant."""
    around = db.fetch_all(conn, _Name, SQL["names_around"], tenant_id=tenant_id)
    names = {kind: frozenset(one.name for one in around if one.kind == kind) for kind in _KINDS}
    tables = ivr_table.list_tables(conn, tenant_id=tenant_id)
    return World(
        prompts=_prompt_names(conn, tenant_id),
        queues=names["queue"],
        schedules=names["schedule"],
        accounts=names["account"],
        scenarios=names["scenario"] | {itself},
        tables={table.name: frozenset(table.columns) for table in tables},
        hosts=tuple(
            Allowed(one.host, one.port, one.private) for one in list_hosts(conn, tenant_id=tenant_id)
        ),
    )


_KINDS = ("queue", "schedule", "account", "scenario")


def _prompt_names(conn: Conn, tenant_id: int) -> Mapping[str, frozenset[str]]:
    """Return the prompts that can be heard, by language; those of the system need not be compiled yet."""
    known = [(source.language, source.name) for source in system_sources()]
    for owner in (tenant_id, 0):
        known += [(one.language, one.name) for one in prompts.list_prompts(conn, tenant_id=owner)]
    return {word: frozenset(name for spoken, name in known if spoken in (word, ANY)) for word in LANGUAGES}


def load(conn: Conn, *, tenant_id: int, name: str) -> Loaded:
    """Return a scenario as a call gets it; raises NotFound, BadScenario."""
    data: dict[str, Any] = db.fetch_value(conn, SQL["bundle"], tenant_id=tenant_id, name=name)
    loaded = Reader().read(tenant_id, data)
    db.require(loaded.bundle.scenarios.get(name), "scenario", name)
    return loaded


def graph(conn: Conn, *, tenant_id: int, name: str, version: int | None = None) -> str:
    """Return the drawing of a scenario in Graphviz's language; raises NotFound, BadScenario."""
    parsed = parse(export(conn, tenant_id=tenant_id, name=name, version=version))
    if parsed.scenario is None:
        raise BadScenario(f"{name} cannot be read")
    return to_dot(parsed.scenario, name if version is None else f"{name}, version {version}")


# --------------------------------------------------------------------------------------------------- hosts


def list_hosts(conn: Conn, *, tenant_id: int | None = None) -> list[Host]:
    """Return the web servers that may be asked; None: of all tenants."""
    return db.fetch_all(conn, Host, SQL["list_hosts"], tenant_id=tenant_id)


def allow_host(conn: Conn, *, tenant_id: int, host: str, port: int = 0, private: bool = False) -> Host:
    """Let a tenant's scenarios ask a web server; private: also at a private address. Raises BadInput."""
    name = host.lower().rstrip(".")
    if not _HOST.fullmatch(name):
        raise BadInput(f'"{host}" is no host name: write crm.example.org, *.example.org or an address')
    with conn.transaction():
        db.execute(conn, SQL["add_host"], tenant_id=tenant_id, host=name, port=port, private=private)
        return next(
            one for one in list_hosts(conn, tenant_id=tenant_id) if (one.host, one.port) == (name, port)
        )


def forbid_host(conn: Conn, *, tenant_id: int, host: str, port: int = 0) -> None:
    """Let a web server be asked no more; raises NotFound."""
    with conn.transaction():
        if not db.execute(conn, SQL["remove_host"], tenant_id=tenant_id, host=host.lower(), port=port):
            raise NotFound(f'"{host}" is not in the allow-list')


def import_(
    conn: Conn, config: Config, *, tenant_id: int, sources: Mapping[str, str], by: str = ""
) -> list[Scenario]:
    """Store several scenarios that may lead to one another, all or none; one that is the same stays as it is.

    Raises BadScenario naming every mistake of every file.
    """
    world = world_of(conn, config, tenant_id=tenant_id)
    world = replace(world, scenarios=(world.scenarios or frozenset()) | frozenset(sources))
    told: list[str] = []
    added: list[Scenario] = []
    with conn.transaction():
        db.execute(conn, SQL["lock_names"], tenant_id=tenant_id)
        for name, source in sources.items():
            parsed = parse(source)
            problems = {*parsed.problems, *(check(parsed.scenario, world) if parsed.scenario else ())}
            told += [problem.text(f"{name}.yaml") for problem in sorted(problems)]
            if problems or parsed.scenario is None or source == _newest(conn, tenant_id, name):
                continue
            uses = list(parsed.scenario.sub_scenarios())
            db.execute(
                conn, SQL["add_scenario"], tenant_id=tenant_id, name=name, source=source, uses=uses, by=by
            )
            added.append(find(conn, tenant_id=tenant_id, name=name))
        if told:
            raise BadScenario(f"{len(told)} mistakes, nothing was stored\n  " + "\n  ".join(told))
    return added


def _newest(conn: Conn, tenant_id: int, name: str) -> str | None:
    found = db.fetch_value(conn, SQL["source"], tenant_id=tenant_id, name=name, version=None)
    return None if found is None else str(found)
