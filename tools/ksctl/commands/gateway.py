"""ksctl gateway: SIP next hops, the addresses they send from, and their prices."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from callcore.states import RelayMode
from kalibri.services import gateway as gateways
from kalibri.services import gateway_rate as rates
from kalibri.services.gateway_rate import Rate
from tools.ksctl.app import App, pass_app
from tools.ksctl.bad_rows import errors_option, written_to
from tools.ksctl.csv_files import export_option, write_lines
from tools.ksctl.options import (
    NUMBER_OR_NONE,
    TEXT_OR_NONE,
    AmountType,
    Command,
    dry_run_option,
    enabled_option,
    file_argument,
    given,
    local_file,
    owner_option,
    tell_import,
    tenant_filter_option,
)
from tools.ksctl.output import Column, output_option, say, show, show_one

COLUMNS = (
    "tenant",
    "name",
    Column("address", value=lambda gateway: f"{gateway.transport}:{gateway.host}:{gateway.port}"),
    "enabled",
    "health",
    "registration",
    "max_calls",
    "region",
    "groups",
    "reason",
)
RATE_COLUMNS = (
    "prefix",
    "price_per_minute",
    "connection_fee",
    "first_increment_seconds",
    "next_increment_seconds",
    "currency",
)


def settings_options(command: Command) -> Command:
    """Add what can be said about a gateway when it is made and later."""
    options = [
        click.option("--port", type=int, help="SIP port (default 5060)."),
        click.option("--transport", type=click.Choice(["udp", "tcp", "tls"]), help="Default udp."),
        click.option(
            "--source",
            "source_networks",
            multiple=True,
            help="Address or network that it sends from, believed without digest (repeat for several).",
        ),
        click.option(
            "--source-port", type=NUMBER_OR_NONE, help="Port that it must send from, or none for any."
        ),
        click.option("--max-calls", type=NUMBER_OR_NONE, help="Calls at once, or none for no limit."),
        click.option("--region", type=TEXT_OR_NONE, help="Region that it is local to, or none."),
        click.option(
            "--probe/--no-probe", default=None, help="Whether it is asked by OPTIONS (default yes)."
        ),
        click.option(
            "--media-relay",
            type=click.Choice([item.value for item in RelayMode]),
            help="When media is relayed.",
        ),
        click.option(
            "--no-reply-timeout-ms", type=int, help="No reply at all within this: the next gateway."
        ),
        click.option("--ring-timeout", "ring_timeout_seconds", type=int, help="Seconds (default 120)."),
        click.option(
            "--trusted/--untrusted",
            default=None,
            help="P-Asserted-Identity is believed from it and shown to it (default no).",
        ),
        click.option("--note", help="For people."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group("gateway")
def cli() -> None:
    """SIP next hops: carriers, PBXs, test equipment."""


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List gateways with health, registration and what speaks against them."""
    show(gateways.list_gateways(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@owner_option
@click.argument("name")
@output_option
@pass_app
def show_(app: App, tenant: str, name: str, output: str) -> None:
    """Show everything about one gateway."""
    show_one(gateways.find(app.conn, tenant_id=app.tenant_id(tenant), name=name), output)


@cli.command("add")
@owner_option
@click.argument("name")
@click.argument("host")
@settings_options
@enabled_option
@pass_app
def add(app: App, tenant: str, name: str, host: str, **settings: Any) -> None:
    """Make a gateway at a host name or IP address.

    Calls from it are accepted only with --source, or through a trunk registration (ksctl trunk).
    """
    gateways.add(app.conn, tenant_id=app.tenant_id(tenant), name=name, host=host, **given(settings))
    say(f"gateway {name} added")


@cli.command("set")
@owner_option
@click.argument("name")
@click.option("--host", help="Host name or IP address.")
@settings_options
@enabled_option
@pass_app
def set_(app: App, tenant: str, name: str, **changes: Any) -> None:
    """Change a gateway; --source replaces all its sources."""
    gateways.change(app.conn, tenant_id=app.tenant_id(tenant), name=name, **given(changes))
    say(f"gateway {name} changed")


@cli.command("rm")
@owner_option
@click.argument("name")
@pass_app
def remove(app: App, tenant: str, name: str) -> None:
    """Remove a gateway that no group, number or route uses, with its prices and its trunk."""
    gateways.remove(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    say(f"gateway {name} removed")


@cli.group("source")
def source() -> None:
    """Addresses from which requests are believed without digest."""


@source.command("add")
@owner_option
@click.argument("name")
@click.argument("networks", metavar="NETWORK...", nargs=-1, required=True)
@pass_app
def add_source(app: App, tenant: str, name: str, networks: tuple[str, ...]) -> None:
    """Believe further addresses or networks."""
    after = gateways.add_sources(app.conn, tenant_id=app.tenant_id(tenant), name=name, networks=networks)
    say(f"gateway {name} sends from {', '.join(after.source_networks)}")


@source.command("rm")
@owner_option
@click.argument("name")
@click.argument("networks", metavar="NETWORK...", nargs=-1, required=True)
@pass_app
def remove_source(app: App, tenant: str, name: str, networks: tuple[str, ...]) -> None:
    """Believe addresses or networks no longer."""
    after = gateways.remove_sources(app.conn, tenant_id=app.tenant_id(tenant), name=name, networks=networks)
    say(f"gateway {name} sends from {', '.join(after.source_networks) or 'nowhere'}")


@cli.group("rate")
def rate() -> None:
    """Prices, by prefix of the number that is sent; the longest prefix counts, the empty one is the default."""


@rate.command("list")
@owner_option
@click.argument("gateway")
@output_option
@pass_app
def list_rates(app: App, tenant: str, gateway: str, output: str) -> None:
    """List the prices of a gateway."""
    show(rates.list_rates(app.conn, tenant_id=app.tenant_id(tenant), gateway=gateway), RATE_COLUMNS, output)


@rate.command("set")
@owner_option
@click.argument("gateway")
@click.argument("price", type=AmountType())
@click.option("--prefix", default="", help="Digits that the number begins with (default: all other numbers).")
@click.option("--connection-fee", type=AmountType(), default=Decimal(0), help="Once for an answered call.")
@click.option("--first-increment", type=int, default=60, show_default=True, help="Seconds charged at least.")
@click.option(
    "--next-increment", type=int, default=60, show_default=True, help="Seconds of each further step."
)
@click.option("--currency", default="RUB", show_default=True)
@pass_app
def set_rate(
    app: App,
    tenant: str,
    gateway: str,
    price: Decimal,
    first_increment: int,
    next_increment: int,
    **more: Any,
) -> None:
    """Set the PRICE per minute of a gateway for a prefix."""
    rate = Rate(
        price_per_minute=price,
        first_increment_seconds=first_increment,
        next_increment_seconds=next_increment,
        **more,
    )
    rates.set_rate(app.conn, tenant_id=app.tenant_id(tenant), gateway=gateway, rate=rate)
    say(f"{rate.price_per_minute} {rate.currency} a minute to {rate.prefix or 'all other numbers'}")


@rate.command("rm")
@owner_option
@click.argument("gateway")
@click.option("--prefix", default="", help="The prefix (default: the price for all other numbers).")
@pass_app
def remove_rate(app: App, tenant: str, gateway: str, prefix: str) -> None:
    """Remove the price for a prefix."""
    rates.remove_rate(app.conn, tenant_id=app.tenant_id(tenant), gateway=gateway, prefix=prefix)
    say(f"the price to {prefix or 'all other numbers'} is removed")


@rate.command("export")
@owner_option
@click.argument("gateway")
@export_option
@pass_app
def export_rates(app: App, tenant: str, gateway: str, file: Path | None) -> None:
    """Write the prices of a gateway as CSV."""
    write_lines(rates.export(app.conn, tenant_id=app.tenant_id(tenant), gateway=gateway), file)


@rate.command("import")
@owner_option
@click.argument("gateway")
@file_argument
@click.option("--replace", is_flag=True, help="Remove prices for prefixes that the file does not have.")
@dry_run_option
@errors_option
@pass_app
def import_rates(
    app: App, tenant: str, gateway: str, file: Path, replace: bool, dry_run: bool, errors: Path | None
) -> None:
    """Set prices from a CSV, all or none.

    Columns: prefix, price_per_minute and any of connection_fee, first_increment_seconds,
    next_increment_seconds, currency.
    """
    owner = app.tenant_id(tenant)
    with local_file(file) as path, written_to(errors):
        result = rates.import_(
            app.conn, tenant_id=owner, gateway=gateway, file=path, replace=replace, dry_run=dry_run
        )
    tell_import(result, dry_run)
