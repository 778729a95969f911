"""What every command of ksctl has at hand: configuration and database, each when it is first needed."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import click

from callcore.errors import KalibriError
from kalibri import remembered
from kalibri.config import Config, load_config
from kalibri.db import Conn, connect_tool
from kalibri.services import tenant as tenants


@dataclass
class App:
    """State of one run of ksctl; commands get it by `@pass_app`."""

    config_file: Path | None = None
    #: Values of the command line, by key of the configuration.
    overrides: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def config(self) -> Config:
        """The configuration of the instance, with what `ksinit up` was told; raises ConfigError."""
        home = load_config(path=self.config_file, overrides=self.overrides).home
        environ = remembered.recall(home, os.environ)
        return load_config(path=self.config_file, overrides=self.overrides, environ=environ)

    @cached_property
    def conn(self) -> Conn:
        """An autocommit connection to the database; raises Unavailable."""
        actor = f"{person()}@{self.config.node_name}"
        return connect_tool(
            self.config,
            application_name="ksctl",
            settings={"kalibri.actor": actor, "kalibri.origin": "ksctl"},
        )

    def tenant_id(self, name: str) -> int:
        """Return the id of a tenant; raises NotFound."""
        return tenants.find(self.conn, name=name).tenant_id

    def optional_tenant_id(self, name: str | None) -> int | None:
        """Return the id of a tenant, None for no name (the whole system); raises NotFound."""
        return None if name is None else self.tenant_id(name)

    def tenant_names(self) -> dict[int, str]:
        """Return names of tenants by id; none while the database is away: what the proxy tells is shown without."""
        try:
            return {tenant.tenant_id: tenant.name for tenant in tenants.list_tenants(self.conn)}
        except KalibriError:
            return {}

    def close(self) -> None:
        """End the connection if there is one."""
        if "conn" in self.__dict__:
            self.conn.close()


def person() -> str:
    """Return who runs ksctl, also behind sudo: the audit log names him."""
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name


def pass_app(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the App as its first argument."""
    return click.pass_obj(command)
