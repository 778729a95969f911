"""For which sets of zones the hours of a campaign are open.

Reads the sets and asks callcore/dial_hours.py; the engine and `campaign why` give the answer to lead_take and
lead_outlook. Never decides by itself when somebody may be called.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from callcore.dial_hours import CallingHours
from kalibri import db
from kalibri.db import Conn
from kalibri.services.campaign import SQL, Campaign

#: The set without a zone: nobody knows.
UNKNOWN_SET = 0


@dataclass(frozen=True, kw_only=True)
class ZoneSet:
    """A set of zones in which numbers may be."""

    zone_set_id: int
    #: IANA names, sorted; none: unknown.
    zones: tuple[str, ...]


def zone_sets(conn: Conn) -> list[ZoneSet]:
    """Return every set; rows are only ever added, so a reader may keep what it has read."""
    return db.fetch_all(conn, ZoneSet, SQL["zone_sets"])


def open_among(
    sets: list[ZoneSet], hours: CallingHours, unknown_zones: tuple[str, ...], now: datetime
) -> list[int]:
    """Return the ids of the sets in whose zones people may be called at this moment."""
    return [entry.zone_set_id for entry in sets if hours.is_open(entry.zones or unknown_zones, now)]


def open_sets(conn: Conn, campaign: Campaign, now: datetime) -> list[int]:
    """Return the ids of all sets in whose zones a campaign may call people at this moment."""
    return open_among(zone_sets(conn), campaign.calling_hours, campaign.unknown_zones, now)
