"""ksctl report: the same figures on the screen, in files and in pictures; and by the API."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from openpyxl import load_workbook
from psycopg.types.json import Jsonb

from kalibri.db import Conn
from kalibri.services import report_facts
from kalibri.services.report_schedule import REPORTS
from tests.support.builders import make_tenant
from tests.support.fix_api import Api
from tests.support.fix_ksctl import Ksctl
from tests.support.report_day import Day
from tests.support.rows import add_gateway

DAY = date(2026, 3, 10)


@pytest.fixture
def tenant(db: Conn) -> int:
    """A tenant with a short day: two calls in sales, one answered, and three calls at a gateway."""
    tenant = make_tenant(db, "acme")
    day = Day(db, tenant, UTC, DAY)
    eve = day.agent("eve", "09:00")
    stay = day.enter("10:00", "sales", "=cmd()")
    ring = day.offer("10:00", stay, eve)
    day.join("10:00:10", ring)
    day.finish("10:01:10", ring, by="caller")
    day.end("10:40", day.enter("10:35", "sales", "+74951234567"), "abandoned")
    day.write()
    add_calls(
        db, tenant, add_gateway(db, "carrier", tenant_id=tenant), add_gateway(db, "cheap", tenant_id=tenant)
    )
    db.execute("UPDATE call SET updated_at = now() - interval '1 minute'")
    report_facts.catch_up(db)
    return tenant


def add_calls(db: Conn, tenant: int, carrier: int, cheap: int) -> None:
    """A call in; a call out by way of cheap (503) and carrier; a call out to carrier that is busy."""
    db.execute("SELECT ensure_day_partitions(%s)", [DAY])
    at = [datetime(2026, 3, 10, 11, 0, second, tzinfo=UTC).isoformat() for second in range(10)]
    calls = [
        ("account", None, carrier, 0, 60_000, "normal", "caller", 200, [
            {"n": 1, "gateway_id": cheap, "at": at[0], "ringing_at": None, "code": 503, "failover": True},
            {"n": 2, "gateway_id": carrier, "at": at[1], "ringing_at": at[3], "code": 200, "failover": False},
        ]),
        ("account", None, carrier, 0, None, "busy", "callee", 486, [
            {"n": 1, "gateway_id": carrier, "at": at[0], "ringing_at": None, "code": 486, "failover": False},
        ]),
        ("gateway", carrier, None, 2, 30_000, "normal", "callee", 200, [
            {"n": 1, "account": "101", "at": at[0], "code": 200},
        ]),
    ]  # fmt: skip
    for direction, inbound, out, ringing, talk, cause, by, code, attempts in calls:
        db.execute(
            "INSERT INTO call (call_id, started_at, tenant_id, direction, account, gateway_in_id, gateway_out_id,"
            " attempts, ringing_at, answered_at, ended_at, talk_ms, final_code, cause, hung_up_by)"
            " VALUES (%s, %s, %s, %s, '101', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [uuid4(), at[0], tenant, direction, inbound, out, Jsonb(attempts), at[ringing], at[5] if talk else None,
             datetime(2026, 3, 10, 11, 5, tzinfo=UTC), talk, code, cause, by],
        )  # fmt: skip


def test_figures_on_the_screen(ksctl: Ksctl, tenant: int) -> None:
    shown = ksctl.ok("report queue -t acme --from 2026-03-10")
    assert "2026-03-10, UTC; built until" in shown.stderr
    assert "service level (without_short): answered in time" in shown.stderr
    head, row = shown.stdout.splitlines()
    assert head.split()[:3] == ["QUEUE", "OFFERED", "ANSWERED"]
    assert row.split()[:7] == ["sales", "2", "1", "1", "0", "0", "50"]
    row = ksctl.ok("report queue -t acme --from 2026-03-10 -o csv").csv[0]
    assert (row["left_timeout"], row["average_handle_seconds"]) == ("0", "60.0")
    told = ksctl.ok("report interval -t acme --from 2026-03-10 --by hour --hours 10:00-12:00 -o json").json
    assert sum(row["offered"] for row in told["rows"]) == 2
    assert told["columns"][0] == "period"


def test_calls_and_gateways(ksctl: Ksctl, tenant: int) -> None:
    rows = {row["direction"]: row for row in ksctl.ok("report calls --from 2026-03-10 -o csv").csv}
    account = rows["account"]
    assert (account["calls"], account["answered"], account["answered_percent"]) == ("2", "1", "50.0")
    assert (account["average_setup_seconds"], account["talk_minutes"]) == ("5.0", "1.0")
    assert (account["hung_up_caller"], account["hung_up_callee"]) == ("1", "1")
    assert account["causes"] == "busy=1 normal=1"
    told = ksctl.ok("report gateway -t acme --from 2026-03-10 -o json").json["rows"]
    found = {(row["gateway"], row["way"]): row for row in told}
    out = found["carrier", "out"]
    assert (out["calls"], out["answered"], out["busy"], out["answered_percent"]) == (2, 1, 1, 50.0)
    assert (out["average_talk_seconds"], out["average_ring_delay_seconds"]) == (60.0, 2.0)
    assert (found["cheap", "out"]["refused_5xx"], found["cheap", "out"]["failed_over"]) == (1, 1)
    assert (found["carrier", "in"]["calls"], found["carrier", "in"]["talk_minutes"]) == (1, 0.5)
    by_account = ksctl.ok("report calls -t acme --from 2026-03-10 --group account -o csv").csv
    assert [(row["account"], row["calls"]) for row in by_account] == [("101", "3")]


def test_spreadsheets_calculate_nothing_that_a_caller_wrote(
    ksctl: Ksctl, tenant: int, tmp_path: Path
) -> None:
    file = tmp_path / "attempts.xlsx"
    ksctl.ok("report", "attempts", "-t", "acme", "--from", "2026-03-10", "-o", "xlsx", "--file", str(file))
    book = load_workbook(io.BytesIO(file.read_bytes()))
    head, row = (list(cells) for cells in book["attempts"].iter_rows())
    cells = dict(zip((cell.value for cell in head), row, strict=True))
    assert (cells["caller"].value, cells["caller"].data_type) == ("=cmd()", "s")
    assert (cells["wait seconds"].value, cells["talk seconds"].value) == (0, 60)
    assert cells["at"].value.isoformat() == "2026-03-10T10:00:00"  # the clock of the tenant
    assert ("time zone", "UTC") in [
        tuple(cell.value for cell in line[:2]) for line in book["about"].iter_rows()
    ]
    text = ksctl.ok("report attempts -t acme --from 2026-03-10 -o csv").csv[0]
    assert text["caller"] == "'=cmd()"
    [missed] = ksctl.ok("report missed -t acme --from 2026-03-10 -o csv").csv
    assert missed["caller"] == "+74951234567"


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_plots(ksctl: Ksctl, tenant: int, tmp_path: Path, suffix: str) -> None:
    for number, command in enumerate(
        (
            "interval -t acme --by hour",
            "agent -t acme",
            "calls",
            "gateway --by hour",
            "queue -t acme --by day",
        )
    ):
        plot = tmp_path / f"{number}.{suffix}"
        ksctl.ok(*f"report {command} --from 2026-03-10 --plot".split(), str(plot))
        drawn = plot.read_bytes()
        assert len(drawn) > 5000
        assert b"<svg" in drawn if suffix == "svg" else drawn.startswith(b"\x89PNG")
    assert "listing" in ksctl.fails(
        1, *["report", "attempts", "-t", "acme", "--from", "2026-03-10", "--plot", "x.svg"]
    )


def test_wrong_use_is_refused(ksctl: Ksctl, tenant: int) -> None:
    assert "no queue" in ksctl.fails(3, "report queue -t acme --queue nobody")
    assert "comes after" in ksctl.fails(1, "report queue -t acme --from 2026-03-10 --to 2026-03-09")
    ksctl.fails(2, "report queue -t acme --from soon")
    ksctl.fails(2, "report queue -t acme -o xlsx")


def test_schedules(ksctl: Ksctl, tenant: int) -> None:
    ksctl.ok(
        *[
            "report",
            "schedule",
            "add",
            "-t",
            "acme",
            "weekly",
            "queue",
            "--every",
            "week",
            "--to",
            "boss@example.net",
        ],
        *["--option", "queues=sales", "--option", "step=day", "--option", "plot=true", "--at", "07:30"],
    )
    ksctl.ok("report schedule edit -t acme weekly --to a@example.net --to b@example.net --disable")
    [row] = ksctl.ok("report schedule list -o json").json
    assert row["options"] == {"queues": ["sales"], "step": "day", "plot": True}
    assert (row["recipients"], row["enabled"], row["at"]) == (
        ["a@example.net", "b@example.net"],
        False,
        "07:30:00",
    )
    assert "mail" in ksctl.fails(4, "report schedule send -t acme weekly")
    ksctl.ok("report schedule rm -t acme weekly")
    assert ksctl.ok("report schedule list -o json").json == []


def test_built_again(ksctl: Ksctl, tenant: int) -> None:
    assert "and 3 calls" in ksctl.ok("report rebuild").stderr
    assert ksctl.ok("report queue -t acme --from 2026-03-10 -o csv").csv[0]["offered"] == "2"


def test_ksctl_and_the_api_tell_the_same(api: Api, ksctl: Ksctl, tenant: int) -> None:
    token = api.token("acme", "supervisor")
    for name in REPORTS:
        shown = ksctl.ok(f"report {name} -t acme --from 2026-03-10 --to 2026-03-10 -o json").json
        told = api.result(token, f"report.{name}", from_day="2026-03-10", to_day="2026-03-10")
        told["rows"] = json.loads(json.dumps(told["rows"]).replace('Z"', '+00:00"'))
        for row in (*shown["rows"], *told["rows"]):
            if name == "states" and row["ended_at"] is None:
                del row["seconds"]  # it lasts: the later one asks, the more
        assert shown["rows"] == told["rows"], name
        assert told["rows"] or name in ("campaign", "callbacks", "pauses"), name


def test_by_the_api(api: Api, db: Conn, tenant: int) -> None:
    token = api.token("acme", "supervisor")
    told = api.result(token, "report.queue", from_day="2026-03-10", step="hour")
    assert [row["offered"] for row in told["rows"]] == [0] * 10 + [2] + [0] * 13
    told = api.result(token, "report.calls", from_day="2026-03-10", group="cause")
    assert {row["cause"]: row["calls"] for row in told["rows"]} == {"normal": 2, "busy": 1}
    other = make_tenant(db, "zebra")
    assert other
    stranger = api.token("zebra", "supervisor")
    for method in ("report.queue", "report.agent", "report.calls", "report.gateway", "report.missed"):
        assert api.result(stranger, method, from_day="2026-03-10")["rows"] == []
    assert api.refused(api.token("acme", "read"), "report.queue", from_day="2026-03-10") == "forbidden"
