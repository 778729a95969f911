"""Scheduled reports: sent once a period, by a real SMTP server, again when it was away, never twice."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from openpyxl import load_workbook

from callcore.errors import BadInput, NotFound, Unavailable
from callcore.states import ReportEvery
from kalibri import mail
from kalibri.config import Config
from kalibri.config_sections import MailConfig
from kalibri.db import Conn
from kalibri.services import report_facts, report_schedule, worker
from kalibri.services.report_schedule import due_span, send_due
from tests.support.builders import make_tenant
from tests.support.net_ports import free_port
from tests.support.postman import Postman
from tests.support.report_day import Day

BERLIN = ZoneInfo("Europe/Berlin")
#: A Sunday; by the clock of Berlin.
NIGHT = datetime(2026, 3, 1, 0, 30, tzinfo=BERLIN)
MORNING = datetime(2026, 3, 1, 6, 0, 5, tzinfo=BERLIN)


@pytest.fixture
def postman() -> Postman:
    return Postman()


@pytest.fixture
def server(postman: Postman) -> Iterator[Controller]:
    """An SMTP server of our own."""
    with postman.serve() as controller:
        yield controller


@pytest.fixture
def config(pg_config: Config, server: Controller) -> Config:
    return replace(pg_config, mail=MailConfig(host="127.0.0.1", port=server.port, sender="ks@example.net"))


@pytest.fixture
def tenant(db: Conn) -> int:
    """A tenant in Berlin that had one call on the last day of February."""
    tenant = make_tenant(db, "acme")
    db.execute("UPDATE tenant SET time_zone = 'Europe/Berlin' WHERE tenant_id = %s", [tenant])
    day = Day(db, tenant, BERLIN, date(2026, 2, 28))
    day.end("10:00:30", day.enter("10:00", "sales", "=1+1"), "abandoned")
    day.write()
    return tenant


def plan(db: Conn, tenant: int, **more: Any) -> None:
    given = {"report": "queue", "every": ReportEvery.DAY, "recipients": ["boss@example.net"], **more}
    report_schedule.add(db, tenant_id=tenant, name="daily", clock=lambda: NIGHT - timedelta(days=1), **given)


def rows_of(letter: EmailMessage, suffix: str = ".csv") -> list[dict[str, str]]:
    [part] = [part for part in letter.iter_attachments() if (part.get_filename() or "").endswith(suffix)]
    content = part.get_content()
    text = content if isinstance(content, str) else content.decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_a_report_is_sent_once_when_its_day_is_over(
    db: Conn, config: Config, tenant: int, postman: Postman
) -> None:
    plan(db, tenant, format="csv", options={"plot": True})
    assert send_due(db, config, clock=lambda: NIGHT) == "0 reports sent"
    assert send_due(db, config, clock=lambda: MORNING) == "1 reports sent"
    [letter] = postman.letters
    assert letter["Subject"] == "acme: queue 2026-02-28 (Europe/Berlin)"
    assert postman.to == [["boss@example.net"]]
    [row] = rows_of(letter)
    assert (row["queue"], row["offered"], row["abandoned"]) == ("sales", "1", "1")
    [picture] = [part for part in letter.iter_attachments() if part.get_content_type() == "image/png"]
    assert cast(bytes, picture.get_content()).startswith(b"\x89PNG")
    assert "service level (without_short)" in letter.get_body().get_content()  # type: ignore[union-attr]
    assert send_due(db, config, clock=lambda: MORNING + timedelta(hours=17)) == "0 reports sent"
    assert send_due(db, config, clock=lambda: MORNING + timedelta(days=1)) == "1 reports sent"
    assert postman.letters[0]["Message-ID"] != postman.letters[1]["Message-ID"]


def test_a_server_that_is_away_is_tried_again(
    db: Conn, config: Config, tenant: int, server: Controller, postman: Postman
) -> None:
    plan(db, tenant)
    away = replace(config, mail=replace(config.mail, port=free_port()))
    assert send_due(db, away, clock=lambda: MORNING) == "0 reports sent, 1 failed"
    [one] = report_schedule.list_scheduled(db, tenant_id=tenant)
    assert (one.attempts, one.retry_at) == (1, MORNING.astimezone(UTC) + timedelta(minutes=1))
    assert "127.0.0.1" in one.last_error
    assert send_due(db, config, clock=lambda: MORNING + timedelta(seconds=30)) == "0 reports sent"
    assert send_due(db, config, clock=lambda: MORNING + timedelta(seconds=61)) == "1 reports sent"
    [one] = report_schedule.list_scheduled(db, tenant_id=tenant)
    assert (one.attempts, one.retry_at, one.last_error, one.sent_until) == (0, None, "", date(2026, 3, 1))
    assert len(postman.letters) == 1


def test_a_report_that_somebody_asked_for_is_not_sent_by_itself_again(
    db: Conn, config: Config, tenant: int, postman: Postman
) -> None:
    plan(db, tenant)
    report_facts.catch_up(db)
    report_schedule.send_now(db, config, tenant_id=tenant, name="daily", now=MORNING)
    [letter] = postman.letters
    [book] = [part for part in letter.iter_attachments() if (part.get_filename() or "").endswith(".xlsx")]
    head, row = load_workbook(io.BytesIO(cast(bytes, book.get_content())))["queue"].iter_rows(
        values_only=True
    )
    assert dict(zip(head, row, strict=True))["offered"] == 1
    assert send_due(db, config, clock=lambda: MORNING) == "0 reports sent"
    report_schedule.send_now(db, config, tenant_id=tenant, name="daily", now=MORNING)
    assert len(postman.letters) == 2, "who asks gets it, whether it was sent or not"


def test_a_refused_recipient_keeps_nothing_from_the_others(
    db: Conn, config: Config, tenant: int, postman: Postman
) -> None:
    plan(db, tenant, recipients=["nobody@example.net", "boss@example.net"])
    send_due(db, config, clock=lambda: MORNING)
    [one] = report_schedule.list_scheduled(db, tenant_id=tenant)
    assert "550 no such mailbox" in one.last_error
    assert postman.to == [["boss@example.net"]]
    report_schedule.change(db, tenant_id=tenant, name="daily", recipients=["nobody@example.net"])
    with pytest.raises(Unavailable, match="no such mailbox"):
        report_schedule.send_now(db, config, tenant_id=tenant, name="daily", now=MORNING)


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_passwords(config: Config, postman: Postman, tmp_path: Path) -> None:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"ks", b"secret"), handled=False)

    controller = Controller(
        postman,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=check,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    letter = EmailMessage()
    letter["From"], letter["To"] = "ks@example.net", "boss@example.net"
    letter.set_content("hello")
    known = replace(config.mail, port=controller.port, user="ks", password_file=secret)
    try:
        assert mail.send(known, letter) == {}
        secret.write_text("wrong\n")
        with pytest.raises(Unavailable):
            mail.send(known, letter)
        with pytest.raises(Unavailable):  # the server has no TLS: nothing goes out in clear
            mail.send(replace(known, security="starttls"), letter)
    finally:
        controller.stop()
    assert len(postman.letters) == 1


def test_what_could_not_be_sent_is_refused(db: Conn, config: Config, tenant: int) -> None:
    for wrong in (
        {"report": "nothing"},
        {"format": "pdf"},
        {"recipients": ["boss@example.net\nBcc: all@example.net"]},
        {"options": {"steps": "day"}},
        {"options": {"step": "year"}},
        {"options": {"queues": "sales"}},
        {"report": "attempts", "options": {"plot": True}},
    ):
        with pytest.raises(BadInput):
            plan(db, tenant, **wrong)
    with pytest.raises(NotFound):
        plan(db, tenant, options={"queues": ["nobody"]})
    assert report_schedule.list_scheduled(db, tenant_id=None) == []
    assert worker.run(db, config, job="mail") == "0 reports sent"


@pytest.mark.parametrize(
    ("every", "sent_until", "now", "expected"),
    [
        ("day", date(2026, 2, 28), MORNING, (date(2026, 2, 28), date(2026, 2, 28))),
        ("day", date(2026, 3, 1), MORNING, None),
        ("day", date(2026, 2, 28), NIGHT, None),
        ("day", date(2026, 2, 1), MORNING, (date(2026, 2, 28), date(2026, 2, 28))),  # missed days stay missed
        ("week", date(2026, 2, 16), MORNING, (date(2026, 2, 16), date(2026, 2, 22))),  # late, but told
        ("week", date(2026, 2, 23), MORNING, None),
        ("month", None, MORNING, (date(2026, 2, 1), date(2026, 2, 28))),
        ("month", date(2026, 3, 1), MORNING, None),
    ],
)
def test_when_a_report_is_due(
    every: str, sent_until: date | None, now: datetime, expected: tuple[date, date] | None
) -> None:
    assert due_span(ReportEvery(every), time(6), sent_until, now) == expected
