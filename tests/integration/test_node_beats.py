"""Heartbeats of nodes: for what answered, now and then, and never in the way of the watch."""

from __future__ import annotations

import psycopg

from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.services import node as nodes
from tools.instance.node_beats import EVERY_SECONDS, NodeBeats


def beaten(db: psycopg.Connection) -> set[str]:
    return {node.name for node in nodes.list_nodes(db) if node.heartbeat_at is not None}


def test_what_answered_gets_a_heartbeat_now_and_then(db: psycopg.Connection, pg_config: Config) -> None:
    nodes.register_nodes(db, pg_config)
    beats = NodeBeats(pg_config)
    beats.beat({"rtp-1", "postgres", "ks-cdr"}, 100.0)
    assert beaten(db) == {"n1-rtp-1"}
    beats.beat({"kamailio"}, 100.0 + EVERY_SECONDS - 0.1)
    assert beaten(db) == {"n1-rtp-1"}
    beats.beat({"kamailio"}, 100.0 + EVERY_SECONDS)
    assert beaten(db) == {"n1-rtp-1", "n1-proxy"}
    beats.close()


def test_connection_that_broke_is_made_anew(db: psycopg.Connection, pg_config: Config) -> None:
    nodes.register_nodes(db, pg_config)
    beats = NodeBeats(pg_config)
    beats.beat({"rtp-1"}, 0.0)
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'watch'")
    beats.beat({"kamailio"}, EVERY_SECONDS)
    beats.beat({"kamailio"}, 2 * EVERY_SECONDS)
    assert beaten(db) == {"n1-rtp-1", "n1-proxy"}
    beats.close()


def test_database_that_is_away_is_no_trouble(pg_config: Config, db: psycopg.Connection) -> None:
    nodes.register_nodes(db, pg_config)
    away = Config(home=pg_config.home, database=DatabaseConfig(dsn="host=/nowhere"))
    beats = NodeBeats(away)
    for turn in range(3):
        beats.beat({"rtp-1"}, turn * EVERY_SECONDS)
    assert beaten(db) == set()
