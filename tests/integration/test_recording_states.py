"""The SQL functions of recordings: the same table as in Python, and claims that nobody gets twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest

from callcore.recording import TRANSITIONS, RecordingState, RecordingStep
from kalibri.config import Config
from kalibri.db import connect_tool
from kalibri.recording_spool import Spool
from kalibri.services import recording_pipeline as pipeline
from kalibri.services.recording_pipeline import Job
from tests.support.rec_process import intake
from tests.support.recordings import recorded_call


@pytest.mark.parametrize("state", RecordingState)
def test_sql_and_python_have_the_same_table(db: psycopg.Connection, state: RecordingState) -> None:
    for step in RecordingStep:
        row = db.execute("SELECT recording_next(%s::recording_state, %s)::text", [state, step]).fetchone()
        expected = TRANSITIONS.get((state, step))
        assert row == (None if expected is None else expected.value,), (state, step)


def claimed(conn: psycopg.Connection, worker: str, lease_seconds: float = 60) -> Job | None:
    return pipeline.claim(conn, host="n1", worker=worker, lease_seconds=lease_seconds)


def test_no_two_workers_get_the_same_recording(pg_config: Config, db: psycopg.Connection) -> None:
    calls = [recorded_call(pg_config, seconds=0.1, seed=n) for n in range(30)]
    intake(pg_config, db)
    taken: list[tuple[str, Job]] = []

    def take_all(worker: str) -> None:
        with closing(connect_tool(pg_config, application_name=worker)) as conn:
            while (job := claimed(conn, worker)) is not None:
                taken.append((worker, job))

    threads = [threading.Thread(target=take_all, args=[f"w{n}"]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job.recording_id for _, job in taken) == sorted(call.recording_id for call in calls)


def test_the_oldest_comes_first_and_a_lost_lease_is_given_on(
    pg_config: Config, db: psycopg.Connection
) -> None:
    young = recorded_call(pg_config, seconds=0.1, age_seconds=100)
    old = recorded_call(pg_config, seconds=0.1, age_seconds=200)
    intake(pg_config, db)
    first = claimed(db, "one", lease_seconds=0)
    assert first is not None
    assert first.recording_id == old.recording_id
    again = claimed(db, "two")
    assert again is not None
    assert again.recording_id == old.recording_id
    for lost in (
        lambda: db.execute("SELECT recording_advance(%s, 'one', 'mix')::text", [old.recording_id]),
        lambda: db.execute("SELECT recording_fail(%s, 'one', 'x', '1s')::text", [old.recording_id]),
    ):
        row = lost().fetchone()
        assert row in (None, (None,))
    other = claimed(db, "three")
    assert other is not None
    assert other.recording_id == young.recording_id
    assert claimed(db, "four") is None


def test_a_step_that_the_state_does_not_allow_is_refused(pg_config: Config, db: psycopg.Connection) -> None:
    call = recorded_call(pg_config, seconds=0.1)
    intake(pg_config, db)
    claimed(db, "one")
    with pytest.raises(psycopg.errors.RaiseException, match="a recording that is claimed cannot store"):
        db.execute("SELECT recording_advance(%s, 'one', 'store')", [call.recording_id])


def test_the_same_recording_is_registered_once(pg_config: Config, db: psycopg.Connection) -> None:
    call = recorded_call(pg_config, seconds=0.1, tenant=4711)
    manifest = Spool.of(pg_config).read(call.recording_id)
    assert [pipeline.register(db, manifest, host="n1") for _ in range(3)] == [True, False, False]
    row = db.execute("SELECT tenant_id FROM recording").fetchall()
    assert row == [(0,)]  # a tenant that is gone: the system keeps it


def test_workers_that_live_keep_their_claims(pg_config: Config, db: psycopg.Connection) -> None:
    recorded_call(pg_config, seconds=0.1)
    intake(pg_config, db)
    assert claimed(db, "one", lease_seconds=0) is not None
    pipeline.renew(db, ["one"], lease_seconds=60)
    assert claimed(db, "two") is None
    is_alive: Callable[[str], bool] = lambda worker: worker == "one"  # noqa: E731
    assert pipeline.forsake(db, host="n1", is_alive=is_alive) == []
    assert len(pipeline.forsake(db, host="n1", is_alive=lambda _: False)) == 1
    db.execute("UPDATE recording SET retry_at = NULL")
    assert claimed(db, "two") is not None
