"""Caller-ID sets: regions under one name, sets that routes need, files that come back as they went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callcore.errors import AlreadyExists, BadInput, NotFound, StillInUse
from kalibri import db as database
from kalibri.config import Config
from kalibri.csv_table import CsvRefused
from kalibri.db import Conn
from kalibri.services import caller_id as caller_ids
from kalibri.services import tenant as tenants


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def acme(conn: Conn) -> int:
    return tenants.add(conn, name="acme").tenant_id


def rows(conn: Conn, tenant_id: int | None) -> list[tuple[str, str, str]]:
    found = caller_ids.list_caller_ids(conn, tenant_id=tenant_id)
    return [(row.set_name, row.region, row.number) for row in found]


def add(conn: Conn, tenant_id: int, *entries: tuple[str, str, str]) -> None:
    for set_name, region, number in entries:
        caller_ids.add(conn, tenant_id=tenant_id, set_name=set_name, region=region, number=number)


def use_in_route(conn: Conn, tenant_id: int, set_name: str) -> None:
    conn.execute(
        "INSERT INTO route (tenant_id, priority, destination_kind, options)"
        " VALUES (%s, 1, 'next', jsonb_build_object('caller_id_set', %s::text))",
        (tenant_id, set_name),
    )


def test_regions_are_kept_under_their_one_name(conn: Conn, acme: int) -> None:
    made = caller_ids.add(conn, tenant_id=acme, set_name="city", region="г. Москва", number="+74951234567")
    assert (made.region, made.region_known) == ("Москва", True)
    with pytest.raises(AlreadyExists, match="a number for this region"):
        caller_ids.add(conn, tenant_id=acme, set_name="city", region="Москва", number="1")
    unknown = caller_ids.add(conn, tenant_id=acme, set_name="city", region=" Far  away ", number="2")
    assert (unknown.region, unknown.region_known) == ("Far away", False)
    assert caller_ids.find(conn, tenant_id=acme, set_name="city", region="Москва г.") == made


def test_default_of_a_set_has_the_empty_region(conn: Conn, acme: int) -> None:
    made = caller_ids.add(conn, tenant_id=acme, set_name="city", number="88001234567")
    assert (made.region, made.region_known) == ("", True)
    add(conn, 0, ("all", "", "1"))
    assert rows(conn, None) == [("all", "", "1"), ("city", "", "88001234567")]
    assert caller_ids.list_caller_ids(conn, tenant_id=acme, set_name="all") == []


@pytest.mark.parametrize(
    ("set_name", "number", "message"),
    [
        ("two words", "1", "name of the set"),
        ("city", "12 34", "number: up to 20"),
        ("city", "", "number: up"),
    ],
)
def test_what_is_no_set_or_no_number_is_refused(
    conn: Conn, acme: int, set_name: str, number: str, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        caller_ids.add(conn, tenant_id=acme, set_name=set_name, number=number)


def test_change_and_remove_one_region(conn: Conn, acme: int) -> None:
    add(conn, acme, ("city", "", "1"), ("city", "Москва", "2"), ("city", "Республика Коми", "3"))
    caller_ids.change(conn, tenant_id=acme, set_name="city", region="Коми", number="4")
    assert caller_ids.remove(conn, tenant_id=acme, set_name="city", region="") == 1
    assert rows(conn, acme) == [("city", "Москва", "2"), ("city", "Республика Коми", "4")]
    with pytest.raises(NotFound, match='no caller id "city"'):
        caller_ids.change(conn, tenant_id=acme, set_name="city", number="5")
    with pytest.raises(NotFound, match='no caller id "city towards Тула"'):
        caller_ids.remove(conn, tenant_id=acme, set_name="city", region="Тула")
    assert caller_ids.remove(conn, tenant_id=acme, set_name="city") == 2


def test_set_that_a_route_names_stays(conn: Conn, acme: int) -> None:
    add(conn, acme, ("city", "", "1"), ("city", "Москва", "2"))
    use_in_route(conn, acme, "city")
    caller_ids.remove(conn, tenant_id=acme, set_name="city", region="Москва")
    with pytest.raises(StillInUse, match="routes would name a set that is gone: 1"):
        caller_ids.remove(conn, tenant_id=acme, set_name="city")
    add(conn, 0, ("city", "", "3"))  # the system's serves the route then
    assert caller_ids.remove(conn, tenant_id=acme, set_name="city") == 1
    with pytest.raises(StillInUse):
        caller_ids.remove(conn, tenant_id=0, set_name="city", region="")
    assert rows(conn, None) == [("city", "", "3")]


def test_export_comes_back_the_same(conn: Conn, acme: int, tmp_path: Path) -> None:
    add(conn, acme, ("city", "", "+1"), ("city", 'Far "away", really', "2"), ("a", "Москва", "3"))
    before = list(caller_ids.export(conn, tenant_id=acme))
    assert before == [
        "set_name,region,number\n",
        "a,Москва,3\n",
        "city,,+1\n",
        'city,"Far ""away"", really",2\n',
    ]
    file = tmp_path / "sets.csv"
    file.write_text("".join(before))
    result = caller_ids.import_(conn, tenant_id=acme, file=file)
    assert (result.added, result.changed) == ((), ())
    assert result.unchanged == ("a towards Москва", "city", 'city towards Far "away", really')
    other = tenants.add(conn, name="other").tenant_id
    caller_ids.import_(conn, tenant_id=other, file=file)
    assert list(caller_ids.export(conn, tenant_id=other)) == before


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1251", "utf-16"])
def test_import_adds_and_changes(conn: Conn, acme: int, tmp_path: Path, encoding: str) -> None:
    add(conn, acme, ("city", "", "1"), ("city", "Москва", "2"), ("old", "", "4"))
    file = tmp_path / "sets.csv"
    text = "Number;Set_Name;Region\r\n1;city;\r\n5;city;г. Москва\r\n6;city;Тульская область\r\n"
    file.write_bytes(text.encode(encoding))
    before = rows(conn, acme)
    dry = caller_ids.import_(conn, tenant_id=acme, file=file, dry_run=True)
    assert rows(conn, acme) == before
    result = caller_ids.import_(conn, tenant_id=acme, file=file)
    assert result == dry
    assert (result.added, result.changed) == (("city towards Тульская область",), ("city towards Москва",))
    assert rows(conn, acme) == [
        ("city", "", "1"),
        ("city", "Москва", "5"),
        ("city", "Тульская область", "6"),
        ("old", "", "4"),
    ]


def test_all_wrong_rows_are_told_and_nothing_is_saved(conn: Conn, acme: int, tmp_path: Path) -> None:
    file = tmp_path / "sets.csv"
    file.write_text(
        "set_name,region,number\ngood,,1\nbad name,,x\ngood,Москва\ngood,Москва,2\ngood,г. Москва,3\n"
    )
    with pytest.raises(CsvRefused) as refused:
        caller_ids.import_(conn, tenant_id=acme, file=file)
    errors: Any = refused.value.details["errors"]
    assert [error["line"] for error in errors] == [3, 3, 4, 6]
    assert errors[-1]["message"] == 'caller id "good towards Москва" is in line 5 already'
    assert rows(conn, acme) == []
