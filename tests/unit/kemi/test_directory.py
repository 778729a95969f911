"""The directory of a worker: it serves what CURRENT names, follows it, and never loses what it had."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kemi.account_record import AccountRecord
from kemi.directory import RETRY_SECONDS, Directory
from kemi.ks_route.model import DestinationKind, Direction, NumberRegion, RouteRequest, RouteRow
from tests.support.index_files import account_record, gateway_record, write_generation


class Clock:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_before_the_first_generation_nothing_is_known(tmp_path: Path) -> None:
    directory = Directory.open(tmp_path)
    assert (directory.generation, directory.seq, directory.errors) == (0, 0, 0)
    assert directory.account(5, "101") is None
    assert directory.number("74950000001") is None
    assert directory.region("74950000001") is None
    assert directory.gateway_by_source("192.0.2.1", 5060) is None


def test_account_and_number_are_read_as_records(tmp_path: Path) -> None:
    number = {
        "number": "74950000001",
        "state": "assigned",
        "tenant_id": 5,
        "destination_kind": "account",
        "destination": "101",
        "gateway_id": None,
    }
    write_generation(tmp_path, entries={"a:5:101": account_record(), "n:74950000001": number}, seq=9)
    directory = Directory.open(tmp_path)
    account = directory.account(5, "101")
    assert isinstance(account, AccountRecord)
    assert (account.username, account.domains, account.max_contacts) == ("101", ("a.example",), 5)
    assert directory.account(6, "101") is None
    assert directory.account_exists(5, "101")
    found = directory.number("74950000001")
    assert found is not None
    assert (found.destination_kind, found.destination) == (DestinationKind.ACCOUNT, "101")
    assert directory.seq == 9


def test_a_record_with_keys_of_a_later_version_is_read(tmp_path: Path) -> None:
    write_generation(tmp_path, entries={"a:5:101": account_record(favourite_colour="green")})
    assert Directory.open(tmp_path).account_exists(5, "101")


@pytest.mark.parametrize(
    "name", ["101\udcff", "a:b", "", "'; drop table account", "../../etc", "a" * 100_000]
)
def test_hostile_user_names_are_simply_unknown(tmp_path: Path, name: str) -> None:
    write_generation(tmp_path, entries={"a:5:101": account_record()})
    assert Directory.open(tmp_path).account(5, name) is None


def test_refresh_follows_current_and_keeps_unchanged_files(tmp_path: Path) -> None:
    write_generation(tmp_path, entries={"a:5:101": account_record()}, ranges=[(1, 2, "г. Москва", "o")])
    directory = Directory.open(tmp_path)
    system, ranges = directory.system, directory.ranges
    assert not directory.refresh()
    write_generation(tmp_path, entries={"a:5:102": account_record(username="102")})
    assert directory.refresh()
    assert directory.generation == 2
    assert (directory.account_exists(5, "101"), directory.account_exists(5, "102")) == (False, True)
    assert directory.system is system
    assert directory.ranges is ranges
    assert directory.region("1") == NumberRegion("Москва", "o")


def route(route_id: int, destination: str, **changes: Any) -> RouteRow:
    return RouteRow(
        route_id=route_id,
        tenant_id=5,
        priority=Decimal(10),
        destination_kind=DestinationKind.REJECT,
        destination=destination,
        **changes,
    )


def taken(directory: Directory) -> list[tuple[int, str]]:
    request = RouteRequest(
        tenant_id=5, direction=Direction.ACCOUNT, a_number="1", a_host="a", b_number="2", b_host="a"
    )
    return [(row.route_id, row.destination) for row in directory.routes.candidates(request)]


def test_routes_come_from_base_and_overlay(tmp_path: Path) -> None:
    assert taken(Directory.open(tmp_path)) == []
    write_generation(tmp_path, routes=[route(1, "486"), route(2, "503")])
    directory = Directory.open(tmp_path)
    assert taken(directory) == [(1, "486"), (2, "503")]
    table = directory.routes
    write_generation(tmp_path, entries={})
    assert directory.refresh()
    assert directory.routes is table
    write_generation(tmp_path, overlay={1: None, 2: route(2, "600"), 3: route(3, "404")})
    assert directory.refresh()
    assert taken(directory) == [(2, "600"), (3, "404")]
    write_generation(tmp_path, routes=[route(2, "600")])
    assert directory.refresh()
    assert taken(directory) == [(2, "600")]


@pytest.mark.parametrize("damage", ["cut", "gone", "senseless current"])
def test_a_generation_that_cannot_be_opened_leaves_the_old_one_serving(tmp_path: Path, damage: str) -> None:
    write_generation(tmp_path, entries={"a:5:101": account_record()})
    clock = Clock()
    directory = Directory(tmp_path, clock=clock)
    assert directory.refresh()
    current = write_generation(tmp_path, entries={"a:5:102": account_record()})
    path = tmp_path / current.directory
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-8])
    elif damage == "gone":
        path.unlink()
    else:
        (tmp_path / "CURRENT").write_text("{")
    assert not directory.refresh()
    assert not directory.refresh()
    assert (directory.generation, directory.errors) == (1, 1)
    assert directory.account_exists(5, "101")
    clock.now += RETRY_SECONDS
    assert not directory.refresh()
    assert directory.errors == 2
    assert directory.last_error


def test_a_mended_generation_is_taken_up_though_current_did_not_change(tmp_path: Path) -> None:
    write_generation(tmp_path)
    clock = Clock()
    directory = Directory(tmp_path, clock=clock)
    directory.refresh()
    current = write_generation(tmp_path, entries={"a:5:102": account_record()})
    whole = (tmp_path / current.directory).read_bytes()
    (tmp_path / current.directory).unlink()
    assert not directory.refresh()
    (tmp_path / current.directory).write_bytes(whole)
    assert not directory.refresh()
    clock.now += RETRY_SECONDS
    assert directory.refresh()
    assert directory.account_exists(5, "102")


def test_a_vanished_index_directory_leaves_the_old_generation_serving(tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    write_generation(index, entries={"a:5:101": account_record()})
    directory = Directory.open(index)
    os.rename(index, tmp_path / "elsewhere")
    assert not directory.refresh()
    assert directory.errors == 1
    assert directory.account_exists(5, "101")


def test_gateways_come_with_the_system_file(tmp_path: Path) -> None:
    gateway = gateway_record(3, source_networks=["192.0.2.0/24"])
    write_generation(tmp_path, system={"gateways": {"3": gateway}})
    directory = Directory.open(tmp_path)
    found = directory.gateway_by_source("192.0.2.77", 5060)
    assert found is not None
    assert found is directory.system.gateways[3]


def test_agents_and_queues_are_known_without_the_database(tmp_path: Path) -> None:
    queue = {"queue_id": 7, "tenant_id": 5, "name": "sales", "anchored": True, "settings": {"music": "x"}}
    entries = {"a:5:101": account_record(agent_id=3), "a:5:102": account_record(), "q:5:sales": queue}
    write_generation(tmp_path, entries=entries)
    directory = Directory.open(tmp_path)
    agents = [account.agent_id for name in ("101", "102") if (account := directory.account(5, name))]
    assert agents == [3, None]
    found = directory.queue(5, "sales")
    assert found is not None
    assert (found.queue_id, found.anchored) == (7, True)
    assert directory.queue(6, "sales") is None
