"""Options that several nouns share, and how "not given" and "none" are told apart."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from kalibri.importing import ImportResult
from tools.ksctl.output import printable, say

Command = TypeVar("Command", bound=Callable[..., Any])

SYSTEM = "system"


class _Nothing:
    """The word `none` on the command line: the value is to be taken away."""

    def __repr__(self) -> str:
        return "none"


NOTHING: Final = _Nothing()


class Nullable(click.ParamType[Any]):
    """A value of another type, or the word `none`."""

    def __init__(self, inner: click.ParamType[Any]) -> None:
        self.inner = inner
        self.name = f"{inner.name}|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return NOTHING for `none`, else what the inner type makes of it."""
        if value is NOTHING or value == "none":
            return NOTHING
        return self.inner.convert(value, param, ctx)


class AmountType(click.ParamType[Any]):
    """An exact amount of money; a decimal comma is understood."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a Decimal."""
        try:
            amount = Decimal(str(value).replace(",", "."))
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite():
            self.fail(f'"{value}" is not an amount', param, ctx)
        return amount


NUMBER_OR_NONE = Nullable(click.INT)
TEXT_OR_NONE = Nullable(click.STRING)
YES_OR_NONE = Nullable(click.BOOL)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the options that were given; what was given as `none` is None."""
    kept = {name: value for name, value in options.items() if value is not None and value != ()}
    return {name: None if value is NOTHING else value for name, value in kept.items()}


def tenant_option(command: Command) -> Command:
    """Add the required option --tenant, called `tenant`; KALIBRI_TENANT spares typing it."""
    return click.option(
        "-t", "--tenant", required=True, envvar="KALIBRI_TENANT", show_envvar=True, help="Name of the tenant."
    )(command)


def owner_option(command: Command) -> Command:
    """Add --tenant for objects that the system owns unless told otherwise."""
    return click.option(
        "-t", "--tenant", default=SYSTEM, show_default=True, help="Owner: a tenant, or system for everybody."
    )(command)


def tenant_filter_option(command: Command) -> Command:
    """Add --tenant as a filter; without it everything is listed."""
    return click.option("-t", "--tenant", help="Only this tenant (default: all).")(command)


def enabled_option(command: Command) -> Command:
    """Add --enable/--disable, called `enabled`, None when not given."""
    return click.option("--enable/--disable", "enabled", default=None, help="Put into or out of use.")(
        command
    )


def dry_run_option(command: Command) -> Command:
    """Add --dry-run, called `dry_run`."""
    return click.option("--dry-run", is_flag=True, help="Check everything and say what would change.")(
        command
    )


def file_argument(command: Command) -> Command:
    """Add the argument FILE, called `file`; - is standard input."""
    return click.argument(
        "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
    )(command)


def tell_import(result: ImportResult, dry_run: bool) -> None:
    """Say what an import did; for a dry run name every object."""
    say(
        f"{'dry run, nothing was changed: ' if dry_run else ''}"
        f"{len(result.added)} added, {len(result.changed)} changed, {len(result.unchanged)} unchanged"
        + (f", {len(result.removed)} removed" if result.removed else "")
    )
    if dry_run:
        for word, names in (("add", result.added), ("change", result.changed), ("remove", result.removed)):
            for name in names:
                click.echo(f"{word} {printable(name)}")


@contextlib.contextmanager
def local_file(file: Path) -> Iterator[Path]:
    """Return a path for FILE; standard input is kept in a temporary file meanwhile."""
    if str(file) != "-":
        yield file
        return
    with tempfile.NamedTemporaryFile(prefix="ksctl-") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield Path(copy.name)
