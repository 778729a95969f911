"""Mailboxes by telephone: PINs and how many may be tried, what a caller may change, where a sound comes from."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from callcore.errors import BadInput, Unavailable
from kalibri import db as database
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.message_audio import prepare
from kalibri.pin import hash_pin, is_pin
from kalibri.services import recording, voicemail
from tests.support.builders import make_account, make_tenant
from tests.support.fix_ksctl import Ksctl
from tests.support.voicemail import leave

SQL = database.statements("mailbox_call")
PIN = "4711"


@pytest.fixture
def acme(db: Conn) -> int:
    tenant_id = make_tenant(db, "acme")
    for username in ("101", "102"):
        make_account(db, tenant_id, username)
    return tenant_id


def ask(db: Conn, statement: str, tenant_id: int, **params: object) -> Any:
    """Do what a media host does."""
    row = db.execute(SQL[statement], {"tenant": tenant_id, "mailbox": "101", "by": "telephone 101", **params})
    return row.fetchone()[0]  # type: ignore[index]


def test_a_pin_is_kept_so_that_it_can_be_compared_and_not_read(db: Conn, acme: int) -> None:
    access = voicemail.phone_access(db, tenant_id=acme, mailbox="101")
    assert (access.has_pin, access.language, access.tenant) == (False, "ru", "acme")
    assert ask(db, "try", acme) == {"refused": "wrong"}
    voicemail.set_phone(db, tenant_id=acme, mailbox="101", pin=PIN, language="en")
    kept = ask(db, "try", acme)["pin_hash"]
    assert PIN not in kept
    assert is_pin(PIN, kept)
    assert not is_pin("4712", kept)
    assert kept != hash_pin(PIN)  # its salt is its own
    rows = db.execute("SELECT a::text FROM audit_log a WHERE noun = 'mailbox_phone'").fetchall()
    assert rows
    assert not [text for (text,) in rows if kept in text]
    assert voicemail.set_phone(db, tenant_id=acme, mailbox="101", pin="").has_pin is False
    assert ask(db, "language", acme) == "en"


@pytest.mark.parametrize("pin", ["123", "12345678901", "12a4", "1111", "1234", "9876", "１２４５"])
def test_what_is_no_pin_is_refused(db: Conn, acme: int, pin: str) -> None:
    with pytest.raises(BadInput):
        voicemail.set_phone(db, tenant_id=acme, mailbox="101", pin=pin)


def test_five_wrong_pins_lock_the_mailbox_and_a_right_one_forgets_them(db: Conn, acme: int) -> None:
    voicemail.set_phone(db, tenant_id=acme, mailbox="101", pin=PIN)
    kept = [ask(db, "try", acme)["pin_hash"] for _ in range(4)][-1]
    assert ask(db, "right", acme, pin_hash=kept) is True
    assert voicemail.phone_access(db, tenant_id=acme, mailbox="101").failures == 0
    assert ask(db, "right", acme, pin_hash="of before") is False
    for _ in range(5):
        assert "pin_hash" in ask(db, "try", acme)
    assert ask(db, "try", acme) == {"refused": "locked"}
    access = voicemail.phone_access(db, tenant_id=acme, mailbox="101")
    assert access.failures == 5
    assert access.locked_until is not None
    db.execute("UPDATE mailbox_phone SET locked_until = locked_until - %s", [timedelta(minutes=16)])
    assert "pin_hash" in ask(db, "try", acme)  # then it counts anew
    assert voicemail.phone_access(db, tenant_id=acme, mailbox="101").failures == 1
    for _ in range(4):
        ask(db, "try", acme)
    assert ask(db, "try", acme) == {"refused": "locked"}
    voicemail.set_phone(db, tenant_id=acme, mailbox="101", unlock=True)
    assert "pin_hash" in ask(db, "try", acme)


def test_a_caller_hears_new_messages_first_and_changes_his_mailbox_only(
    db: Conn, pg_config: Config, acme: int
) -> None:
    old = leave(pg_config, db, acme, "101", age_seconds=400)
    first = leave(pg_config, db, acme, "101", "102", age_seconds=300)
    held = leave(pg_config, db, acme, "101", age_seconds=200)
    other = leave(pg_config, db, acme, "102", age_seconds=100)
    assert ask(db, "heard", acme, message=old) is True
    assert ask(db, "heard", acme, message=old) is False
    assert ask(db, "heard", acme, message=other) is False
    contents = ask(db, "contents", acme)
    assert (contents["zone"], contents["language"]) == ("UTC", "ru")
    assert [(one["id"], one["is_new"]) for one in contents["messages"]] == [
        (first, True),
        (held, True),
        (old, False),
    ]
    recording.set_hold(db, recording_id=UUID(held), legal_hold=True, by="court")
    assert ask(db, "remove", acme, messages=[old, held, other]) == 1
    assert ask(db, "remove", acme, messages=[old, held, other]) == 0
    left = [str(one.recording_id) for one in voicemail.list_messages(db, tenant_id=acme)]
    assert left == [other, held, first]
    told = [(event.kind, event.by) for event in recording.events(db, recording_id=UUID(old))]
    assert told[-2:] == [("heard", "telephone 101"), ("remove", "telephone 101")]


@pytest.mark.parametrize(("payload_type", "octets"), [(0, 160), (8, 160), (9, 160), (3, 33)])
def test_a_sound_is_made_for_the_codec_of_the_call(
    db: Conn, pg_config: Config, acme: int, tmp_path: Path, payload_type: int, octets: int
) -> None:
    message = leave(pg_config, db, acme, "101", seconds=2.0)
    facts = ask(db, "files", acme, message=message)
    assert prepare(pg_config, facts, payload_type, tmp_path / "made" / message) in ("wav", "mp3")
    size = (tmp_path / "made" / f"{message}.{payload_type}").stat().st_size
    assert size % octets == 0
    assert size / octets == pytest.approx(100, abs=8)  # frames of 20 ms


def test_a_sound_comes_from_the_archive_or_is_told_to_be_elsewhere(
    db: Conn, pg_config: Config, acme: int, tmp_path: Path
) -> None:
    message = leave(pg_config, db, acme, "101")
    facts = ask(db, "files", acme, message=message)
    archive = tmp_path / "archive"
    for file in facts["files"]:
        target = archive / file["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        (pg_config.recording_directory / file["path"]).rename(target)
        file.update(local=False, archive=f"dir:{archive}")
    target = tmp_path / "made" / message
    prepare(pg_config, facts, 8, target)
    assert [path.name for path in target.parent.iterdir()] == [f"{message}.8"]
    for file in facts["files"]:
        (archive / file["path"]).write_bytes(b"something else")
    with pytest.raises(Unavailable, match="another file"):
        prepare(pg_config, facts, 8, target)
    for file in facts["files"]:
        file.update(local=True, archive=None)
    with pytest.raises(Unavailable, match="gone"):
        prepare(pg_config, facts, 8, target)
    with pytest.raises(Unavailable, match="it lies on n9"):
        prepare(pg_config, {**facts, "host": "n9"}, 8, target)
    with pytest.raises(Unavailable, match="no sound"):
        prepare(pg_config, {**facts, "files": []}, 8, target)


def test_by_command(ksctl: Ksctl, db: Conn, acme: int, tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_text(f"{PIN}\n")
    shown = ksctl.ok(f"voicemail phone -t acme 101 --pin-file {file} --language en -o json").json
    assert (shown["has_pin"], shown["language"]) == (True, "en")
    shown = ksctl.ok("voicemail phone -t acme 101 --no-pin -o json").json
    assert (shown["has_pin"], shown["language"]) == (False, "en")
    assert "excludes" in ksctl.fails(2, "voicemail phone -t acme 101 --pin --no-pin")
