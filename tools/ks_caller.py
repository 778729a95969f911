#!/usr/bin/python3
"""ks_caller: start, stop and pause campaigns, as operators of dialling systems know it.

    tools/ks_caller.py start|stop|pause CAMPAIGN [--tenant TENANT] [--home DIRECTORY] [--config FILE]

Does what `ksctl campaign start|stop|pause` does, and says in one line how the campaign stands then. The tenant may be
left out while only one has a campaign of this name. Never dials: ks-dial does.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and not __package__:
    # Called as a file: the launcher knows the Python environment of this checkout, which this interpreter is not.
    _LAUNCHER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "launch.sh")
    os.execv(_LAUNCHER, [_LAUNCHER, "--as-caller", "tools.ks_caller", *sys.argv[1:]])

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from callcore.errors import KalibriError, NotFound, Refused
from kalibri.services import campaign as campaigns
from kalibri.services import campaign_report
from kalibri.services.campaign import Campaign
from tools.ksctl.app import App, person

STEPS: Mapping[str, Callable[..., Campaign]] = {
    "start": campaigns.start,
    "stop": campaigns.stop,
    "pause": campaigns.pause,
}


@click.command(help=__doc__)
@click.argument("step", type=click.Choice(sorted(STEPS)))
@click.argument("campaign")
@click.option("-t", "--tenant", envvar="KALIBRI_TENANT", help="Tenant of the campaign.")
@click.option("--home", type=click.Path(path_type=Path), help="Run directory of the instance.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def main(step: str, campaign: str, tenant: str | None, home: Path | None, config_file: Path | None) -> None:
    app = App(config_file=config_file, overrides={"home": str(home)} if home else {})
    try:
        _do(app, step, campaign, tenant)
    except KalibriError as error:
        click.echo(f"ks_caller: {error.message}", err=True)
        sys.exit(error.exit_code)
    finally:
        app.close()


def _do(app: App, step: str, name: str, tenant: str | None) -> None:
    tenant_id = app.tenant_id(tenant) if tenant else _owner(app, name)
    STEPS[step](app.conn, tenant_id=tenant_id, name=name, by=person())
    (row,) = campaign_report.status(app.conn, tenant_id=tenant_id, now=datetime.now(UTC), name=name)
    click.echo(
        f"campaign {name}: {row.state}; {row.waiting} leads wait, {row.dialling} are being called,"
        f" {row.done} are done ({row.reached} reached); {row.reason}"
    )


def _owner(app: App, name: str) -> int:
    """Return the only tenant that has a campaign of this name; raises NotFound, Refused."""
    found = [row for row in campaigns.list_campaigns(app.conn, tenant_id=None) if row.name == name]
    if not found:
        raise NotFound(f'there is no campaign "{name}"')
    if len(found) > 1:
        raise Refused(
            f"several tenants have it: name one of {', '.join(row.tenant for row in found)} (--tenant)"
        )
    return found[0].tenant_id


if __name__ == "__main__":
    main()
