"""Do-not-call lists: numbers that nobody, a tenant, or one campaign calls.

Decides what may be on a list. A number on a list is not dialled from that moment on: choice and dialling ask
do_not_call_scope; nothing else has to be told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from callcore.dial import DoNotCallScope
from callcore.dial_import import read_moment
from callcore.errors import BadInput, NotFound
from kalibri import db
from kalibri.csv_table import Complaints, Line, read_table
from kalibri.csvfile import Progress
from kalibri.db import Conn, domain_errors
from kalibri.services import campaign as campaigns
from kalibri.services import number_range

SQL = db.statements("lead")

_NUMBER = re.compile(r"[1-9][0-9]{2,14}", re.ASCII)
SYSTEM = 0


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A number on a do-not-call list."""

    tenant_id: int
    tenant: str
    scope: DoNotCallScope
    #: None: all campaigns.
    campaign: str | None
    number: str
    source: str
    note: str
    #: None: for ever.
    expires_at: datetime | None
    added_at: datetime


@dataclass(frozen=True, kw_only=True)
class ListImport:
    """What an import of a do-not-call list did, or would do; figures are numbers."""

    added: int
    #: On the list before; the later end was kept.
    known: int


def list_numbers(
    conn: Conn,
    *,
    now: datetime,
    tenant_id: int | None,
    campaign: str | None = None,
    number: str | None = None,
    expired: bool = False,
    limit: int = 1000,
) -> list[Listed]:
    """Return do-not-call lists in order of numbers. None: of all tenants, all numbers; expired: also what is over."""
    return db.fetch_all(
        conn,
        Listed,
        SQL["list_listed"],
        tenant_id=tenant_id,
        campaign=campaign,
        number=number,
        all=expired,
        now=now,
        limit=limit,
    )


def add(
    conn: Conn,
    *,
    tenant_id: int,
    numbers: list[str],
    country_code: str,
    campaign: str | None = None,
    until: datetime | None = None,
    source: str = "person",
    note: str = "",
) -> list[str]:
    """Put numbers on a list, all or none; tenant 0: nobody calls them. Return them as E.164 digits.

    until: None, for ever. Raises NotFound (campaign), NotANumber.
    """
    digits = [number_range.to_e164(number, country_code=country_code) for number in numbers]
    with conn.transaction():
        campaign_id = _campaign_id(conn, tenant_id, campaign)
        for number in digits:
            params = {"number": number, "source": source, "until": until, "note": note}
            db.execute(conn, SQL["add_listed"], tenant_id=tenant_id, campaign_id=campaign_id, **params)
    return digits


def remove(
    conn: Conn, *, tenant_id: int, numbers: list[str], country_code: str, campaign: str | None = None
) -> None:
    """Take numbers from one list, all or none; raises NotFound for one that is not on it, NotANumber."""
    with conn.transaction():
        campaign_id = _campaign_id(conn, tenant_id, campaign)
        for text in numbers:
            number = number_range.to_e164(text, country_code=country_code)
            ids = {"tenant_id": tenant_id, "campaign_id": campaign_id}
            if not db.execute(conn, SQL["remove_listed"], **ids, number=number):
                raise NotFound(f"{number} is not on this do-not-call list")


def import_(
    conn: Conn,
    *,
    tenant_id: int,
    file: Path,
    country_code: str,
    zone: tzinfo,
    campaign: str | None = None,
    dry_run: bool = False,
    progress: Progress = lambda _bytes: None,
) -> ListImport:
    """Put the numbers of a CSV (number, note, expires_at) on a list, all or none; none is removed.

    zone: of moments that name none. Raises NotFound, CsvRefused naming every line that is wrong.
    """
    complaints = Complaints()
    with conn.transaction(force_rollback=dry_run):
        campaign_id = _campaign_id(conn, tenant_id, campaign)
        db.execute(conn, SQL["unstage_listed"])
        db.execute(conn, SQL["stage_listed"])
        seen: set[str] = set()
        lines = read_table(
            file,
            required=("number",),
            optional=("note", "expires_at"),
            complaints=complaints,
            progress=progress,
        )
        with domain_errors(), conn.cursor() as cursor, cursor.copy(SQL["copy_listed"]) as copy:
            for line in lines:
                try:
                    row = _row(line, country_code, zone)
                except BadInput as error:
                    complaints.add(line.number, error.message)
                else:
                    seen.add(row[1])
                    copy.write_row(row)
        complaints.raise_if_any()
        ids = {"tenant_id": tenant_id, "campaign_id": campaign_id}
        known: int = db.fetch_value(conn, SQL["count_listed"], **ids)
        db.execute(conn, SQL["put_listed"], **ids, source=file.name[:128])
    return ListImport(added=len(seen) - known, known=known)


def _row(line: Line, country_code: str, zone: tzinfo) -> tuple[int, str, str, datetime | None]:
    number = number_range.to_e164(line.fields["number"], country_code=country_code)
    if not _NUMBER.fullmatch(number):
        raise BadInput(f"{number} is no E.164 number")
    text = line.fields.get("expires_at", "")
    try:
        until = read_moment(text, zone, latest=True) if text else None
    except ValueError:
        raise BadInput(f"expires_at {text!r}: write 2026-12-31 or 31.12.2026") from None
    return line.number, number, line.fields.get("note", ""), until


def _campaign_id(conn: Conn, tenant_id: int, campaign: str | None) -> int | None:
    if campaign is None:
        return None
    return campaigns.find(conn, tenant_id=tenant_id, name=campaign).campaign_id
