"""The files of ks-index: switched as a set, tried again when the disk was full, taken up after a restart."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kalibri import hashfile
from kalibri.index_dir import Current, file_name, read_current
from kalibri.index_ledger import Change, Ledger, Part
from kemi.ks_route.index_write import build_index
from kemi.ks_route.model import DestinationKind, RouteRow
from kemi.ks_route.rows import row_to_json
from tests.support.index_files import EMPTY_SYSTEM
from tools.index import store as store_module
from tools.index.store import Store


def route(route_id: int) -> RouteRow:
    return RouteRow(
        route_id=route_id,
        tenant_id=1,
        priority=Decimal(route_id),
        destination_kind=DestinationKind.REJECT,
        destination="486",
    )


def complete(directory: Path) -> Store:
    """Return a store in which every part has been built."""
    store = Store(directory)
    base, entries = file_name("routes", store.next_number()), file_name("directory", store.next_number())
    build_index([route(1)], directory / base)
    hashfile.build(directory / entries, [])
    store.put_base(base, keep=())
    store.put(Part.DIRECTORY, entries)
    store.put(Part.RANGES, None)
    store.put_system(json.dumps(EMPTY_SYSTEM).encode())
    return store


def in_force(directory: Path) -> Current:
    current = read_current(directory)
    assert current is not None
    return current


def test_nothing_is_in_force_before_every_part_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_system(b"{}")
    assert not store.publish(Ledger(3), "db")
    assert read_current(tmp_path) is None


def test_a_change_makes_a_generation_and_no_change_makes_none(tmp_path: Path) -> None:
    store, ledger = complete(tmp_path), Ledger(3)
    assert store.publish(ledger, "db")
    assert not store.publish(ledger, "db")
    store.overlay({1: None, 2: row_to_json(route(2))})
    ledger.saw(Change(4, "route", (1, 2)))
    assert store.publish(ledger, "db")
    current = in_force(tmp_path)
    assert (current.generation, current.seq) == (2, 4)
    assert current.overlay is not None
    content = json.loads((tmp_path / current.overlay).read_bytes())
    assert (content["deletes"], [row["route_id"] for row in content["upserts"]]) == ([1], [2])


def test_a_change_that_touches_no_file_only_moves_the_sequence(tmp_path: Path) -> None:
    store, ledger = complete(tmp_path), Ledger(3)
    store.publish(ledger, "db")
    ledger.saw(Change(9, "a_table_of_no_file", None))
    store.put_system(json.dumps(EMPTY_SYSTEM).encode())
    assert not store.publish(ledger, "db")
    assert (in_force(tmp_path).generation, in_force(tmp_path).seq) == (1, 9)


def test_a_new_base_keeps_only_the_routes_that_it_lacks_in_the_overlay(tmp_path: Path) -> None:
    store, ledger = complete(tmp_path), Ledger(3)
    store.overlay({1: None, 2: row_to_json(route(2))})
    store.publish(ledger, "db")
    base = file_name("routes", store.next_number())
    build_index([], tmp_path / base)
    store.put_base(base, keep=[2])
    assert store.publish(ledger, "db")
    assert store.overlaid() == [2]
    store.put_base(base, keep=[])
    store.publish(ledger, "db")
    assert in_force(tmp_path).overlay is None


def test_what_could_not_be_written_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    store, ledger = complete(tmp_path), Ledger(3)
    for name in ("write_current", "write_replacing"):
        store.overlay({2: row_to_json(route(2))})
        with monkeypatch.context() as patch:
            patch.setattr(store_module, name, full)
            with pytest.raises(OSError, match="No space left"):
                store.publish(ledger, "db")
        assert store.publish(ledger, "db")
    assert in_force(tmp_path).overlay is not None


def test_a_successor_takes_up_what_is_in_force(tmp_path: Path) -> None:
    store = complete(tmp_path)
    store.overlay({1: None, 2: row_to_json(route(2))})
    store.publish(Ledger(3), "db")
    successor = Store(tmp_path)
    assert successor.current == store.current
    assert sorted(successor.overlaid()) == [1, 2]
    assert successor.complete
    assert successor.next_number() > max(int(path.name.split(".")[1]) for path in tmp_path.glob("*.0*"))


@pytest.mark.parametrize("part", ["routes", "directory", "system", "overlay"])
def test_a_successor_trusts_nothing_when_a_file_is_damaged(tmp_path: Path, part: str) -> None:
    store = complete(tmp_path)
    store.overlay({2: row_to_json(route(2))})
    store.publish(Ledger(3), "db")
    (tmp_path / getattr(in_force(tmp_path), part)).write_bytes(b"{")
    successor = Store(tmp_path)
    assert successor.current is None
    assert not successor.complete
    again = complete(tmp_path)
    again.publish(Ledger(3), "db")
    assert in_force(tmp_path).generation == 2
