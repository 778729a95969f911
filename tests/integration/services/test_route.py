"""Routes in the database: what may be saved, who sees it, how it is ordered, how it goes out and comes in."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from callcore.errors import KalibriError, NotFound, Refused
from kalibri import db as database
from kalibri.config import Config
from kalibri.csv_table import CsvRefused
from kalibri.db import Conn
from kalibri.services import route as routes
from kalibri.services import route_folder
from kalibri.services.route import Route
from kalibri.services.route_draft import RouteDraft, RouteRefused
from kemi.ks_route.model import PatternClass
from tests.support.rows import add_account, add_gateway, add_group, add_tenant

FULL: dict[str, Any] = {
    "folder": "russia/mobile",
    "name": "Москва, «мобильные»",
    "priority": Decimal("10.5"),
    "enabled": False,
    "directions": ("account", "gateway"),
    "a_pattern": "^10[0-9]$",
    "a_host_pattern": r"example\.org$",
    "b_pattern": "^(8|\\+7)9\\d{9}$",
    "b_host_pattern": "^sip",
    "b_region": "г. Москва * Московская область",
    "b_operator": 'ООО "Т2 Мобайл"',
    "schedule": "day",
    "a_mask_pattern": "^(.*)$",
    "a_mask_replacement": r"7\1",
    "b_mask_pattern": "^8",
    "b_mask_replacement": "",
    "destination_kind": "group",
    "destination": "carriers",
    "options": {"record": True, "codecs": ["PCMA", "PCMU"], "flags": {"vip": "yes"}},
    "note": "two\nlines, with a comma",
}


def draft(**changes: Any) -> RouteDraft:
    """Return a small route: reject everything."""
    return RouteDraft(
        **{"priority": Decimal(10), "destination_kind": "reject", "destination": "486", **changes}
    )


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def acme(conn: Conn) -> int:
    """A tenant with everything that FULL names, some of it the system's."""
    tenant_id = add_tenant(conn, "acme")
    conn.execute(
        "INSERT INTO schedule (tenant_id, name, time_zone, hours) VALUES (%s, 'day', 'UTC', 'mon-fri 09:00-18:00')",
        [tenant_id],
    )
    add_group(conn, "carriers", {add_gateway(conn, "c1"): 100})
    add_gateway(conn, "own", tenant_id=tenant_id)
    add_account(conn, tenant_id, "101")
    return tenant_id


def changed_since(conn: Conn, seq: int) -> int:
    return len(conn.execute("SELECT 1 FROM change_log WHERE noun = 'route' AND seq > %s", [seq]).fetchall())


def newest_change(conn: Conn) -> int:
    row = conn.execute("SELECT max(seq) FROM change_log").fetchone()
    assert row is not None
    return int(row[0])


# --------------------------------------------------------------------------------------------------- save


def test_a_saved_route_says_what_was_asked_and_how_it_is_matched(conn: Conn, acme: int) -> None:
    saved = routes.add(conn, tenant_id=acme, draft=RouteDraft(**FULL))
    assert saved == routes.get(conn, tenant_id=acme, route_id=saved.route_id)
    kept = saved.to_draft()
    wanted = RouteDraft(**{**FULL, "b_region": "Москва и Московская область", "route_id": saved.route_id})
    assert kept == wanted
    assert saved.pattern_classes[2] is PatternClass.SIMPLE
    assert route_folder.find(conn, tenant_id=acme, path="russia/mobile").routes == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"b_pattern": "(?=(a+)+x)"}, "b_pattern: pattern"),
        ({"a_pattern": "("}, "a_pattern: pattern"),
        ({"b_mask_pattern": "^8", "b_mask_replacement": r"\2"}, "b_mask: replacement refers to group '2'"),
        ({"b_mask_pattern": "^8"}, "b_mask: a mask needs both"),
        ({"options": {"recrod": True}}, "unknown option 'recrod'"),
        ({"options": {"max_calls": "many"}}, "option max_calls"),
        ({"directions": ("account", "moon")}, "directions: 'account moon' is not some of"),
        ({"destination_kind": "teleport"}, "destination_kind: 'teleport' is not one of uri gateway"),
        ({"destination": "48"}, 'destination reject: "48" is not a final response'),
        ({"destination_kind": "uri", "destination": "bob"}, '"bob" is not a SIP URI'),
        ({"destination_kind": "uri", "destination": "sip:a@b\r\nX: y"}, "is not a SIP URI"),
        ({"destination_kind": "redirect", "destination": "sip:a@b, c"}, "is not SIP URIs"),
        (
            {"destination_kind": "next", "destination": "x"},
            "destination next: 'x' is not empty (the search goes on",
        ),
        ({"destination_kind": "queue", "destination": ""}, '"" is not the name of the queue'),
        ({"destination_kind": "gateway", "destination": "no"}, 'has a gateway "no"'),
        ({"destination_kind": "group", "destination": "no"}, 'has a gateway group "no"'),
        ({"destination_kind": "account", "destination": "999"}, 'the tenant has no account "999"'),
        ({"schedule": "night"}, 'the tenant has no schedule "night"'),
        ({"options": {"prefer_gateway": "no"}}, "option prefer_gateway: neither the tenant nor the system"),
        ({"options": {"caller_id_set": "no"}}, "option caller_id_set: neither"),
        ({"folder": "a//b"}, "folder: 'a//b' is not names"),
        ({"name": "a\x1b[31m"}, "name: holds characters that are no text"),
        ({"name": "\udcff"}, "name: holds characters that are no text"),
        ({"note": "x" * 3000}, "note: is longer"),
    ],
)
def test_a_bad_route_is_refused_with_a_plain_reason(
    conn: Conn, acme: int, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RouteRefused) as refused:
        routes.add(conn, tenant_id=acme, draft=draft(**changes))
    assert reason in refused.value.message
    assert routes.list_routes(conn, tenant_id=None) == []


def test_everything_that_is_wrong_is_told_at_once(conn: Conn, acme: int) -> None:
    with pytest.raises(RouteRefused) as refused:
        routes.add(conn, tenant_id=acme, draft=draft(a_pattern="(", b_pattern="[", destination="x"))
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    ("kind", "destination"),
    [
        ("gateway", "own"),
        ("gateway", "c1"),
        ("group", "carriers"),
        ("account", "101"),
        ("account", ""),
        ("queue", "not-there-yet"),
        ("ivr", "menu"),
        ("announcement", "closed"),
        ("callback", "later"),
        ("campaign", "spring"),
        ("uri", "sip:100@host.example;transport=tcp"),
        ("reject", "404 No Such Number"),
        ("redirect", "sip:a@b.example, sips:c@d.example"),
        ("next", ""),
        ("next", "top"),
    ],
)
def test_every_kind_of_destination_can_be_saved(conn: Conn, acme: int, kind: str, destination: str) -> None:
    saved = routes.add(conn, tenant_id=acme, draft=draft(destination_kind=kind, destination=destination))
    assert (saved.destination_kind, saved.destination) == (kind, destination)


def test_a_route_of_the_system_may_name_accounts_of_whoever_calls(conn: Conn, acme: int) -> None:
    saved = routes.add(conn, tenant_id=0, draft=draft(destination_kind="account", destination="reception"))
    assert saved.tenant == "system"
    with pytest.raises(RouteRefused):  # but no gateway of a tenant
        routes.add(conn, tenant_id=0, draft=draft(destination_kind="gateway", destination="own"))


def test_edit_changes_only_what_is_given(conn: Conn, acme: int) -> None:
    before = routes.add(conn, tenant_id=acme, draft=RouteDraft(**FULL))
    after = routes.edit(
        conn, tenant_id=acme, route_id=before.route_id, changes={"a_pattern": None, "enabled": True}
    )
    assert (after.a_pattern, after.enabled, after.pattern_classes[0]) == (None, True, PatternClass.NONE)
    assert after.to_draft() == RouteDraft(**{**vars_of(before), "a_pattern": None, "enabled": True})
    with pytest.raises(RouteRefused):
        routes.edit(conn, tenant_id=acme, route_id=before.route_id, changes={"b_pattern": "("})


def vars_of(route: Route) -> dict[str, Any]:
    saved = route.to_draft()
    return {name: getattr(saved, name) for name in RouteDraft.__dataclass_fields__}


def test_an_edit_that_changes_nothing_does_not_reach_the_index(conn: Conn, acme: int) -> None:
    saved = routes.add(conn, tenant_id=acme, draft=RouteDraft(**FULL))
    seq = newest_change(conn)
    routes.edit(conn, tenant_id=acme, route_id=saved.route_id, changes={"name": saved.name})
    routes.set_enabled(conn, tenant_id=acme, route_ids=[saved.route_id], enabled=False)
    assert changed_since(conn, seq) == 0


# ---------------------------------------------------------------------------------------------- isolation


def test_a_tenant_cannot_see_or_touch_routes_of_another(conn: Conn, acme: int) -> None:
    other = add_tenant(conn, "other")
    mine = routes.add(conn, tenant_id=acme, draft=draft(folder="f")).route_id
    uses: list[Any] = [
        lambda: routes.get(conn, tenant_id=other, route_id=mine),
        lambda: routes.edit(conn, tenant_id=other, route_id=mine, changes={"name": "x"}),
        lambda: routes.remove(conn, tenant_id=other, route_ids=[mine]),
        lambda: routes.set_enabled(conn, tenant_id=other, route_ids=[mine], enabled=False),
        lambda: routes.move(conn, tenant_id=other, route_id=mine, before=mine),
        lambda: routes.move_to_folder(conn, tenant_id=other, route_ids=[mine], folder=""),
        lambda: routes.add(conn, tenant_id=other, draft=draft(route_id=mine)),
        lambda: route_folder.find(conn, tenant_id=other, path="f"),
    ]
    for use in uses:
        with pytest.raises(KalibriError):
            use()
    assert routes.list_routes(conn, tenant_id=other) == []
    assert "".join(routes.export_csv(conn, tenant_id=other)).count("\n") == 1
    assert routes.get(conn, tenant_id=acme, route_id=mine).enabled


def test_removal_is_all_or_nothing(conn: Conn, acme: int) -> None:
    first = routes.add(conn, tenant_id=acme, draft=draft()).route_id
    with pytest.raises(NotFound, match="the tenant has no route 4711"):
        routes.remove(conn, tenant_id=acme, route_ids=[first, 4711])
    routes.remove(conn, tenant_id=acme, route_ids=[first])
    assert routes.list_routes(conn, tenant_id=acme) == []


def test_listing_is_in_matching_order_and_filtered(conn: Conn, acme: int) -> None:
    late = routes.add(conn, tenant_id=acme, draft=draft(priority=Decimal(20), folder="a/b", name="Late"))
    early = routes.add(
        conn, tenant_id=acme, draft=draft(priority=Decimal("5.25"), folder="a", b_pattern="^7")
    )
    same = routes.add(conn, tenant_id=acme, draft=draft(priority=Decimal(20), folder="ab", enabled=False))

    def ids(**filters: Any) -> list[int]:
        return [route.route_id for route in routes.list_routes(conn, tenant_id=acme, **filters)]

    assert ids() == [early.route_id, late.route_id, same.route_id]
    assert ids(folder="a") == [early.route_id, late.route_id]
    assert ids(enabled=False) == [same.route_id]
    assert ids(text="LATE") == [late.route_id]
    assert ids(text="^7") == [early.route_id]
    assert ids(limit=1) == [early.route_id]


# -------------------------------------------------------------------------------------------------- order


def test_move_puts_a_route_between_its_new_neighbours(conn: Conn, acme: int) -> None:
    a, b, c = (
        routes.add(conn, tenant_id=acme, draft=draft(priority=Decimal(p))).route_id for p in (10, 11, 12)
    )

    def order() -> list[int]:
        return [route.route_id for route in routes.list_routes(conn, tenant_id=acme)]

    routes.move(conn, tenant_id=acme, route_id=c, before=b)
    assert order() == [a, c, b]
    routes.move(conn, tenant_id=acme, route_id=a, after=b)
    assert order() == [c, b, a]
    routes.move(conn, tenant_id=acme, route_id=a, before=c)
    assert order() == [a, c, b]
    with pytest.raises(Refused):
        routes.move(conn, tenant_id=acme, route_id=a, before=a)


# ---------------------------------------------------------------------------------------------------- CSV


def export(conn: Conn, tenant_id: int, path: Path) -> bytes:
    path.write_text("".join(routes.export_csv(conn, tenant_id=tenant_id)), encoding="utf-8", newline="")
    return path.read_bytes()


@pytest.fixture
def exported(conn: Conn, acme: int, tmp_path: Path) -> Path:
    """A file with all sorts of routes."""
    routes.add(conn, tenant_id=acme, draft=RouteDraft(**FULL))
    routes.add(conn, tenant_id=acme, draft=draft(b_pattern='^"quoted";,$', name=" spaces around "))
    routes.add(conn, tenant_id=acme, draft=draft(priority=Decimal("-0.0001"), note="carriage\r\nreturn"))
    path = tmp_path / "routes.csv"
    export(conn, acme, path)
    return path


def test_export_import_export_is_identical_and_touches_nothing(
    conn: Conn, acme: int, exported: Path, tmp_path: Path
) -> None:
    seq = newest_change(conn)
    counts = routes.import_csv(conn, tenant_id=acme, file=exported, replace_all=True)
    assert (counts.added, counts.changed, counts.removed, counts.unchanged) == (0, 0, 0, 3)
    assert changed_since(conn, seq) == 0
    assert export(conn, acme, tmp_path / "again.csv") == exported.read_bytes()


def test_export_import_into_an_empty_table_is_identical(
    conn: Conn, acme: int, exported: Path, tmp_path: Path
) -> None:
    ids = [route.route_id for route in routes.list_routes(conn, tenant_id=acme)]
    routes.remove(conn, tenant_id=acme, route_ids=ids)
    counts = routes.import_csv(conn, tenant_id=acme, file=exported)
    assert counts.added == 3
    assert export(conn, acme, tmp_path / "again.csv") == exported.read_bytes()
    assert routes.add(conn, tenant_id=acme, draft=draft()).route_id > max(ids)


@pytest.mark.parametrize("encoding", ["cp1251", "utf-8-sig", "utf-16"])
def test_a_file_from_a_spreadsheet_is_understood(
    conn: Conn, acme: int, exported: Path, tmp_path: Path, encoding: str
) -> None:
    text = exported.read_bytes().decode()
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(text, encoding=encoding, newline="")
    counts = routes.import_csv(conn, tenant_id=acme, file=sheet)
    assert counts.unchanged == 3


def test_semicolons_and_few_columns_are_enough(conn: Conn, acme: int, tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text(
        "Destination_Kind;priority;b_pattern\nreject;10;^1\nnext;20;^2\n".replace("reject", "next")
    )
    assert routes.import_csv(conn, tenant_id=acme, file=file).added == 2


def test_ids_of_another_tenant_are_refused_unless_new_ones_are_given(
    conn: Conn, acme: int, exported: Path
) -> None:
    other = add_tenant(conn, "other")
    conn.execute(
        "INSERT INTO schedule (tenant_id, name, time_zone, hours) VALUES (%s, 'day', 'UTC', 'mon 09:00-18:00')",
        [other],
    )
    with pytest.raises(CsvRefused, match="belongs to another tenant"):
        routes.import_csv(conn, tenant_id=other, file=exported)
    counts = routes.import_csv(conn, tenant_id=other, file=exported, new_ids=True)
    assert counts.added == 3
    assert len(routes.list_routes(conn, tenant_id=acme)) == 3


def test_every_bad_row_is_named_and_nothing_is_saved(conn: Conn, acme: int, tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text(
        "route_id,priority,destination_kind,destination,b_pattern\n"
        ",1,reject,486,^1\n"
        ",x,reject,486,\n"
        ",,reject,486,(\n"
        "77,3,gateway,missing,\n"
        "77,4,reject,486,(((\n"
        "77,5,reject,486,^5\n"
        ",6,reject\n"
        '9,"7,reject,486,\n'
    )
    with pytest.raises(CsvRefused) as refused:
        routes.import_csv(conn, tenant_id=acme, file=file)
    told: Any = refused.value.details["errors"]
    assert [(entry["line"], entry["message"].split(":")[0]) for entry in told] == [
        (3, "priority"),
        (4, "priority"),
        (5, 'neither the tenant nor the system has a gateway "missing"'),
        (6, "b_pattern"),
        (7, "the route id 77 stands in line 5 already"),
        (8, "3 fields, but the heading has 5"),
        (9, "not a CSV row"),
    ]
    assert routes.list_routes(conn, tenant_id=None) == []


def test_replace_removes_what_is_not_in_the_file(conn: Conn, acme: int, exported: Path) -> None:
    extra = routes.add(conn, tenant_id=acme, draft=draft(name="extra"))
    foreign = routes.add(conn, tenant_id=0, draft=draft(name="system"))
    counts = routes.import_csv(conn, tenant_id=acme, file=exported, replace_all=True)
    assert (counts.added, counts.removed) == (0, 1)
    with pytest.raises(NotFound):
        routes.get(conn, tenant_id=acme, route_id=extra.route_id)
    assert routes.get(conn, tenant_id=0, route_id=foreign.route_id)


def test_dry_run_counts_and_changes_nothing(conn: Conn, acme: int, exported: Path) -> None:
    text = exported.read_text(encoding="utf-8").replace("486", "503")
    exported.write_text(text, encoding="utf-8")
    with conn.transaction(force_rollback=True):
        assert routes.import_csv(conn, tenant_id=acme, file=exported).changed == 2
    assert {route.destination for route in routes.list_routes(conn, tenant_id=acme)} == {"486", "carriers"}


# ------------------------------------------------------------------------------------------------ folders


def test_folders_are_renamed_with_all_below_and_kept_while_in_use(conn: Conn, acme: int) -> None:
    inside = routes.add(conn, tenant_id=acme, draft=draft(folder="a/b"))
    for path in ("a", "ab", "z"):
        route_folder.add(conn, tenant_id=acme, path=path)
    assert route_folder.rename(conn, tenant_id=acme, path="a", new_path="x/y") == 2
    assert [folder.path for folder in route_folder.list_folders(conn, tenant_id=acme)] == [
        "ab",
        "x/y",
        "x/y/b",
        "z",
    ]
    assert routes.get(conn, tenant_id=acme, route_id=inside.route_id).folder == "x/y/b"
    with pytest.raises(Refused):
        route_folder.remove(conn, tenant_id=acme, path="x/y/b")
    with pytest.raises(Refused):
        route_folder.rename(conn, tenant_id=acme, path="ab", new_path="z")
    route_folder.remove(conn, tenant_id=acme, path="z")
    assert routes.move_to_folder(conn, tenant_id=acme, route_ids=[inside.route_id], folder="ab") == 1
    assert routes.move_to_folder(conn, tenant_id=acme, route_ids=[inside.route_id], folder="") == 1
    with pytest.raises(NotFound):
        routes.move_to_folder(conn, tenant_id=acme, route_ids=[inside.route_id], folder="nowhere")
