"""What the database says of a scenario (function ivr_bundle) as the value that a call keeps. Pure."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from callcore.errors import BadInput
from callcore.ivr_http import Allowed
from callcore.ivr_run import Bundle, Version
from callcore.ivr_scenario import parse
from callcore.schedule import BadSchedule, Schedule, time_zone

log = logging.getLogger("ivr")


class BadScenario(BadInput):
    """The scenario has mistakes."""

    error_id = "bad-scenario"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A bundle, and whom its look-ups may ask."""

    bundle: Bundle
    allowed: tuple[Allowed, ...]


class Reader:
    """Reads bundles; a version that was read before is not parsed again."""

    def __init__(self) -> None:
        self._versions: dict[tuple[int, str, int, int], Version] = {}

    def read(self, tenant: int, data: Mapping[str, Any]) -> Loaded:
        """Read what ivr_bundle returned. Raises BadScenario for a source that cannot be run."""
        versions = {row["name"]: self._version(tenant, row) for row in data["scenarios"]}
        zone = time_zone(data.get("time_zone") or "UTC")
        return Loaded(Bundle(scenarios=versions, schedules=_schedules(data), zone=zone), allowed_of(data))

    def _version(self, tenant: int, row: Mapping[str, Any]) -> Version:
        key = (tenant, row["name"], row["version"], hash(row["source"]))
        found = self._versions.get(key)
        if found is None:
            parsed = parse(row["source"])
            if parsed.scenario is None:
                raise BadScenario("; ".join(problem.text(row["name"]) for problem in parsed.problems[:3]))
            found = Version(name=row["name"], version=row["version"], scenario=parsed.scenario)
            if len(self._versions) > 1000:
                self._versions.clear()
            self._versions[key] = found
        return found


def allowed_of(data: Mapping[str, Any]) -> tuple[Allowed, ...]:
    """Return the allow-list of a bundle."""
    return tuple(Allowed(row["host"], row["port"], row["private"]) for row in data["hosts"])


def _schedules(data: Mapping[str, Any]) -> dict[str, Schedule]:
    """Return the schedules by name; the tenant's hide the system's, which come first."""
    found: dict[str, Schedule] = {}
    for row in data["schedules"]:
        try:
            found[row["name"]] = Schedule.from_json(row)
        except BadSchedule as error:
            log.warning("schedule %s: %s", row["name"], error.message)
    return found
