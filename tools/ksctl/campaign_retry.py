"""ksctl campaign retry: tables of what follows from an attempt."""

from __future__ import annotations

from typing import Any

import click

from callcore.dial import RetryAction
from kalibri.services import retry_rule
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import NUMBER_OR_NONE, TEXT_OR_NONE, given, owner_option, tenant_filter_option
from tools.ksctl.output import output_option, say, show

TABLE = click.argument("table")
COLUMNS = (
    "tenant", "table_name", "position", "outcome", "code", "cause", "verdict", "action", "delay_seconds",
    "max_attempts", "charged", "growth", "longest_seconds", "hours", "first", "note",
)  # fmt: skip
_TEXTS = ("outcome", "code", "verdict", "hours", "note")


@click.group("retry")
def cli() -> None:
    """Retry rules: the first rule of a campaign's table that fits an attempt says what follows.

    Every campaign begins with the table default of the system; `retry copy default mine -t acme` makes one to change.
    """


@cli.command("list")
@tenant_filter_option
@click.argument("table", required=False)
@output_option
@pass_app
def list_(app: App, tenant: str | None, table: str | None, output: str) -> None:
    """List rules in the order in which they are tried."""
    rows = retry_rule.list_rules(app.conn, tenant_id=app.optional_tenant_id(tenant), name=table)
    show(rows, COLUMNS, output)


@cli.command("set")
@owner_option
@TABLE
@click.argument("position", type=click.IntRange(1, 1000))
@click.option("--outcome", type=TEXT_OR_NONE, help="How the attempt ended, as busy; none: any.")
@click.option("--code", type=TEXT_OR_NONE, help="SIP response, as 486 or 5xx; none: any.")
@click.option("--cause", type=NUMBER_OR_NONE, help="Q.850 cause; none: any.")
@click.option("--verdict", type=TEXT_OR_NONE, help="What was heard, as not_existing; none: any.")
@click.option("--action", type=click.Choice([action.value for action in RetryAction]), help="What follows.")
@click.option("--delay-seconds", type=int, help="Time until the next try.")
@click.option("--max-attempts", type=NUMBER_OR_NONE, help="Attempts that the rule may fit; none: any number.")
@click.option("--charged/--not-charged", default=None, help="Whether the attempt counts for the lead.")
@click.option("--growth", type=float, help="Each further time the delay is so many times as long.")
@click.option("--longest-seconds", type=int, help="Up to this delay.")
@click.option("--hours", type=TEXT_OR_NONE, help='The next try falls into these: "mon-fri 18:00-21:00".')
@click.option("--first/--not-first", default=None, help="The next try goes before all others.")
@click.option("--note", type=TEXT_OR_NONE, help="Remark.")
@pass_app
def set_(app: App, tenant: str, table: str, position: int, **options: Any) -> None:
    """Add a rule at a position, or change the one that is there."""
    rule = {name: "" if value is None and name in _TEXTS else value for name, value in given(options).items()}
    if "action" in rule:
        rule["action"] = RetryAction(rule["action"])
    tenant_id = app.tenant_id(tenant)
    made = retry_rule.set_rule(app.conn, tenant_id=tenant_id, name=table, position=position, **rule)
    say(f"table {table}, rule {made.position}: {made.action}")


@cli.command("rm")
@owner_option
@TABLE
@click.argument("position", type=int, required=False)
@pass_app
def remove(app: App, tenant: str, table: str, position: int | None) -> None:
    """Take a rule out of a table, or (without POSITION) remove the table."""
    gone = retry_rule.remove_rule(app.conn, tenant_id=app.tenant_id(tenant), name=table, position=position)
    say(f"{gone} rules removed")


@cli.command("copy")
@owner_option
@click.argument("from_table")
@click.argument("to_table")
@pass_app
def copy(app: App, tenant: str, from_table: str, to_table: str) -> None:
    """Copy a table (the tenant's own, else the system's) to a new one of the tenant."""
    count = retry_rule.copy_table(
        app.conn, tenant_id=app.tenant_id(tenant), from_name=from_table, to_name=to_table
    )
    say(f"table {to_table}: {count} rules")
