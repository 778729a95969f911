"""Folders of routes: only a way to keep them in order; calls know nothing of them.

Decides that a folder with routes is not removed.
"""

from __future__ import annotations

from dataclasses import dataclass

from kalibri.db import Conn, execute, fetch_all, fetch_one, require, statements

_SQL = statements("route_folder")


@dataclass(frozen=True, slots=True)
class RouteFolder:
    """A folder of a tenant."""

    folder_id: int
    #: As "russia/mobile".
    path: str
    #: Routes directly in it.
    routes: int


def list_folders(conn: Conn, *, tenant_id: int) -> list[RouteFolder]:
    """Return the folders of a tenant by path."""
    return fetch_all(conn, RouteFolder, _SQL["list"], tenant_id=tenant_id)


def find(conn: Conn, *, tenant_id: int, path: str) -> RouteFolder:
    """Return one folder; raises NotFound."""
    return require(fetch_one(conn, RouteFolder, _SQL["find"], tenant_id=tenant_id, path=path), "folder", path)


def add(conn: Conn, *, tenant_id: int, path: str) -> RouteFolder:
    """Make a folder; raises AlreadyExists, BadInput for a path that is none."""
    with conn.transaction():
        execute(conn, _SQL["add"], tenant_id=tenant_id, path=path)
        return find(conn, tenant_id=tenant_id, path=path)


def rename(conn: Conn, *, tenant_id: int, path: str, new_path: str) -> int:
    """Give a folder and all below it another path; return how many there are. Raises NotFound, AlreadyExists."""
    with conn.transaction():
        find(conn, tenant_id=tenant_id, path=path)
        return execute(conn, _SQL["rename"], tenant_id=tenant_id, path=path, new_path=new_path)


def remove(conn: Conn, *, tenant_id: int, path: str) -> None:
    """Remove a folder; raises NotFound, StillInUse while routes lie in it."""
    with conn.transaction():
        find(conn, tenant_id=tenant_id, path=path)
        execute(conn, _SQL["remove"], tenant_id=tenant_id, path=path)
