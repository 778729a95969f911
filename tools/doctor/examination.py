"""The whole examination, in the order in which a person should read it.

Each examination is on its own: what cannot be looked at is a line too, and stops nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config
from tools.doctor import certificates, database, host, ports, processes
from tools.doctor.facts import Facts, gather
from tools.doctor.finding import Finding, warn

Examination = Callable[[Facts], Iterator[Finding]]

#: What is looked at, by the name that it has when it cannot be.
EXAMINATIONS: tuple[tuple[str, Examination], ...] = (
    ("ports", ports.examine),
    ("clock", host.clock),
    ("disk", host.disk),
    ("memory", host.memory),
    ("database", database.server),
    ("database", database.tables),
    ("processes", processes.examine),
    ("kamailio", processes.proxy),
    ("index", database.index),
    ("journal", database.journals),
    ("time zones", database.time_zones),
    ("certificates", certificates.examine),
    ("limits", host.limits),
)


def examine(config: Config) -> list[Finding]:
    """Look at everything and return what was found; changes nothing, takes some seconds at most."""
    facts = gather(config)
    with contextlib.ExitStack() as stack:
        if facts.conn is not None:
            stack.enter_context(contextlib.closing(facts.conn))
        return [
            finding for name, examination in EXAMINATIONS for finding in _guarded(name, examination, facts)
        ]


def _guarded(name: str, examination: Examination, facts: Facts) -> Iterator[Finding]:
    try:
        yield from examination(facts)
    except (KalibriError, psycopg.Error, OSError, ValueError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        yield warn(
            name, f"could not be looked at: {told}", "mend what is above first; as root more can be seen"
        )
