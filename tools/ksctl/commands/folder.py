"""ksctl folder: folders that keep routes in order."""

from __future__ import annotations

import click

from kalibri.services import route_folder
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import tenant_option
from tools.ksctl.output import output_option, say, show

COLUMNS = ("path", "routes")


@click.group("folder")
def cli() -> None:
    """Folders of routes, as russia/mobile.

    They only keep routes in order; calls know nothing of them.
    """


@cli.command("list")
@tenant_option
@output_option
@pass_app
def list_(app: App, tenant: str, output: str) -> None:
    """List a tenant's folders.

    Routes in folders below are not counted.
    """
    show(route_folder.list_folders(app.conn, tenant_id=app.tenant_id(tenant)), COLUMNS, output)


@cli.command("add")
@click.argument("path")
@tenant_option
@pass_app
def add(app: App, path: str, tenant: str) -> None:
    """Make a folder.

    PATH is names with / between them; folders above need not exist.
    """
    folder = route_folder.add(app.conn, tenant_id=app.tenant_id(tenant), path=path)
    say(f"folder {folder.path} added")


@cli.command("rename")
@click.argument("path")
@click.argument("new_path")
@tenant_option
@pass_app
def rename(app: App, path: str, new_path: str, tenant: str) -> None:
    """Give a folder, and all below it, another path.

    Routes stay in their folders.
    """
    count = route_folder.rename(app.conn, tenant_id=app.tenant_id(tenant), path=path, new_path=new_path)
    say(f"{count} folders renamed")


@cli.command("rm")
@click.argument("path")
@tenant_option
@pass_app
def remove(app: App, path: str, tenant: str) -> None:
    """Remove an empty folder.

    A folder that holds routes is refused.
    """
    route_folder.remove(app.conn, tenant_id=app.tenant_id(tenant), path=path)
    say(f"folder {path} removed")
