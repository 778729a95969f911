"""The database of an instance, made ready once PostgreSQL answers: database, role, schema, nodes of this host."""

from __future__ import annotations

from kalibri import pg_cluster
from kalibri.config import Config
from kalibri.db import connect_tool
from kalibri.services import node, schema


def make_ready(config: Config) -> None:
    """Make the private database and the role kamailio, and bring the schema to this version. Safe to repeat.

    The nodes of this host are registered as the configuration has them.

    Raises Unavailable when PostgreSQL does not answer, and what schema.apply raises.
    """
    if config.private_database:
        pg_cluster.set_up(pg_cluster.PgCluster.of(config))
    with connect_tool(config, application_name="ksinit") as conn:
        schema.apply(conn)
        node.register_nodes(conn, config)
