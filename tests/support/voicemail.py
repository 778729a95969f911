"""Voice messages for tests: recordings as a media host leaves them, through the real pipeline of ks-rec."""

from __future__ import annotations

from uuid import UUID

from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import recording_pipeline as pipeline
from tests.support.rec_process import intake
from tests.support.recordings import recorded_call, tone


def lay_down(
    config: Config, tenant_id: int, mailbox: str, caller: str, seconds: float, age_seconds: float
) -> UUID:
    """Leave what a controller and a node leave of a message; return the recording's id."""
    said = tone(440, seconds)
    call = recorded_call(
        config,
        seconds=seconds,
        age_seconds=age_seconds,
        tenant=tenant_id,
        by="message",
        numbers=(caller, mailbox),
        caller=said,
        callee=said[:0],
    )
    return call.recording_id


def leave(
    config: Config,
    conn: Conn,
    tenant_id: int,
    mailbox: str,
    caller: str = "79161234567",
    *,
    seconds: float = 2.0,
    age_seconds: float = 60.0,
) -> str:
    """Leave a message (its time is a whole second), and store it as ks-rec does; return its id."""
    recording_id = lay_down(config, tenant_id, mailbox, caller, seconds, age_seconds)
    intake(config, conn)
    job = pipeline.claim(conn, host=config.node_name, worker="test", lease_seconds=60)
    assert job is not None
    assert job.recording_id == recording_id
    pipeline.Pipeline(config, conn, "test").finish(job)
    return str(recording_id)
