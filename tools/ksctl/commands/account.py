"""ksctl account: SIP accounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from callcore.states import RelayMode
from kalibri.services import account as accounts
from kalibri.services import account_csv
from tools.ksctl import account_services
from tools.ksctl.app import App, pass_app
from tools.ksctl.bad_rows import errors_option, written_to
from tools.ksctl.csv_files import export_option, write_lines
from tools.ksctl.options import (
    NUMBER_OR_NONE,
    TEXT_OR_NONE,
    YES_OR_NONE,
    Command,
    dry_run_option,
    enabled_option,
    file_argument,
    given,
    local_file,
    tell_import,
    tenant_filter_option,
    tenant_option,
)
from tools.ksctl.output import output_option, say, show, show_one
from tools.ksctl.passwords import password_options, read_password, tell_generated

COLUMNS = (
    "tenant",
    "username",
    "display_name",
    "domains",
    "contacts",
    "caller_number",
    "max_calls",
    "enabled",
)


def settings_options(command: Command) -> Command:
    """Add what can be said about an account when it is made and later."""
    options = [
        click.option(
            "-d", "--domain", "domains", multiple=True, help="May register here (repeat for several)."
        ),
        click.option("--display-name", help="Name shown to the called."),
        click.option("--caller-number", type=TEXT_OR_NONE, help="E.164 number shown to gateways, or none."),
        click.option("--max-contacts", type=int, help="Phones at once (1-100, default 5)."),
        click.option("--max-calls", type=NUMBER_OR_NONE, help="Calls at once, or none for no limit."),
        click.option(
            "--media-relay",
            type=click.Choice([item.value for item in RelayMode]),
            help="When media is relayed.",
        ),
        click.option(
            "--record",
            type=YES_OR_NONE,
            help="Record its calls: yes, no, or none (as the tenant's policy says).",
        ),
        click.option("--ring-timeout", "ring_timeout_seconds", type=NUMBER_OR_NONE, help="Seconds, or none."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group("account")
def cli() -> None:
    """SIP accounts: who may register, where, with which limits."""


cli.add_command(account_services.cli)


@cli.command("list")
@tenant_filter_option
@output_option
@pass_app
def list_(app: App, tenant: str | None, output: str) -> None:
    """List accounts with the number of their registered phones (contacts)."""
    show(accounts.list_accounts(app.conn, tenant_id=app.optional_tenant_id(tenant)), COLUMNS, output)


@cli.command("show")
@tenant_option
@click.argument("username")
@output_option
@pass_app
def show_(app: App, tenant: str, username: str, output: str) -> None:
    """Show one account."""
    show_one(accounts.find(app.conn, tenant_id=app.tenant_id(tenant), username=username), output)


@cli.command("add")
@tenant_option
@click.argument("username")
@settings_options
@enabled_option
@password_options
@pass_app
def add(
    app: App, tenant: str, username: str, password_file: Path | None, generate: bool, **settings: Any
) -> None:
    """Make an account; without --domain it may register in every domain of its tenant.

    The password is asked for, unless --password-file or --generate is given.
    """
    tenant_id = app.tenant_id(tenant)
    password = read_password(password_file, generate)
    account = accounts.add(
        app.conn, tenant_id=tenant_id, username=username, password=password, **given(settings)
    )
    say(f"account {username} added, may register in {', '.join(account.domains)}")
    tell_generated(password, generate)


@cli.command("set")
@tenant_option
@click.argument("username")
@settings_options
@enabled_option
@pass_app
def set_(app: App, tenant: str, username: str, **changes: Any) -> None:
    """Change an account; --domain replaces all its domains."""
    accounts.change(app.conn, tenant_id=app.tenant_id(tenant), username=username, **given(changes))
    say(f"account {username} changed")


@cli.command("passwd")
@tenant_option
@click.argument("username")
@password_options
@pass_app
def passwd(app: App, tenant: str, username: str, password_file: Path | None, generate: bool) -> None:
    """Give an account a new password: asked for, from a file, or generated."""
    tenant_id = app.tenant_id(tenant)
    accounts.find(app.conn, tenant_id=tenant_id, username=username)  # before anybody types a password
    password = read_password(password_file, generate)
    accounts.set_password(app.conn, tenant_id=tenant_id, username=username, password=password)
    say(f"account {username} has a new password")
    tell_generated(password, generate)


@cli.command("rm")
@tenant_option
@click.argument("username")
@pass_app
def remove(app: App, tenant: str, username: str) -> None:
    """Remove an account to which no number and no route leads."""
    accounts.remove(app.conn, tenant_id=app.tenant_id(tenant), username=username)
    say(f"account {username} removed")


@cli.command("export")
@tenant_option
@export_option
@pass_app
def export(app: App, tenant: str, file: Path | None) -> None:
    """Write all accounts of a tenant as CSV.

    Passwords are not stored, but HA1 is as good as one: nobody else may read the file that --to makes.
    """
    os.umask(0o077)
    write_lines(account_csv.export(app.conn, tenant_id=app.tenant_id(tenant)), file)


@cli.command("import")
@tenant_option
@file_argument
@dry_run_option
@errors_option
@pass_app
def import_(app: App, tenant: str, file: Path, dry_run: bool, errors: Path | None) -> None:
    """Add and change accounts from a CSV, all or none.

    Columns: username and any of display_name, domains (separated by blanks), password or realm, ha1_md5 and
    ha1_sha256, caller_number, max_contacts, max_calls, media_relay, ring_timeout_seconds, enabled.
    """
    with local_file(file) as path, written_to(errors):
        result = account_csv.import_(app.conn, tenant_id=app.tenant_id(tenant), file=path, dry_run=dry_run)
    tell_import(result, dry_run)
