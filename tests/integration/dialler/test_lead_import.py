"""Lists of leads: formats, encodings, duplicates, do-not-call lists, zones, hours, consent, repetition."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import openpyxl
import pytest

from callcore.dial import LeadPriority
from callcore.dial_import import BadHeading
from callcore.errors import NotFound
from kalibri import db as database
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import campaign as campaigns
from kalibri.services import do_not_call
from kalibri.spreadsheet import BadWorkbook
from tests.support import fix_dial
from tests.support.fix_dial import NOW, lead_rows, make_campaign, take_list

LIST = """id;Телефон;phone2;Имя;priority;city
1;8 495 123-45-67;+7 916 000-00-01;Иван;high;Москва
2;4150 00 00 02;;Анна;;
3;12345;;short;;
4;+1 212 555 0100;;John;low;New York
1;84951234568;;again;;
5;84951234567;;double;;
6;8 800 000-00-06;;all of Russia;;
"""


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def acme(conn: Conn) -> int:
    tenant_id = fix_dial.acme(conn)
    make_campaign(conn, tenant_id)
    return tenant_id


def test_every_row_is_accounted_for(conn: Conn, acme: int, tmp_path: Path) -> None:
    result, problems = take_list(
        conn, acme, tmp_path / "people.csv", LIST.replace("4150 00 00 02", "4150000002")
    )
    assert (result.rows, result.added, result.duplicate, result.bad) == (7, 4, 2, 1)
    assert result.rows == result.valid + result.duplicate + result.bad
    assert (result.no_zone, result.outside_hours) == (1, 2)  # New York; Kamchatka and all of Russia
    assert [(problem.line, problem.kind) for problem in problems] == [
        (4, "bad"),
        (6, "duplicate"),
        (7, "duplicate"),
    ]
    assert lead_rows(conn, "external_id", "name", "priority", "rank", "state", "variables") == [
        ("1", "Иван", "high", 2, "waiting", {"city": "Москва"}),
        ("2", "Анна", "medium", 1, "waiting", {}),
        ("4", "John", "low", 0, "waiting", {"city": "New York"}),
        ("6", "all of Russia", "medium", 1, "waiting", {}),
    ]
    numbers = conn.execute(
        "SELECT external_id, n.position, number, region, zones FROM lead_number n JOIN lead USING (tenant_id, lead_id)"
        " JOIN zone_set z ON z.zone_set_id = n.zone_set_id ORDER BY lead_id, n.position"
    ).fetchall()
    assert numbers[:4] == [
        ("1", 1, "74951234567", "Москва", ["Europe/Moscow"]),
        ("1", 2, "79160000001", "Москва и Московская область", ["Europe/Moscow"]),
        ("2", 1, "74150000002", "Камчатский край", ["Asia/Kamchatka"]),
        ("4", 1, "12125550100", "", []),
    ]
    assert len(numbers[4][4]) == 11


def test_dry_run_says_the_same_and_stores_nothing(conn: Conn, acme: int, tmp_path: Path) -> None:
    dry, problems = take_list(conn, acme, tmp_path / "people.csv", LIST, dry_run=True)
    assert lead_rows(conn, "lead_id") == []
    assert conn.execute("SELECT count(*) FROM campaign_list").fetchone() == (0,)
    wet, again = take_list(conn, acme, tmp_path / "people.csv")
    assert dry == wet
    assert problems == again


def test_the_same_file_twice_changes_nothing(conn: Conn, acme: int, tmp_path: Path) -> None:
    first, _ = take_list(conn, acme, tmp_path / "people.csv", LIST)
    before = lead_rows(conn, "lead_id", "external_id", "due_at", "name")
    second, _ = take_list(conn, acme, tmp_path / "people.csv")
    assert (second.added, second.changed, second.unchanged) == (0, 0, first.added)
    assert lead_rows(conn, "lead_id", "external_id", "due_at", "name") == before


def test_a_lead_that_is_there_is_changed_and_keeps_its_history(conn: Conn, acme: int, tmp_path: Path) -> None:
    take_list(
        conn, acme, tmp_path / "a.csv", "id,phone,name,city\n1,84951234567,Ivan,Moscow\n2,84951234568,Anna,\n"
    )
    conn.execute("UPDATE lead SET attempts = 2, last_outcome = 'busy' WHERE external_id = '1'")
    text = "id,phone,name,city,zone\n1,84951234567,,Omsk,Asia/Omsk\n1b,84951234568,,,\n2,84951234569,Anna,,\n"
    result, problems = take_list(conn, acme, tmp_path / "b.csv", text)
    assert (result.added, result.changed, result.duplicate) == (0, 2, 1)
    assert problems[0].message == 'the lead "2" has 74951234568 already'
    assert lead_rows(conn, "external_id", "name", "attempts", "variables") == [
        ("1", "Ivan", 2, {"city": "Omsk"}),
        ("2", "Anna", 0, {}),
    ]
    zones = conn.execute(
        "SELECT zones FROM lead JOIN zone_set USING (zone_set_id) ORDER BY lead_id"
    ).fetchall()
    assert zones == [(["Asia/Omsk"],), (["Europe/Moscow"],)]
    rows = conn.execute("SELECT position, number FROM lead_number ORDER BY lead_id, position").fetchall()
    assert rows == [(1, "74951234567"), (1, "74951234568"), (2, "74951234569")]


def test_do_not_call_lists_are_looked_at(conn: Conn, acme: int, tmp_path: Path) -> None:
    make_campaign(conn, acme, "other")
    listed = {"now": NOW, "country_code": "7"}
    add = {"tenant_id": acme, "country_code": "7"}
    do_not_call.add(conn, tenant_id=0, country_code="7", numbers=["84951234501"])
    do_not_call.add(conn, **add, numbers=["84951234502"])
    do_not_call.add(conn, **add, numbers=["84951234503"], campaign="spring")
    do_not_call.add(conn, **add, numbers=["84951234504"], campaign="other")
    do_not_call.add(conn, **add, numbers=["84951234505"], until=NOW)
    do_not_call.add(conn, **add, numbers=["84951234506"], until=NOW + timedelta(days=1))
    assert listed["now"] == NOW
    text = "phone,phone2\n" + "".join(f"8495123450{n},\n" for n in range(1, 7)) + "84951234501,84951234507\n"
    text = text.replace("84951234501,\n", "", 1)
    result, problems = take_list(conn, acme, tmp_path / "a.csv", text)
    assert (result.added, result.do_not_call) == (6, 3)
    assert [problem.message[:11] for problem in problems] == [
        "74951234502",
        "74951234503",
        "74951234506",
        "74951234501",
    ]
    assert lead_rows(conn, "external_id", "state", "result", "position") == [
        ("74951234502", "done", "do_not_call", 1),
        ("74951234503", "done", "do_not_call", 1),
        ("74951234504", "waiting", None, 1),
        ("74951234505", "waiting", None, 1),
        ("74951234506", "done", "do_not_call", 1),
        ("74951234501", "waiting", None, 2),
    ]


def test_cp1251_and_tabs_and_a_mapping_that_is_kept(conn: Conn, acme: int, tmp_path: Path) -> None:
    text = "Абонент\tКонтакт\tДолг\nИван\t84951234567\t100\n".encode("cp1251")
    with pytest.raises(BadHeading, match="no column holds the number"):
        take_list(conn, acme, tmp_path / "debt.tsv", text)
    mapping = {"Контакт": "number", "Абонент": "name"}
    result, _ = take_list(conn, acme, tmp_path / "debt.tsv", mapping=mapping)
    assert result.added == 1
    again, _ = take_list(conn, acme, tmp_path / "debt.tsv")
    assert again.unchanged == 1
    assert lead_rows(conn, "name", "variables") == [("Иван", {"Долг": "100"})]


def test_workbooks(conn: Conn, acme: int, tmp_path: Path) -> None:
    file = tmp_path / "people.xlsx"
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["id", "phone", "name", "consent", "consent_at", None])
    sheet.append([1, 84951234567, "Иван", "form", datetime(2026, 1, 2), None])  # noqa: DTZ001
    sheet.append([None, None, None, None, None, None])
    sheet.append([2.0, "8 495 123-45-68", "Анна", None, None, None])
    sheet.append([3, None, "nobody"])
    book.save(file)
    result, problems = take_list(conn, acme, file)
    assert (result.rows, result.added, result.bad) == (3, 2, 1)
    assert problems[0].line == 5
    assert lead_rows(conn, "external_id", "consent_basis", "consent_at") == [
        ("1", "form", "2026-01-01T21:00:00+00:00"),
        ("2", "", None),
    ]
    (tmp_path / "no.xlsx").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(BadWorkbook):
        take_list(conn, acme, tmp_path / "no.xlsx")


def test_consent_that_comes_later_revives_the_lead(conn: Conn, acme: int, tmp_path: Path) -> None:
    campaigns.change(conn, tenant_id=acme, name="spring", consent_exemption="", purpose="news")
    result, _ = take_list(conn, acme, tmp_path / "a.csv", "id,phone\n1,84951234567\n")
    assert result.no_consent == 1
    conn.execute("SELECT lead_end(tenant_id, lead_id, 'no_consent') FROM lead")
    result, _ = take_list(conn, acme, tmp_path / "a.csv", "id,phone,consent\n1,84951234567,contract 7\n")
    assert result.changed == 1
    assert lead_rows(conn, "state", "result", "consent_basis") == [("waiting", None, "contract 7")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phone,phone\n1,2\n", None),
        ("id,id,phone\n", "two columns mean"),
        ("name\nx\n", "no column holds"),
        ("", "no heading"),
    ],
)
def test_headings(conn: Conn, acme: int, tmp_path: Path, text: str, message: str | None) -> None:
    if message is None:
        result, _ = take_list(conn, acme, tmp_path / "a.csv", text)
        assert result.bad == 1
    else:
        with pytest.raises(BadHeading, match=message):
            take_list(conn, acme, tmp_path / "a.csv", text)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,84951234567,soon,,", "priority 'soon'"),
        ("1,84951234567,,Mars/Base,", "zone: 'Mars/Base'"),
        ("1,84951234567,,,31.13.2026", "expires_at '31.13.2026'"),
        ("1,84951234567,,,,", "6 fields, but the heading has 5"),
        ("1,,,,", "there is no number"),
        ("1,8495,,,", "not a whole telephone number"),
        ("1,abc,,,", "not a telephone number"),
    ],
)
def test_bad_rows_say_why(conn: Conn, acme: int, tmp_path: Path, row: str, message: str) -> None:
    text = f"id,phone,priority,zone,expires_at\n{row}\n2,84951234568,urgent,+7,01.12.2026\n"
    result, problems = take_list(conn, acme, tmp_path / "a.csv", text)
    assert (result.bad, result.added) == (1, 1)
    assert problems[0].line == 2
    assert message in problems[0].message
    assert lead_rows(conn, "rank", "expires_at") == [(3, "2026-12-01T20:59:59+00:00")]


def test_who_must_exist(conn: Conn, acme: int, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        take_list(conn, acme, tmp_path / "a.csv", "phone\n84951234567\n", campaign="none")
    result, problems = take_list(
        conn, acme, tmp_path / "a.csv", "phone,queue\n84951234567,none\n84951234568,sales\n"
    )
    assert (result.bad, result.added) == (1, 1)
    assert problems[0].message == 'there is no queue "none"'


def test_priority_of_rows_that_name_none(conn: Conn, acme: int, tmp_path: Path) -> None:
    take_list(conn, acme, tmp_path / "a.csv", "phone\n84951234567\n", priority=LeadPriority.LOW)
    assert lead_rows(conn, "priority", "rank") == [("low", 0)]
    assert NOW.tzinfo is UTC
