"""Puts the index of all routes on disk. Shell: what stands in the file is decided by index_build.py."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kalibri.files import replacing
from kemi.ks_route.index_build import BuildReport, write_rows
from kemi.ks_route.model import RouteRow


def build_index(rows: Iterable[RouteRow], path: Path) -> BuildReport:
    """Write the index of these rows (in matching order, each route once) to `path`, atomically.

    Raises RowsOutOfOrder, IndexTooLarge, OSError; the file that stood at `path` is then still there.
    """
    with replacing(path) as out:
        return write_rows(rows, out)
