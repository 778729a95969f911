"""ks-index with a real PostgreSQL: changes become live, and nothing that dies takes the index with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from callcore.errors import Unavailable
from kalibri import db as database
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.db import Conn
from kalibri.index_dir import read_current
from kalibri.index_ledger import TOUCHED_BY
from kalibri.services import number_range
from kalibri.services import route as routes
from kalibri.services.route_draft import RouteDraft
from kemi.directory import Directory
from kemi.ks_route.model import Direction, RouteRequest
from tests.support.fix_pg import RunningCluster, temporary_cluster
from tests.support.index_daemon import IndexDaemon, running_index
from tests.support.rows import add_account, add_gateway, add_rate, add_tenant

#: A change is to be live within this time; the daemon itself needs some tens of milliseconds.
LIVE_SECONDS = 1.0


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect_tool(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def daemon(pg_config: Config, conn: Conn) -> Iterator[IndexDaemon]:
    """A ks-index that has built its first index."""
    with running_index(pg_config) as running:
        running.until_live(conn)
        yield running


def draft(destination: str = "486", **changes: Any) -> RouteDraft:
    values = {"priority": Decimal(10), "destination_kind": "reject", "destination": destination}
    return RouteDraft(**{**values, **changes})


def taken(directory: Directory, tenant_id: int, b_number: str = "100") -> list[str]:
    """Return the destinations of the routes that fit, in order."""
    request = RouteRequest(
        tenant_id=tenant_id,
        direction=Direction.ACCOUNT,
        a_number="1",
        a_host="a",
        b_number=b_number,
        b_host="a",
    )
    return [row.destination for row in directory.routes.candidates(request)]


def many_routes(conn: Conn, tenant_id: int, count: int, first_priority: int = 100) -> None:
    """Save so many routes in one statement that the change log does not name them."""
    conn.execute(
        "INSERT INTO route (tenant_id, priority, b_pattern, pattern_classes, destination_kind, destination)"
        " SELECT %s, %s + n, '^8495' || n, '{none,none,simple,none}', 'reject', '404'"
        " FROM generate_series(1, %s) AS n",
        [tenant_id, first_priority, count],
    )


# ------------------------------------------------------------------------------------------------- follow


def test_every_table_that_is_logged_is_known_to_the_ledger(conn: Conn) -> None:
    rows = conn.execute(
        "SELECT DISTINCT relname FROM pg_trigger JOIN pg_class ON tgrelid = pg_class.oid"
        " JOIN pg_proc ON tgfoid = pg_proc.oid WHERE proname = 'log_change'"
    ).fetchall()
    assert {name for (name,) in rows} == set(TOUCHED_BY)


def test_first_start_builds_everything(pg_config: Config, conn: Conn) -> None:
    tenant_id = add_tenant(conn, "acme")
    add_account(conn, tenant_id, "101")
    add_rate(conn, add_gateway(conn, "c1", source_networks=["192.0.2.0/24"], region="г. Москва"), "1.5")
    routes.add(conn, tenant_id=tenant_id, draft=draft())
    with running_index(pg_config) as daemon:
        daemon.until_live(conn)
        directory = Directory.open(daemon.directory)
        assert directory.generation == 1
        assert taken(directory, tenant_id) == ["486"]
        account = directory.account(tenant_id, "101")
        assert account is not None
        assert account.domains == ("acme.example",)
        gateway = directory.gateway_by_source("192.0.2.9", 5060)
        assert gateway is not None
        assert (gateway.region, gateway.rates[""].price_per_minute) == ("Москва", Decimal("1.5"))
        assert directory.ranges is None
        assert daemon.stop() == 0


def test_a_route_is_live_within_a_second_added_edited_disabled_removed(
    daemon: IndexDaemon, conn: Conn
) -> None:
    tenant_id = add_tenant(conn, "acme")
    daemon.until_live(conn)
    directory = Directory.open(daemon.directory)

    def live(*destinations: str) -> float:
        def seen() -> bool:
            directory.refresh()
            return taken(directory, tenant_id) == list(destinations)

        return daemon.until(seen, f"routes are {destinations}")

    first = routes.add(conn, tenant_id=tenant_id, draft=draft())
    times = [live("486")]
    routes.edit(conn, tenant_id=tenant_id, route_id=first.route_id, changes={"destination": "503"})
    times.append(live("503"))
    second = routes.add(conn, tenant_id=tenant_id, draft=draft("600", priority=Decimal(5)))
    times.append(live("600", "503"))
    routes.set_enabled(conn, tenant_id=tenant_id, route_ids=[second.route_id], enabled=False)
    times.append(live("503"))
    routes.remove(conn, tenant_id=tenant_id, route_ids=[first.route_id])
    times.append(live())
    assert max(times) < LIVE_SECONDS
    assert directory.errors == 0
    assert daemon.current.routes == "routes.000001.ksr" or daemon.current.overlay is not None


def test_accounts_gateways_and_ranges_become_live(daemon: IndexDaemon, conn: Conn, tmp_path: Path) -> None:
    directory = Directory.open(daemon.directory)
    tenant_id = add_tenant(conn, "acme")
    add_account(conn, tenant_id, "101")
    add_gateway(conn, "c1")
    file = tmp_path / "r.csv"
    file.write_text("Код;От;До;Емкость;Оператор;Регион\n900;0;9;10;A;г. Москва и Московская область\n")
    number_range.import_ranges(conn, files=[file], country_code="7")
    daemon.until_live(conn)
    assert directory.refresh()
    assert directory.account_exists(tenant_id, "101")
    assert directory.system.gateway(tenant_id, "c1") is not None
    found = directory.region("79000000005")
    assert found is not None
    assert found.region == "Москва и Московская область"
    conn.execute("UPDATE tenant SET enabled = false WHERE tenant_id = %s", [tenant_id])
    daemon.until_live(conn)
    directory.refresh()
    assert not directory.account_exists(tenant_id, "101")
    assert "acme.example" not in directory.system.domains


def test_what_does_not_matter_to_calls_makes_no_new_generation(daemon: IndexDaemon, conn: Conn) -> None:
    gateway_id = add_gateway(conn, "c1")
    daemon.until_live(conn)
    generation = daemon.current.generation
    conn.execute(
        "UPDATE gateway SET health = 'down', health_reason = 'no answer' WHERE gateway_id = %s", [gateway_id]
    )
    conn.execute("UPDATE gateway SET host = host, name = name WHERE gateway_id = %s", [gateway_id])
    daemon.until_live(conn)
    assert daemon.current.generation == generation


def test_many_changes_at_once_come_with_a_new_base(daemon: IndexDaemon, conn: Conn) -> None:
    tenant_id = add_tenant(conn, "acme")
    many_routes(conn, tenant_id, 3000)
    daemon.until_live(conn)
    directory = Directory.open(daemon.directory)
    assert taken(directory, tenant_id, "84952999") == ["404"] * 4
    assert daemon.current.overlay is None


def test_the_overlay_is_folded_into_a_new_base(pg_config: Config, conn: Conn) -> None:
    tenant_id = add_tenant(conn, "acme")
    with running_index(pg_config, KALIBRI_INDEX_FOLD_AFTER_CHANGES="3") as daemon:
        daemon.until_live(conn)
        base = daemon.current.routes
        for number in range(3):
            routes.add(conn, tenant_id=tenant_id, draft=draft(priority=Decimal(number)))
        daemon.until(lambda: daemon.current.routes != base, "a new base is in force")
        routes.add(conn, tenant_id=tenant_id, draft=draft("600"))
        daemon.until_live(conn)
        assert taken(Directory.open(daemon.directory), tenant_id) == ["486", "486", "486", "600"]


# --------------------------------------------------------------------------------------------------- loss


@pytest.fixture
def slow_base(pg_config: Config, conn: Conn) -> Iterator[tuple[IndexDaemon, int]]:
    """A daemon that is just building a base large enough to be killed on the way, and its tenant."""
    tenant_id = add_tenant(conn, "acme")
    routes.add(conn, tenant_id=tenant_id, draft=draft())
    with running_index(pg_config) as daemon:
        daemon.until_live(conn)
        many_routes(conn, tenant_id, 20_000)
        daemon.until(daemon.builders, "a builder is at work")
        yield daemon, tenant_id


def test_a_builder_killed_half_way_leaves_the_old_generation_and_is_started_again(
    slow_base: tuple[IndexDaemon, int], conn: Conn
) -> None:
    daemon, tenant_id = slow_base
    before = daemon.current
    (builder,) = daemon.builders()
    os.kill(builder, signal.SIGKILL)
    directory = Directory.open(daemon.directory)
    assert (directory.generation, taken(directory, tenant_id)) == (before.generation, ["486"])
    changed = routes.add(conn, tenant_id=tenant_id, draft=draft("503", priority=Decimal(5)))

    def seen() -> bool:
        directory.refresh()
        return taken(directory, tenant_id) == ["503", "486"]

    assert daemon.until(seen, "a single change is live meanwhile") < LIVE_SECONDS
    daemon.until_live(conn)
    directory.refresh()
    assert taken(directory, tenant_id, "849520000")[:3] == ["503", "486", "404"]
    assert f"builder of routes ended with {-signal.SIGKILL}" in daemon.log_text()
    assert routes.get(conn, tenant_id=tenant_id, route_id=changed.route_id)


def test_a_killed_ks_index_goes_on_where_it_was(slow_base: tuple[IndexDaemon, int], conn: Conn) -> None:
    daemon, tenant_id = slow_base
    routes.add(conn, tenant_id=tenant_id, draft=draft("503", priority=Decimal(5)))
    daemon.kill()
    routes.add(conn, tenant_id=tenant_id, draft=draft("600", priority=Decimal(6)))
    with running_index(daemon.config) as successor:
        successor.until_live(conn)
        directory = Directory.open(successor.directory)
        assert taken(directory, tenant_id, "849520000")[:4] == ["503", "600", "486", "404"]


def test_only_one_ks_index_writes_and_the_other_takes_over(daemon: IndexDaemon, conn: Conn) -> None:
    with running_index(daemon.config) as second:
        second.until(lambda: "waits until it ends" in second.log_text(), "the second one waits")
        tenant_id = add_tenant(conn, "acme")
        daemon.until_live(conn)
        assert "connected" not in second.log_text()
        daemon.kill()
        routes.add(conn, tenant_id=tenant_id, draft=draft())
        second.until_live(conn)
        assert taken(Directory.open(second.directory), tenant_id) == ["486"]


def test_a_damaged_index_is_built_anew(daemon: IndexDaemon, conn: Conn) -> None:
    daemon.stop()
    path = daemon.directory / daemon.current.routes
    path.write_bytes(path.read_bytes()[:100])
    with running_index(daemon.config) as again:
        again.until(lambda: "built anew" in again.log_text(), "the damage is noticed")
        again.until(lambda: Directory.open(again.directory).generation > 0, "there is an index again")


def test_another_database_replaces_the_whole_index(pg_server: RunningCluster, daemon: IndexDaemon) -> None:
    daemon.stop()
    with temporary_cluster() as other:
        config = Config(home=daemon.config.home, database=DatabaseConfig(dsn=other.dsn("kalibri")))
        with database.connect_tool(config, application_name="test") as conn, running_index(config) as again:
            tenant_id = add_tenant(conn, "elsewhere")
            again.until(
                lambda: "elsewhere.example" in Directory.open(again.directory).system.domains, "the new one"
            )
            again.until_live(conn)
            assert Directory.open(again.directory).system.domains == {"elsewhere.example": tenant_id}


def test_without_a_database_everything_stays_in_force_and_work_goes_on_later() -> None:
    with temporary_cluster() as server:
        config = Config(home=server.config.home, database=DatabaseConfig(dsn=server.dsn("kalibri")))
        with running_index(config) as daemon:
            with database.connect_tool(config, application_name="test") as conn:
                tenant_id = add_tenant(conn, "acme")
                routes.add(conn, tenant_id=tenant_id, draft=draft())
                daemon.until_live(conn)
            server.kill()
            daemon.until(lambda: "keeps what is in force" in daemon.log_text(), "the loss is noticed")
            assert taken(Directory.open(daemon.directory), tenant_id) == ["486"]
            with pytest.raises(Unavailable):
                database.connect_tool(config, application_name="test")
            server.start_again()
            with database.connect_tool(config, application_name="test") as conn:
                routes.add(conn, tenant_id=tenant_id, draft=draft("600"))
                daemon.until_live(conn)
            assert taken(Directory.open(daemon.directory), tenant_id) == ["486", "600"]
            assert daemon.process.poll() is None


def test_a_start_without_a_database_serves_the_index_on_disk(pg_config: Config, daemon: IndexDaemon) -> None:
    generation = daemon.current.generation
    daemon.stop()
    config = Config(home=pg_config.home, database=DatabaseConfig(dsn="host=/nowhere dbname=kalibri"))
    with running_index(config) as lonely:
        lonely.until(lambda: "keeps what is in force" in lonely.log_text(), "it tries again and again")
        current = read_current(lonely.directory)
        assert current is not None
        assert current.generation == generation
