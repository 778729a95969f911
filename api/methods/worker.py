"""Methods worker.*, retention.* and archive.*: what is kept, for how long, and who sees to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from api.method import Context, Method, Scope, Tenancy
from kalibri.db import Conn, connect_tool
from kalibri.services import archive, worker
from kalibri.services.archive import Retention
from kalibri.services.worker import JobStatus

Limit = Annotated[int, Field(ge=1, le=10_000)]
Days = Annotated[int, Field(ge=1, le=36_500)]


def status(context: Context) -> list[JobStatus]:
    """Return every job of ks-worker with its last run."""
    return worker.status(context.conn, context.config)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a job did."""

    job: str
    detail: str


def run(context: Context, *, job: str) -> Ran:
    """Run a job now and wait for it; raises NotFound, RunsAlready."""
    with connect_tool(context.config, application_name="ks-api worker") as conn:
        return Ran(job=job, detail=worker.run(conn, context.config, job=job))


def set_retention(conn: Conn, *, tenant_id: int, calls_days: Days | None) -> list[Retention]:
    """Give a tenant a period of its own for calls; null: that of the system."""
    archive.set_retention(conn, tenant_id=tenant_id, keep_calls_days=calls_days)
    return archive.list_retention(conn, tenant_id=tenant_id)


METHODS = (
    Method("worker.status", status, Scope.READ, Tenancy.SYSTEM),
    Method("worker.run", run, Scope.ADMIN, Tenancy.SYSTEM, one_transaction=False),
    Method("retention.list", archive.list_retention, Scope.READ, Tenancy.FILTER),
    Method("retention.set", set_retention, Scope.ADMIN, Tenancy.SYSTEM),
    Method("archive.list", archive.list_files, Scope.READ, Tenancy.FILTER, narrow={"limit": Limit}),
)
