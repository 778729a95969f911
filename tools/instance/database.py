"""The database of an instance, made ready once PostgreSQL answers: database, role, schema."""

from __future__ import annotations

import psycopg

from kalibri import pg_cluster
from kalibri.config import PROJECT_ROOT, Config


def make_ready(config: Config) -> None:
    """Make the private database and the role kamailio, and bring the schema up to date. Safe to repeat.

    Raises Unavailable when PostgreSQL does not answer.
    """
    if config.private_database:
        pg_cluster.set_up(pg_cluster.PgCluster.of(config))
    with psycopg.connect(config.database_dsn) as conn:
        if conn.execute("SELECT to_regclass('tenant')").fetchone() == (None,):
            conn.execute((PROJECT_ROOT / "schema.sql").read_bytes())
