"""What a worker knows without the database: accounts, numbers, gateways, tenants, number ranges, routes.

Reads the files that ks-index names in CURRENT and follows it from generation to generation. A generation
that cannot be opened is counted and the old one goes on serving: calls never wait for a file.
Never writes, never asks PostgreSQL.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from callcore.account_service import AccountServices, HuntGroup
from callcore.gateway import Gateway
from kalibri.hashfile import HashFile
from kalibri.index_dir import CURRENT, Current, read_current
from kalibri.rangefile import RangeFile
from kemi.account_record import AccountRecord
from kemi.ks_acd.model import QueueRecord
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.model import DestinationKind, NumberRecord, NumberRegion
from kemi.ks_route.table import RouteTable
from kemi.source_address import SourceAddresses

#: The parts of a generation, as fields of Current.
_PARTS = ("routes", "overlay", "system", "directory", "ranges")
#: A generation that could not be opened is tried again after this time, though CURRENT did not change.
RETRY_SECONDS = 1.0


_ACCOUNT_KEYS = tuple(entry.name for entry in fields(AccountRecord))


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One consistent set of open files."""

    current: Current | None = None
    system: SystemFacts = field(default_factory=SystemFacts)
    entries: HashFile | None = None
    ranges: RangeFile | None = None
    sources: SourceAddresses = field(default_factory=lambda: SourceAddresses(()))
    routes: RouteTable = field(default_factory=lambda: RouteTable.from_rows(()))


class Directory:
    """The files of the index directory, open and followed. One a process; `refresh` before each request."""

    def __init__(self, index_dir: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at a directory; nothing is opened before `refresh`. clock: monotonic seconds."""
        self._dir = index_dir
        self._current_path = os.fspath(index_dir / CURRENT)
        self._clock = clock
        self._served = Generation()
        self._signature: tuple[int, ...] = ()
        self._retry_at: float | None = None
        #: Generations that could not be opened, and the last reason.
        self.errors = 0
        self.last_error = ""

    @classmethod
    def open(cls, index_dir: Path | str) -> Directory:
        """Open what is there; an empty directory serves nothing until ks-index has written it."""
        directory = cls(Path(index_dir))
        directory.refresh()
        return directory

    def refresh(self) -> bool:
        """Follow CURRENT; True if another generation is served now. One os.stat when nothing changed."""
        try:
            stat = os.stat(self._current_path)
        except OSError as error:
            if self._served.current is not None:
                self._failed((), error)
            return False
        signature = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if signature == self._signature and (self._retry_at is None or self._clock() < self._retry_at):
            return False
        try:
            self._served = self._load()
        except Exception as error:  # whatever is wrong with a file, calls go on with the old ones
            self._failed(signature, error)
            return False
        self._signature, self._retry_at = signature, None
        return True

    def _failed(self, signature: tuple[int, ...], error: Exception) -> None:
        if signature != self._signature or self._retry_at is None or self._clock() >= self._retry_at:
            self.errors += 1
            self.last_error = f"{type(error).__name__}: {error}"
            self._signature, self._retry_at = signature, self._clock() + RETRY_SECONDS

    def _load(self) -> Generation:
        """Open the files that changed, keep those that did not."""
        current = read_current(self._dir)
        if current is None:
            raise FileNotFoundError(self._current_path)
        old, was = self._served, self._served.current
        same = {part for part in _PARTS if was and getattr(was, part) == getattr(current, part)}
        system = old.system if "system" in same else _read_system(self._dir / current.system)
        return Generation(
            current=current,
            system=system,
            sources=old.sources if "system" in same else SourceAddresses(system.gateways.values()),
            entries=old.entries if "directory" in same else HashFile(self._dir / current.directory),
            ranges=old.ranges if "ranges" in same else self._open_ranges(current.ranges),
            routes=old.routes if {"routes", "overlay"} <= same else self._open_routes(current, old.routes),
        )

    def _open_routes(self, current: Current, old: RouteTable) -> RouteTable:
        overlay = None if current.overlay is None else self._dir / current.overlay
        return RouteTable.open(self._dir / current.routes, overlay, previous=old)

    def _open_ranges(self, name: str | None) -> RangeFile | None:
        return None if name is None else RangeFile(self._dir / name)

    @property
    def generation(self) -> int:
        """The generation that is served; 0: none yet."""
        return self._served.current.generation if self._served.current else 0

    @property
    def seq(self) -> int:
        """Every change up to this change_log.seq is served; 0: nothing is."""
        return self._served.current.seq if self._served.current else 0

    @property
    def system(self) -> SystemFacts:
        """Tenants, domains, gateways, groups, schedules, caller ids."""
        return self._served.system

    @property
    def routes(self) -> RouteTable:
        """The routes, with every change that is in force."""
        return self._served.routes

    @property
    def ranges(self) -> RangeFile | None:
        """The number ranges; None: none were imported."""
        return self._served.ranges

    def account(self, tenant_id: int, username: str) -> AccountRecord | None:
        """Return an enabled account, or None. FileCorrupt if its record is damaged."""
        record = self._entry(f"a:{tenant_id}:{username}")
        if record is None:
            return None
        known = {key: record[key] for key in _ACCOUNT_KEYS if key in record}
        return AccountRecord(**{**known, "domains": tuple(record["domains"])})

    def account_exists(self, tenant_id: int, username: str) -> bool:
        """Tell whether a tenant has an enabled account, or a hunt group, of this name."""
        if self._entry(f"a:{tenant_id}:{username}") is not None:
            return True
        return self._entry(f"h:{tenant_id}:{username}") is not None

    def services(self, tenant_id: int, username: str) -> AccountServices | None:
        """Return the supplementary services of an account; None: it has none."""
        record = self._entry(f"s:{tenant_id}:{username}")
        return None if record is None else AccountServices.from_json(record)

    def hunt_group(self, tenant_id: int, name: str) -> HuntGroup | None:
        """Return a hunt group, or None."""
        record = self._entry(f"h:{tenant_id}:{name}")
        return None if record is None else HuntGroup.from_json(record)

    def pickup_group(self, tenant_id: int, name: str) -> tuple[str, ...]:
        """Return the user names of a pickup group."""
        record = self._entry(f"p:{tenant_id}:{name}")
        return () if record is None else tuple(record["members"])

    def queue(self, tenant_id: int, name: str) -> QueueRecord | None:
        """Return a queue of an enabled tenant by its name, or None."""
        record = self._entry(f"q:{tenant_id}:{name}")
        return None if record is None else QueueRecord(**record)

    def number(self, e164: str) -> NumberRecord | None:
        """Return what the inventory says of a number (E.164 digits), or None."""
        record = self._entry(f"n:{e164}")
        if record is None:
            return None
        kind = record["destination_kind"]
        return NumberRecord(
            number=record["number"],
            state=record["state"],
            tenant_id=record["tenant_id"],
            destination_kind=None if kind is None else DestinationKind(kind),
            destination=record["destination"],
            gateway_id=record["gateway_id"],
        )

    def region(self, e164: str) -> NumberRegion | None:
        """Return region and operator of a number (E.164 digits), or None."""
        found = None if self._served.ranges is None else self._served.ranges.lookup(e164)
        return None if found is None else NumberRegion(*found)

    def gateways_by_source(self, ip: str, port: int) -> tuple[Gateway, ...]:
        """Return the gateways that a request from this address may come from; see SourceAddresses.find."""
        return self._served.sources.find(ip, port)

    def gateway_by_source(self, ip: str, port: int) -> Gateway | None:
        """Return the gateway that a request from this address comes from; the first if several share it."""
        found = self._served.sources.find(ip, port)
        return found[0] if found else None

    def _entry(self, key: str) -> dict[str, Any] | None:
        entries = self._served.entries
        try:
            value = None if entries is None else entries.get(key.encode())
        except UnicodeEncodeError:  # bytes of a SIP header that were no UTF-8: nobody is called so
            return None
        return None if value is None else json.loads(value)


def _read_system(path: Path) -> SystemFacts:
    return SystemFacts.from_json(json.loads(path.read_bytes()))
