"""Prices of gateways: per prefix of the sent number, with connection fee and billing increments.

The longest prefix counts, the empty one is the default (callcore/gateway.py computes). Amounts are decimals
with six places, exact from the CSV to the database and back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from callcore.errors import BadInput, NotFound
from kalibri import db
from kalibri.csv_table import Complaints, Line, read_table, write_table
from kalibri.db import Conn
from kalibri.importing import ImportResult, LineReader, stage, unique_lines
from kalibri.services import gateway as gateways
from kalibri.services.gateway import SQL

REQUIRED = ("prefix", "price_per_minute")
OPTIONAL = ("connection_fee", "first_increment_seconds", "next_increment_seconds", "currency")
#: numeric(12,6) in schema.sql.
SMALLEST_AMOUNT = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Price of calls to one prefix; defaults are those of a new one."""

    #: Digits; empty: all other numbers.
    prefix: str
    price_per_minute: Decimal = Decimal(0)
    connection_fee: Decimal = Decimal(0)
    first_increment_seconds: int = 60
    next_increment_seconds: int = 60
    currency: str = "RUB"


def list_rates(conn: Conn, *, tenant_id: int, gateway: str) -> list[Rate]:
    """Return the prices of a gateway, by prefix; raises NotFound."""
    gateway_id = gateways.find(conn, tenant_id=tenant_id, name=gateway).gateway_id
    return db.fetch_all(conn, Rate, SQL["rates"], gateway_id=gateway_id)


def set_rate(conn: Conn, *, tenant_id: int, gateway: str, rate: Rate) -> None:
    """Store the price for a prefix, new or changed; raises NotFound, BadInput."""
    for amount in (rate.price_per_minute, rate.connection_fee):
        if amount != round(amount, 6):
            raise BadInput(f"{amount} is finer than the smallest amount, {SMALLEST_AMOUNT}")
    with conn.transaction():
        gateway_id = gateways.settings(conn, tenant_id=tenant_id, name=gateway).gateway_id
        db.execute(conn, SQL["make_rate_staging"])
        db.execute(conn, SQL["stage_rate"], gateway_id=gateway_id, **vars(rate))
        db.execute(conn, SQL["take_over_rates"])


def remove_rate(conn: Conn, *, tenant_id: int, gateway: str, prefix: str) -> None:
    """Remove the price for a prefix; raises NotFound."""
    with conn.transaction():
        gateway_id = gateways.settings(conn, tenant_id=tenant_id, name=gateway).gateway_id
        if not db.execute(conn, SQL["remove_rates"], gateway_id=gateway_id, prefixes=[prefix]):
            raise NotFound(f'the gateway has no rate for the prefix "{prefix}"')


def export(conn: Conn, *, tenant_id: int, gateway: str) -> Iterator[str]:
    """Yield the lines of a CSV with all prices of a gateway; raises NotFound."""
    columns = (*REQUIRED, *OPTIONAL)
    rates = list_rates(conn, tenant_id=tenant_id, gateway=gateway)
    return write_table(columns, ([_text(getattr(rate, name)) for name in columns] for rate in rates))


def _text(value: object) -> str:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)


def import_(
    conn: Conn, *, tenant_id: int, gateway: str, file: Path, replace: bool = False, dry_run: bool = False
) -> ImportResult:
    """Store the prices of a CSV, all or none.

    replace: remove prices for prefixes that the file does not have. dry_run: check everything and change
    nothing. Raises NotFound, CsvRefused naming every wrong line.
    """
    complaints = Complaints()
    with conn.transaction(force_rollback=dry_run):
        gateway_id = gateways.settings(conn, tenant_id=tenant_id, name=gateway).gateway_id
        before = {rate.prefix: rate for rate in db.fetch_all(conn, Rate, SQL["rates"], gateway_id=gateway_id)}
        table = read_table(file, required=REQUIRED, optional=OPTIONAL, complaints=complaints)
        lines = {line.number: _read(line, before, complaints) for line in table}
        unique_lines({number: rate.prefix for number, rate in lines.items()}, "prefix", complaints)
        wanted = {number: rate for number, rate in lines.items() if before.get(rate.prefix) != rate}
        db.execute(conn, SQL["make_rate_staging"])
        parameters = {number: {"gateway_id": gateway_id, **vars(rate)} for number, rate in wanted.items()}
        stage(conn, SQL["stage_rate"], parameters, complaints)
        complaints.raise_if_any()
        gone = sorted(before.keys() - {rate.prefix for rate in lines.values()}) if replace else []
        db.execute(conn, SQL["remove_rates"], gateway_id=gateway_id, prefixes=gone)
        db.execute(conn, SQL["take_over_rates"])
    names = {number: rate.prefix or "default" for number, rate in lines.items()}
    return ImportResult(
        added=tuple(name for number, name in names.items() if lines[number].prefix not in before),
        changed=tuple(names[number] for number, rate in wanted.items() if rate.prefix in before),
        unchanged=tuple(name for number, name in names.items() if number not in wanted),
        removed=tuple(prefix or "default" for prefix in gone),
    )


def _read(line: Line, before: dict[str, Rate], complaints: Complaints) -> Rate:
    fields = LineReader(line, complaints)
    default = before.get(fields.text("prefix")) or Rate(prefix=fields.text("prefix"))
    if not fields.has("price_per_minute"):
        fields.complain("price_per_minute is missing")
    return Rate(
        prefix=default.prefix,
        price_per_minute=fields.decimal("price_per_minute", default.price_per_minute, SMALLEST_AMOUNT),
        connection_fee=fields.decimal("connection_fee", default.connection_fee, SMALLEST_AMOUNT),
        first_increment_seconds=fields.number("first_increment_seconds", default.first_increment_seconds),
        next_increment_seconds=fields.number("next_increment_seconds", default.next_increment_seconds),
        currency=fields.text("currency", default.currency) or default.currency,
    )
