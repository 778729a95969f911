"""The index finds exactly what a linear search by `re` finds, in the same order, whatever changes on top."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kemi.ks_route import buckets, index_file
from kemi.ks_route.index_build import RowsOutOfOrder
from kemi.ks_route.index_format import BadIndexFile
from kemi.ks_route.index_write import build_index
from kemi.ks_route.model import DestinationKind, Direction, RouteRequest, RouteRow
from kemi.ks_route.overlay import write_overlay
from kemi.ks_route.rows import row_from_json, row_to_json
from kemi.ks_route.table import RouteTable
from tests.support.regex_fuzz import FUZZ_SECONDS, rounds
from tests.support.route_tables import TableMaker, linear_search


def in_order(rows: Iterable[RouteRow]) -> list[RouteRow]:
    return sorted(rows, key=lambda row: row.order)


def simple_row(route_id: int, priority: str = "1", **more: object) -> RouteRow:
    return RouteRow(
        route_id=route_id,
        priority=Decimal(priority),
        destination_kind=DestinationKind.REJECT,
        destination="404",
        **{"tenant_id": 1, **more},  # type: ignore[arg-type]
    )


def call(b_number: str, **more: object) -> RouteRequest:
    facts: dict[str, object] = {
        "tenant_id": 1, "direction": Direction.ACCOUNT, "a_number": "100", "a_host": "a.example", "b_host": "b.example"
    }  # fmt: skip
    return RouteRequest(b_number=b_number, **{**facts, **more})  # type: ignore[arg-type]


def ids(table: RouteTable, request: RouteRequest) -> list[int]:
    return [row.route_id for row in table.candidates(request)]


@pytest.fixture(params=[False, True], ids=["plain", "crowded"])
def crowded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With tiny limits, every bucket is split and every answer comes in portions."""
    if request.param:
        monkeypatch.setattr(buckets, "SPLIT_ABOVE", 2)
        monkeypatch.setattr(buckets, "SPLIT_SHELF", 1)
        monkeypatch.setattr(index_file, "FEW", 2)
        monkeypatch.setattr(index_file, "FIRST_SHARE", 1)
    return bool(request.param)


class Life:
    """A table through base builds and changes, as ks-index makes them; keeps what must be true."""

    def __init__(self, directory: Path, rnd: random.Random) -> None:
        self._directory, self._rnd, self._file = directory, rnd, 0
        self.maker = TableMaker(rnd)
        self.rows: dict[int, RouteRow] = {}
        #: Since the base: changed rows, None for a route that is gone.
        self._changes: dict[int, RouteRow | None] = {}
        self._base: Path | None = None
        self.table: RouteTable | None = None

    def build(self, size: int) -> None:
        if size:
            self.rows = {route_id: self.maker.row(route_id) for route_id in range(1, size)}
        self._changes.clear()
        if self._base is not None:
            self._base.unlink()  # an open map outlives its name
        self._base = self._next("ksr")
        assert not build_index(in_order(self.rows.values()), self._base).unusable
        self.table = RouteTable.open(self._base, None, self.table)

    def change(self) -> None:
        rnd = self._rnd
        some = rnd.sample(sorted(self.rows), min(len(self.rows), 12))
        for route_id in some[:5]:
            del self.rows[route_id]
            self._changes[route_id] = None
        for route_id in [*some[5:], rnd.randint(1000, 1003), rnd.randint(2000, 3000)]:
            self._changes[route_id] = self.rows[route_id] = self.maker.row(route_id)
        overlay = self._next("json")
        upserts = [row_to_json(row) for row in self._changes.values() if row is not None]
        overlay.write_bytes(
            write_overlay(upserts, [key for key, row in self._changes.items() if row is None])
        )
        assert self._base is not None
        self.table = RouteTable.open(self._base, overlay, self.table)
        assert not self.table.unusable
        overlay.unlink()

    def _next(self, suffix: str) -> Path:
        self._file += 1
        return self._directory / f"file.{self._file}.{suffix}"

    def compare(self, probes: int) -> int:
        """Compare complete answers, and those beyond a place in the middle; return how many rows came up."""
        assert self.table is not None
        found = 0
        for _probe in range(probes):
            request, place = self.maker.request(), self.maker.place()

            def where(found: object = place) -> object:
                return found

            expected = linear_search(self.rows.values(), request, place)
            assert list(self.table.candidates(request, place=where)) == expected  # type: ignore[arg-type]
            seen = {row.route_id for row in self.table.looked_at(request, place=where)}  # type: ignore[arg-type]
            assert {row.route_id for row in expected} <= seen
            if expected:
                half = len(expected) // 2
                rest = self.table.candidates(request, after=expected[half].order, place=where)  # type: ignore[arg-type]
                assert list(rest) == expected[half + 1 :]
            found += len(expected)
        return found


def test_fuzz_index_and_overlay_equal_linear_search(tmp_path: Path, crowded: bool) -> None:
    rnd = random.Random(42 + crowded)
    found = 0
    for _round in rounds(FUZZ_SECONDS / 2, at_least=12):
        life = Life(tmp_path, rnd)
        for size in (rnd.choice((1, 2, 30, 200)), 0):
            life.build(size)
            found += life.compare(8)
            for _change in range(2):
                life.change()
                found += life.compare(8)
    assert found > 1000


def test_fuzz_table_in_memory_equals_linear_search() -> None:
    rnd = random.Random(3)
    maker, found = TableMaker(rnd), 0
    for _round in rounds(FUZZ_SECONDS / 4, at_least=40):
        rows = [maker.row(route_id) for route_id in range(rnd.choice((1, 10, 60)))]
        rnd.shuffle(rows)
        table = RouteTable.from_rows(rows)
        for _probe in range(10):
            request = maker.request()
            expected = linear_search(rows, request, None)
            assert list(table.candidates(request)) == expected
            found += len(expected)
    assert found > 200


def test_order_is_priority_then_id_over_base_and_overlay(tmp_path: Path) -> None:
    base, overlay = tmp_path / "a.ksr", tmp_path / "o.json"
    build_index([simple_row(5, "1"), simple_row(1, "2"), simple_row(9, "2"), simple_row(2, "2.5")], base)
    changed = [simple_row(3, "2"), simple_row(4, "0.9999"), simple_row(7, "2.5001"), simple_row(9, "1")]
    overlay.write_bytes(write_overlay(map(row_to_json, changed), []))
    assert ids(RouteTable.open(base, overlay), call("1")) == [4, 5, 9, 1, 3, 2, 7]


def test_a_route_disabled_in_the_overlay_is_gone_and_one_deleted_too(tmp_path: Path) -> None:
    base, overlay = tmp_path / "a.ksr", tmp_path / "o.json"
    build_index([simple_row(1), simple_row(2), simple_row(3)], base)
    overlay.write_bytes(write_overlay([row_to_json(simple_row(1, enabled=False))], [2]))
    assert ids(RouteTable.open(base, overlay), call("1")) == [3]


def test_only_routes_of_the_tenant_and_of_the_system_come_up() -> None:
    table = RouteTable.from_rows([simple_row(tenant + 1, tenant_id=tenant) for tenant in range(4)])
    assert ids(table, call("1", tenant_id=2)) == [1, 3]
    assert ids(table, call("1", tenant_id=0)) == [1]


def test_rows_survive_the_file_and_json(tmp_path: Path) -> None:
    row = simple_row(
        7, "-1.5", directions=(Direction.GATEWAY,), a_pattern="^1", a_host_pattern=r"^é", b_pattern=r"(a+)+$",
        b_host_pattern="^b", b_region="Москва", b_operator="МТС", schedule_id=4, a_mask_pattern="^(.)",
        a_mask_replacement=r"\1", b_mask_pattern="x", b_mask_replacement="", name="имя",
        options={"flags": {"a": ""}, "codecs": ["PCMA"]},
    )  # fmt: skip
    assert row_from_json(row_to_json(row)) == row
    build_index([row], tmp_path / "a.ksr")
    table = RouteTable.open(tmp_path / "a.ksr", None)
    assert list(table.looked_at(call("aaa", a_number="1", direction=Direction.GATEWAY))) in ([row], [])
    assert table._base is not None
    assert table._base.row(0) == row


def test_bad_rows_are_left_out_and_reported(tmp_path: Path) -> None:
    rows = [
        simple_row(1, b_pattern="("),
        simple_row(2, b_pattern=r"(?=(\d+)+x)7"),
        simple_row(3, options={"no_such": 1}),
        simple_row(4, a_mask_pattern="(", a_mask_replacement=""),
        simple_row(5, b_mask_pattern="a", b_mask_replacement=r"\1"),
        simple_row(6),
    ]
    report = build_index(rows, tmp_path / "a.ksr")
    assert [entry.route_id for entry in report.unusable] == [1, 2, 3, 4, 5]
    assert "B number pattern" in report.unusable[0].reason
    assert ids(RouteTable.open(tmp_path / "a.ksr", None), call("1")) == [6]
    table = RouteTable.from_rows(rows)
    assert [entry.route_id for entry in table.unusable] == [1, 2, 3, 4, 5]
    assert ids(table, call("1")) == [6]


def test_a_bad_row_in_an_overlay_file_takes_its_old_version_out_and_nothing_else(tmp_path: Path) -> None:
    build_index([simple_row(1), simple_row(2)], tmp_path / "a.ksr")
    broken: Mapping[str, object] = {"route_id": 1, "priority": "x"}
    (tmp_path / "o.json").write_bytes(write_overlay([broken, row_to_json(simple_row(3))], []))
    table = RouteTable.open(tmp_path / "a.ksr", tmp_path / "o.json")
    assert ids(table, call("1")) == [2, 3]
    assert [entry.route_id for entry in table.unusable] == [1]


def test_rows_out_of_order_are_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.ksr"
    build_index([simple_row(1)], path)
    with pytest.raises(RowsOutOfOrder):
        build_index([simple_row(2, "5"), simple_row(3, "4")], path)
    assert ids(RouteTable.open(path, None), call("1")) == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ksr"]


@pytest.mark.parametrize("damage", ["cut", "longer", "magic", "empty", "short"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.ksr"
    build_index([simple_row(1)], path)
    whole = path.read_bytes()
    changed = {
        "cut": whole[:-8], "longer": whole + b"x", "magic": b"X" + whole[1:], "empty": b"", "short": whole[:100],
    }[damage]  # fmt: skip
    path.write_bytes(changed)
    with pytest.raises((BadIndexFile, ValueError)):
        RouteTable.open(path, None)


def test_hot_buckets_are_reported_in_the_words_of_their_key(tmp_path: Path) -> None:
    rows = [simple_row(number, b_pattern=rf"^810\d*{number}x") for number in range(1, 251)]
    rows += [
        simple_row(1000 + number, b_pattern=r"^7", a_pattern=rf"^55{number % 2}.*{number}")
        for number in range(500)
    ]
    report = build_index(rows, tmp_path / "a.ksr")
    assert [
        (entry.what, entry.routes) for entry in sorted(report.hot_buckets, key=lambda entry: entry.what)
    ] == [
        ("A number starts with 550, B number starts with 7", 250),
        ("A number starts with 551, B number starts with 7", 250),
        ("B number starts with 810", 250),
    ]
    assert report.hot_buckets[0].route_ids


def test_an_unchanged_route_keeps_its_matchers_from_one_overlay_to_the_next(tmp_path: Path) -> None:
    build_index([], tmp_path / "a.ksr")
    path = tmp_path / "o.json"
    rows = [simple_row(1, b_pattern="^1"), simple_row(2, b_pattern="^1")]
    path.write_bytes(write_overlay(map(row_to_json, rows), []))
    first = RouteTable.open(tmp_path / "a.ksr", path)
    path.write_bytes(write_overlay([row_to_json(rows[0]), row_to_json(replace(rows[1], name="new"))], []))
    second = RouteTable.open(tmp_path / "a.ksr", path, first)
    assert second._overlay.entries[1] is first._overlay.entries[1]
    assert second._overlay.entries[2] is not first._overlay.entries[2]
    assert second._base is first._base


def what_it_serves(table: RouteTable) -> object:
    """Everything that an overlay decides by."""
    overlay = table._overlay
    return (
        {route_id: entry.row for route_id, entry in overlay.entries.items()},
        {key: sorted(entry.row.route_id for entry in entries) for key, entries in overlay._by_key.items()},
        overlay._lengths,
        overlay.replaced,
        sorted((entry.route_id, entry.reason) for entry in overlay.unusable),
    )


def test_an_overlay_read_after_another_equals_one_read_alone(tmp_path: Path) -> None:
    """Rows that come, change, go, are disabled, broken and mended, and come back as they once were."""
    base, path = tmp_path / "a.ksr", tmp_path / "o.json"
    build_index([], base)
    rnd = random.Random(11)
    maker = TableMaker(rnd)
    table = RouteTable.open(base, None)
    rows: dict[int, dict[str, Any] | None] = {}
    once: list[dict[str, Any]] = []
    for _change in range(60):
        for route_id in rnd.sample(range(40), rnd.randint(0, 4)):
            row = row_to_json(maker.row(route_id))
            broken: dict[str, Any] = {"b_pattern": "("} if rnd.random() < 0.5 else {"priority": "x"}
            disabled: dict[str, Any] = {"enabled": False}
            kinds: list[dict[str, Any] | None] = [None, row, row, row | disabled, row | broken]
            kinds += [old for old in once if old["route_id"] == route_id]
            rows[route_id] = chosen = rnd.choice(kinds)
            if chosen is not None:
                once.append(chosen)
        upserts = [row for row in rows.values() if row is not None]
        path.write_bytes(write_overlay(upserts, [key for key, row in rows.items() if row is None]))
        before, table = table, RouteTable.open(base, path, table)
        assert what_it_serves(table) == what_it_serves(RouteTable.open(base, path))
        kept = before._overlay.texts.keys() & table._overlay.texts.keys()
        assert all(table._overlay.texts[text] is before._overlay.texts[text] for text in kept)
    assert table._overlay.entries
    assert table.unusable


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"upserts":[],"deletes":[]}', b'{"upserts":[\n1\n],"deletes":[]']
)
def test_what_is_no_overlay_file_is_refused(tmp_path: Path, content: bytes) -> None:
    build_index([], tmp_path / "a.ksr")
    (tmp_path / "o.json").write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 (json's or ours)
        RouteTable.open(tmp_path / "a.ksr", tmp_path / "o.json")


def test_an_overlay_file_is_json_for_everybody_else() -> None:
    rows = [{"route_id": 1, "name": "two\nlines \u2028"}, {"route_id": 2}]
    assert json.loads(write_overlay(rows, [4, 3])) == {"upserts": rows, "deletes": [3, 4]}
    assert json.loads(write_overlay([], [])) == {"upserts": [], "deletes": []}
