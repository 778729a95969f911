"""Accounts as CSV: moved between systems with HA1 instead of passwords, or provisioned with passwords.

An import changes accounts of the same user name, adds the others, removes none, and changes only the columns
that the file has. A file that was exported and imported again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from callcore.digest import check_password, ha1
from callcore.errors import KalibriError
from kalibri import db
from kalibri.csv_table import Complaints, Line, read_table, write_table
from kalibri.db import Conn
from kalibri.importing import ImportResult, LineReader, stage, unique_lines
from kalibri.services import account as accounts
from kalibri.services.account import SQL, AccountRecord

REQUIRED = ("username",)
COLUMNS = (
    "username",
    "display_name",
    "domains",
    "realm",
    "ha1_md5",
    "ha1_sha256",
    "caller_number",
    "max_contacts",
    "max_calls",
    "media_relay",
    "ring_timeout_seconds",
    "record",
    "enabled",
)
#: Understood in a file, never written.
PASSWORD = "password"


def export(conn: Conn, *, tenant_id: int) -> Iterator[str]:
    """Yield the lines of a CSV with all accounts of a tenant, their HA1 included."""
    realm = accounts.realm(conn, tenant_id=tenant_id)
    found = accounts.records(conn, tenant_id=tenant_id)
    return write_table(COLUMNS, (_fields(record, realm) for record in found))


def _fields(record: AccountRecord, realm: str) -> list[str]:
    values = {**vars(record), "realm": realm, "domains": " ".join(record.domains)}
    values["enabled"] = "true" if record.enabled else "false"
    values["record"] = {None: "", True: "true", False: "false"}[record.record]
    return ["" if values[name] is None else str(values[name]) for name in COLUMNS]


def import_(conn: Conn, *, tenant_id: int, file: Path, dry_run: bool = False) -> ImportResult:
    """Add and change accounts of a tenant, all or none; dry_run: check everything and change nothing.

    Raises CsvRefused naming every wrong line, NotFound for the tenant.
    """
    complaints = Complaints()
    with conn.transaction(force_rollback=dry_run):
        before = {record.username: record for record in accounts.records(conn, tenant_id=tenant_id)}
        reader = _Reader(conn, tenant_id, before, complaints)
        optional = [*COLUMNS, PASSWORD]
        lines = {
            line.number: reader.record(line)
            for line in read_table(file, required=REQUIRED, optional=optional, complaints=complaints)
        }
        unique_lines({number: record.username for number, record in lines.items()}, "account", complaints)
        wanted = {number: record for number, record in lines.items() if before.get(record.username) != record}
        db.execute(conn, SQL["make_staging"])
        parameters = {number: {"tenant_id": tenant_id, **vars(record)} for number, record in wanted.items()}
        stage(conn, SQL["stage_account"], parameters, complaints)
        complaints.raise_if_any()
        db.execute(conn, SQL["take_over_staged"])
        domains = {record.username: record.domains for record in wanted.values()}
        accounts.save_domains(conn, tenant_id=tenant_id, domains=domains)
        return _result(lines, before)


def _result(lines: Mapping[int, AccountRecord], before: Mapping[str, AccountRecord]) -> ImportResult:
    after = list(lines.values())
    return ImportResult(
        added=tuple(record.username for record in after if record.username not in before),
        changed=tuple(record.username for record in after if before.get(record.username, record) != record),
        unchanged=tuple(record.username for record in after if before.get(record.username) == record),
    )


class _Reader:
    """Turns lines into accounts, with what is there already as the default."""

    def __init__(
        self, conn: Conn, tenant_id: int, before: Mapping[str, AccountRecord], complaints: Complaints
    ) -> None:
        self._realm = accounts.realm(conn, tenant_id=tenant_id)
        self._domains = accounts.domain_names(conn, tenant_id=tenant_id)
        self._before = before
        self._complaints = complaints

    def record(self, line: Line) -> AccountRecord:
        """Return the account that a line describes; complaints are noted."""
        fields = LineReader(line, self._complaints)
        username = fields.text("username")
        default = self._before.get(username) or AccountRecord(username=username, domains=self._domains)
        record = AccountRecord(
            username=username,
            display_name=fields.text("display_name", default.display_name),
            domains=self._known_domains(fields, default),
            ha1_md5=default.ha1_md5,
            ha1_sha256=default.ha1_sha256,
            caller_number=fields.optional("caller_number", default.caller_number),
            max_contacts=fields.number("max_contacts", default.max_contacts),
            max_calls=fields.optional_number("max_calls", default.max_calls),
            media_relay=fields.word("media_relay", default.media_relay),
            ring_timeout_seconds=fields.optional_number("ring_timeout_seconds", default.ring_timeout_seconds),
            record=fields.optional_flag("record", default.record),
            enabled=fields.flag("enabled", default.enabled),
        )
        return self._with_secret(fields, record)

    def _known_domains(self, fields: LineReader, default: AccountRecord) -> tuple[str, ...]:
        names = tuple(sorted({name.lower() for name in fields.words("domains", default.domains)}))
        for name in names:
            if name not in self._domains:
                fields.complain(f'domains: the tenant has no domain "{name}"')
        return names

    def _with_secret(self, fields: LineReader, record: AccountRecord) -> AccountRecord:
        if fields.has(PASSWORD):
            try:
                check_password(record.username, fields.text(PASSWORD))
            except KalibriError as error:
                fields.complain(error.message)
            secret = ha1(record.username, self._realm, fields.text(PASSWORD))
            return replace(record, ha1_md5=secret.md5, ha1_sha256=secret.sha256)
        if fields.has("ha1_md5") or fields.has("ha1_sha256"):
            if fields.text("realm", self._realm) != self._realm:
                fields.complain(f'realm: HA1 is for another realm than the tenant\'s "{self._realm}"')
            md5, sha256 = fields.text("ha1_md5", record.ha1_md5), fields.text("ha1_sha256", record.ha1_sha256)
            return replace(record, ha1_md5=md5, ha1_sha256=sha256)
        if not record.ha1_md5:
            fields.complain("a new account needs a password, or ha1_md5 and ha1_sha256")
            # Anything well formed: the complaint is about the missing secret only.
            return replace(record, ha1_md5="0" * 32, ha1_sha256="0" * 64)
        return record
