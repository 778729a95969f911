"""ksctl route: from the first route to a story of why a call goes where it goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kalibri import db as database
from kalibri.config import Config
from kalibri.db import Conn
from tests.support.fix_ksctl import Ksctl
from tests.support.index_daemon import IndexDaemon, running_index
from tests.support.rows import add_account, add_gateway, add_group, add_rate, add_tenant


@pytest.fixture
def conn(pg_config: Config) -> Iterator[Conn]:
    with database.connect_tool(pg_config, application_name="test") as connection:
        yield connection


@pytest.fixture
def acme(conn: Conn) -> int:
    """A tenant with an account, and two carriers of the system, the cheaper one down."""
    tenant_id = add_tenant(conn, "acme")
    add_account(conn, tenant_id, "101")
    cheap, dear, out = (add_gateway(conn, name) for name in ("cheap", "dear", "out"))
    add_rate(conn, cheap, "0.5")
    add_rate(conn, dear, "1.25", prefix="7495")
    add_group(conn, "carriers", {cheap: 100, dear: 100, out: 0})
    return tenant_id


@pytest.fixture
def daemon(pg_config: Config, conn: Conn, acme: int) -> Iterator[IndexDaemon]:
    """ks-index beside the test's ksctl."""
    with running_index(pg_config) as running:
        yield running


def add(ksctl: Ksctl, *words: str, tenant: str = "acme") -> str:
    return ksctl.ok("route", "add", "-t", tenant, *words).stdout.strip()


def test_a_route_from_add_to_rm(ksctl: Ksctl, acme: int) -> None:
    route_id = add(
        ksctl,
        *("--priority", "10.5", "--to", "group:carriers", "--name", "Moscow", "--folder", "russia"),
        *("--direction", "account", "--b", r"^8495\d{7}$", "--b-mask", "^8", "7"),
        *("--option", "record=yes", "--option", "codecs=PCMA,PCMU", "--option", "flags.vip=1"),
    )
    (row,) = ksctl.ok("route list -t acme -o csv").csv
    assert row["conditions"] == r"account, b ^8495\d{7}$"
    assert (row["priority"], row["rewriting"], row["destination"]) == ("10.5", "B ^8 -> 7", "group:carriers")
    shown = ksctl.ok("route", "show", route_id, "-t", "acme", "-o", "json").json
    assert shown["options"] == {"record": True, "codecs": ["PCMA", "PCMU"], "flags": {"vip": "1"}}
    assert shown["pattern_classes"] == ["none", "none", "simple", "none"]
    ksctl.ok(
        *("route", "edit", route_id, "-t", "acme", "--b", "none", "--direction", "any", "--b-mask", "", ""),
        *("--option", "record=none", "--option", "flags.vip=none", "--to", "reject:404 No Such Number"),
    )
    shown = ksctl.ok("route", "show", route_id, "-t", "acme", "-o", "json").json
    assert (shown["b_pattern"], shown["directions"], shown["b_mask_pattern"]) == (None, [], None)
    assert (shown["options"], shown["destination"]) == ({"codecs": ["PCMA", "PCMU"]}, "404 No Such Number")
    assert "1 disabled" in ksctl.ok("route", "disable", route_id, "-t", "acme").stderr
    assert ksctl.ok("route list -t acme --enabled -o json").json == []
    assert "1 enabled" in ksctl.ok("route", "enable", route_id, "-t", "acme").stderr
    assert [row["path"] for row in ksctl.ok("folder list -t acme -o csv").csv] == ["russia"]
    ksctl.ok("route", "rm", route_id, "-t", "acme")
    assert ksctl.ok("route list -o json").json == []


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (["--b", "((a+)+)+$(?=x)"], 1, "b_pattern: pattern"),
        (["--to", "gateway:nowhere"], 1, 'has a gateway "nowhere"'),
        (["--to", "moon:dark-side"], 2, "'moon' is not one of uri, gateway"),
        (["--option", "speed=fast"], 1, "'speed' is no option; options: record"),
        (["--option", "record=perhaps"], 1, "'perhaps' is not true or false"),
        (["--option", "record"], 1, "write KEY=VALUE"),
        (["--priority", "1.23456"], 2, "with at most four decimals"),
        (["-t", "nobody"], 3, 'there is no tenant "nobody"'),
    ],
)
def test_what_cannot_be_saved_says_why(
    ksctl: Ksctl, acme: int, words: list[str], exit_code: int, message: str
) -> None:
    command = ["route", "add", "-t", "acme", "--priority", "1", "--to", "reject:486", *words]
    assert message in ksctl.fails(exit_code, *command)


def test_order_by_move(ksctl: Ksctl, acme: int) -> None:
    first, second = (add(ksctl, "--priority", p, "--to", "reject:486") for p in ("10", "11"))
    assert "has priority 9" in ksctl.ok("route", "move", second, "-t", "acme", "--before", first).stderr
    assert [row["route_id"] for row in ksctl.ok("route list -t acme -o csv").csv] == [second, first]
    ksctl.ok("folder add -t acme mobile")
    ksctl.ok("route", "move", second, "-t", "acme", "--folder", "mobile")
    assert "the folder still holds routes" in ksctl.fails(4, "folder rm -t acme mobile")
    ksctl.fails(2, "route", "move", second, "-t", "acme")


def test_export_and_import_of_a_file(ksctl: Ksctl, acme: int, tmp_path: Path) -> None:
    add(ksctl, "--priority", "10", "--to", "queue:sales", "--name", "Отдел «Продажи»")
    add(ksctl, "--priority", "20", "--to", "next", "--a-mask", "^(.*)$", r"7\1")
    file, errors = tmp_path / "routes.csv", tmp_path / "errors.csv"
    ksctl.ok("route", "export", "-t", "acme", "--to", str(file))
    assert ksctl.ok("route export -t acme").stdout == file.read_text(encoding="utf-8")
    assert (
        "0 routes added, 0 changed, 0 removed, 2 as before"
        in ksctl.ok("route", "import", "-t", "acme", str(file)).stderr
    )
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("sales", "support"), encoding="utf-8")
    dry = ksctl.ok("route", "import", "-t", "acme", "--dry-run", str(file)).stderr
    assert "dry run: 0 routes added, 1 changed" in dry
    assert "sales" in ksctl.ok("route list -t acme").stdout
    ksctl.ok("route", "import", "-t", "acme", "-", stdin=file.read_bytes())
    assert "support" in ksctl.ok("route list -t acme").stdout
    file.write_text(text.replace("^(.*)$", "^((.*"), encoding="utf-8")
    said = ksctl.fails(1, "route", "import", "-t", "acme", str(file), "--errors", str(errors))
    assert "line 3: a_mask: pattern" in said
    assert errors.read_text().count("\n") == 2


def test_reload_waits_until_all_is_live(ksctl: Ksctl, daemon: IndexDaemon, conn: Conn) -> None:
    daemon.until_live(conn)
    before = daemon.current.generation
    add(ksctl, "--priority", "10", "--to", "reject:486")
    state = ksctl.ok("route reload -o json").json
    assert state["generation"] == before + 1
    assert state["index_seq"] >= state["database_seq"]
    daemon.stop()
    add(ksctl, "--priority", "11", "--to", "reject:486")
    assert "is ks-index running?" in ksctl.fails(1, "route reload --timeout 0.1")


def test_the_story_of_a_call_is_told_in_stable_words(
    ksctl: Ksctl, daemon: IndexDaemon, conn: Conn, tmp_path: Path
) -> None:
    registry = tmp_path / "r.csv"
    registry.write_text("Код;От;До;Емкость;Оператор;Регион\n495;0;9999999;10000000;МГТС;г. Москва\n")
    ksctl.ok("range", "import", str(registry))
    conn.execute(
        "UPDATE gateway SET health = 'down', health_reason = 'no answer to OPTIONS' WHERE name = 'cheap'"
    )
    ids = [
        add(ksctl, "--priority", "5", "--to", "reject:486", "--name", "service numbers", "--b", r"^8495\d{3}$"),
        add(ksctl, "--priority", "10", "--to", "next", "--name", "national form", "--b", "^8", "--b-mask", "^8", "7"),
        add(ksctl, "--priority", "20", "--to", "reject:403", "--b", "^7495", "--direction", "gateway"),
        add(ksctl, "--priority", "30", "--to", "group:carriers", "--b", "^7495", "--region", "г.Москва",
            "--option", "record=true", tenant="system"),
    ]  # fmt: skip
    ksctl.ok("route reload")
    command = ["route", "test", "84951234567", "-t", "acme", "--from", "101", "--at", "2026-11-22T18:30"]
    outcome = ksctl.ok(*command)
    expected = f"""\
call 101@acme.example -> 84951234567@acme.example, tenant acme, from account, at 2026-11-22 18:30:00+00:00

search 1: A 101, B 84951234567 (Москва, МГТС)
  ROUTE  PRIORITY  NAME                    BECAUSE
  {ids[0]:<5}  5         service numbers  no     B number '84951234567' does not match ^8495\\d{{3}}$
  {ids[1]:<5}  10        national form    TAKEN  matches: next
  rewrites B: 84951234567 -> 74951234567

search 2: A 101, B 74951234567 (Москва, МГТС)
  ROUTE       PRIORITY  NAME         BECAUSE
  {ids[2]:<10}  20        -     no     is for calls from gateway, this one is from account
  {ids[3] + " (system)":<10}  30        -     TAKEN  matches: group carriers

gateways, in the order in which they are tried
     GATEWAY  COST      WEIGHT  REMARK
  1  dear     3.75 RUB  100     up
  -  cheap    1.5 RUB   100     down: no answer to OPTIONS
  -  out      -         0       weight 0: taken out of the group

decision: relay to dear
  sends A 101, B 74951234567
  by route {ids[1]}, then {ids[3]}
  options: record=true
"""
    assert outcome.stdout == expected
    assert "OLDER" not in outcome.stderr
    told = ksctl.ok(*command, "-o", "json").json
    assert told["decision"]["kind"] == "RelayToGateways"
    assert told["decision"]["hops"] == [int(ids[1]), int(ids[3])]
    assert [entry["name"] for entry in told["gateways"]] == ["dear", "cheap", "out"]
    assert float(told["gateways"][0]["cost"]) == 3.75
    assert [entry["route_id"] for entry in told["hops"][0]["looked_at"]] == [int(ids[0]), int(ids[1])]


def test_a_call_from_a_gateway_goes_to_the_owner_of_the_number(
    ksctl: Ksctl, daemon: IndexDaemon, conn: Conn, acme: int
) -> None:
    conn.execute(
        "INSERT INTO number (number, state, tenant_id, destination_kind, destination)"
        " VALUES ('74951112233', 'assigned', %s, 'account', '101')",
        [acme],
    )
    ksctl.ok("route reload")
    outcome = ksctl.ok("route", "test", "74951112233", "--gateway", "dear", "--from", "79001234567")
    assert (
        "call 79001234567@192.0.2.1 -> 74951112233@acme.example, tenant acme, from gateway" in outcome.stdout
    )
    assert "number 74951112233 of the inventory leads to account 101" in outcome.stdout
    assert "decision: ring account 101" in outcome.stdout
    assert ksctl.ok("route test 112").stdout.count("no route matches") == 2


def test_an_old_index_is_told(ksctl: Ksctl, daemon: IndexDaemon, conn: Conn) -> None:
    daemon.until_live(conn)
    daemon.stop()
    add(ksctl, "--priority", "10", "--to", "reject:486")
    outcome = ksctl.ok("route test 100 -t acme --from 101")
    assert "OLDER than the database by 1 changes" in outcome.stderr
    assert "no route matches" in outcome.stdout


def test_without_an_index_or_with_unknown_names_it_says_so(
    ksctl: Ksctl, daemon: IndexDaemon, conn: Conn
) -> None:
    daemon.until_live(conn)
    assert 'no tenant "nobody"' in ksctl.fails(3, "route test 100 -t nobody")
    assert 'no gateway "nothing"' in ksctl.fails(3, "route test 100 -t acme --gateway nothing")
    ksctl.fails(2, "route test 100 -t acme --at yesterday")
    daemon.stop()
    (daemon.directory / "CURRENT").unlink()
    assert "there is no index yet: is ks-index running?" in ksctl.fails(1, "route test 100 -t acme")


def test_without_a_database_the_index_still_answers(ksctl: Ksctl, daemon: IndexDaemon, conn: Conn) -> None:
    add(ksctl, "--priority", "10", "--to", "group:carriers")
    daemon.until_live(conn)
    alone = Ksctl({"KALIBRI_DATABASE_DSN": "host=/nowhere", "KALIBRI_HOME": str(daemon.config.home)})
    outcome = alone.ok("route test 100 -t acme")
    assert "decision: relay to cheap, then dear" in outcome.stdout
    assert "the database is away, so all gateways are taken for healthy" in outcome.stderr


def test_check_finds_what_cannot_work(ksctl: Ksctl, conn: Conn, acme: int) -> None:
    assert "nothing found" in ksctl.ok("route check").stderr
    wide = add(ksctl, "--priority", "1", "--to", "reject:403", "--b", "^7")
    never = add(ksctl, "--priority", "2", "--to", "group:carriers", "--b", "^7495", "--name", "Moscow")
    dangling = add(ksctl, "--priority", "3", "--to", "account:101", "--b", "^101$")
    by_hand = add(ksctl, "--priority", "4", "--to", "reject:403", "--b", "^8")
    loop = add(ksctl, "--priority", "5", "--to", "next:top", "--b", "^9")
    hot = [add(ksctl, "--priority", "0.5", "--to", "reject:403", "--b", "^810.*[0-9]{2}5$", tenant="system")]
    conn.execute("UPDATE account SET enabled = false WHERE username = '101'")
    conn.execute("UPDATE route SET b_pattern = '(' WHERE route_id = %s", [int(by_hand)])
    outcome = ksctl("route", "check", "-t", "acme", "-o", "json")
    assert outcome.exit_code == 1
    found = {(row["route_id"], row["kind"]): row["message"] for row in outcome.json}
    assert set(found) == {
        (int(never), "shadowed"),
        (int(dangling), "unknown"),
        (int(by_hand), "unusable"),
        (int(loop), "loop"),
    }
    assert f"route {wide} comes first" in found[int(never), "shadowed"]
    assert "account '101' does not exist" in found[int(dangling), "unknown"]
    assert hot
    assert ksctl("route", "check", "-t", "system").exit_code == 0


def test_check_reports_keys_for_which_many_routes_compete(ksctl: Ksctl, conn: Conn, acme: int) -> None:
    conn.execute(
        "INSERT INTO route (tenant_id, priority, b_pattern, a_pattern, pattern_classes, destination_kind, destination)"
        " SELECT %s, n, '^810', 'x' || n || '.*y', '{re,none,simple,none}', 'reject', '403'"
        " FROM generate_series(1, 300) AS n",
        [acme],
    )
    rows = ksctl("route", "check", "-t", "acme", "-o", "json").json
    assert [row["kind"] for row in rows] == ["hot"]
    assert "300 routes compete" in rows[0]["message"]
