"""Builders of small index directories, without a database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kalibri import hashfile, rangefile
from kalibri.index_dir import Current, file_name, next_number, read_current, write_current
from kemi.ks_route.index_write import build_index
from kemi.ks_route.model import RouteRow
from kemi.ks_route.overlay import write_overlay
from kemi.ks_route.rows import row_to_json

EMPTY_SYSTEM: dict[str, Any] = {
    "tenants": {"0": {"name": "system", "realm": "system.invalid", "time_zone": "UTC", "max_calls": None}},
    "domains": {},
    "gateways": {},
    "groups": {},
    "schedules": {},
    "caller_ids": [],
    "nodes": [],
}


def write_generation(
    directory: Path,
    *,
    entries: Mapping[str, Mapping[str, Any]] | None = None,
    system: Mapping[str, Any] | None = None,
    ranges: list[tuple[int, int, str, str]] | None = None,
    routes: Iterable[RouteRow] | None = None,
    overlay: Mapping[int, RouteRow | None] | None = None,
    seq: int = 0,
) -> Current:
    """Write new files for what is given, keep the others of the last generation, and switch CURRENT."""
    was = read_current(directory)
    number = next_number(directory)
    names = {"routes": "", "overlay": None, "directory": "", "system": "", "ranges": None}
    if was is not None:
        names = {part: getattr(was, part) for part in names}
    if routes is not None or was is None:
        names["routes"] = file_name("routes", number)
        build_index(sorted(routes or [], key=lambda row: row.order), directory / file_name("routes", number))
        names["overlay"] = None
    if overlay is not None:
        names["overlay"] = file_name("overlay", number)
        gone = [route_id for route_id, row in overlay.items() if row is None]
        rows = [row_to_json(row) for row in overlay.values() if row is not None]
        (directory / file_name("overlay", number)).write_bytes(write_overlay(rows, gone))
    if entries is not None or was is None:
        names["directory"] = file_name("directory", number)
        content = ((key.encode(), json.dumps(value).encode()) for key, value in (entries or {}).items())
        hashfile.build(directory / file_name("directory", number), content)
    if system is not None or was is None:
        names["system"] = file_name("system", number)
        (directory / file_name("system", number)).write_text(json.dumps({**EMPTY_SYSTEM, **(system or {})}))
    if ranges is not None:
        names["ranges"] = file_name("ranges", number)
        rangefile.build(directory / file_name("ranges", number), ranges)
    current = Current(generation=was.generation + 1 if was else 1, seq=seq, **names)  # type: ignore[arg-type]
    write_current(directory, current)
    return current


def account_record(**changes: Any) -> dict[str, Any]:
    """Return the directory record of an account."""
    return {
        "account_id": 1,
        "username": "101",
        "tenant_id": 5,
        "ha1_md5": "0" * 32,
        "ha1_sha256": "0" * 64,
        "domains": ["a.example"],
        "display_name": "Alice",
        "caller_number": None,
        "max_contacts": 5,
        "max_calls": None,
        "media_relay": "auto",
        "ring_timeout_seconds": None,
    } | changes


def gateway_record(gateway_id: int, **changes: Any) -> dict[str, Any]:
    """Return a gateway's entry of the system file."""
    return {
        "gateway_id": gateway_id,
        "tenant_id": 0,
        "name": f"gw{gateway_id}",
        "host": "192.0.2.1",
        "port": 5060,
        "transport": "udp",
        "source_networks": [],
        "source_port": None,
        "max_calls": None,
        "region": None,
        "probe": True,
        "media_relay": "auto",
        "no_reply_timeout_ms": 2000,
        "ring_timeout_seconds": 120,
        "trunk": None,
        "rates": [],
    } | changes
