"""Voice mail: which messages are in a mailbox, who sees them, what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from callcore.errors import BadInput, NotFound
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import account, presence, recording, voicemail
from kalibri.services.recording import LegalHold
from tests.support.builders import PASSWORD, make_account, make_tenant
from tests.support.fix_api import Api
from tests.support.fix_ksctl import Ksctl
from tests.support.voicemail import leave

OWN = {"by": "test"}


@pytest.fixture
def acme(db: Conn) -> int:
    tenant_id = make_tenant(db, "acme")
    for username in ("101", "102"):
        make_account(db, tenant_id, username)
    return tenant_id


def counts(db: Conn, tenant_id: int, username: str = "101") -> tuple[int, int]:
    [one] = presence.messages_waiting(db, accounts=[(tenant_id, username)])
    return one.new_count, one.old_count


def events(db: Conn) -> list[tuple[str, str | None, Any]]:
    rows = db.execute(
        "SELECT kind, account, data FROM event_outbox WHERE kind LIKE 'voicemail.%' ORDER BY outbox_id"
    ).fetchall()
    return [(kind, who, data) for kind, who, data in rows]


def test_a_message_is_new_then_heard_then_gone(db: Conn, pg_config: Config, acme: int) -> None:
    first = leave(pg_config, db, acme, "101", "79161234567", age_seconds=120)
    leave(pg_config, db, acme, "101", "102", seconds=3)
    leave(pg_config, db, acme, "102")
    found = voicemail.list_messages(db, tenant_id=acme, mailbox="101")
    assert [(one.caller, one.account, one.heard_at) for one in found] == [
        ("102", "101", None),
        ("79161234567", "101", None),
    ]
    assert found[1].duration_ms == pytest.approx(2000, abs=100)
    assert counts(db, acme) == (2, 0)
    path = voicemail.sound(db, pg_config, tenant_id=acme, message=first[:13], **OWN)
    assert path.suffix == ".mp3"
    assert path.stat().st_size > 1000
    assert counts(db, acme) == (1, 1)
    heard = voicemail.find(db, tenant_id=acme, message=first)
    assert (heard.heard_at is not None, heard.heard_by) == (True, "test")
    voicemail.set_heard(db, tenant_id=acme, message=first, heard=False, **OWN)
    assert counts(db, acme) == (2, 0)
    voicemail.set_heard(db, tenant_id=acme, message=first, **OWN)
    voicemail.set_heard(db, tenant_id=acme, message=first, **OWN)  # once is enough
    voicemail.remove(db, tenant_id=acme, message=first, **OWN)
    assert counts(db, acme) == (1, 0)
    assert not path.exists() or recording.erase(db, pg_config, recording_id=found[1].recording_id)
    told = [(kind, who) for kind, who, data in events(db) if data["message_id"] == first]
    words = ["new", "heard", "unheard", "heard", "removed"]
    assert told == [(f"voicemail.{word}", "101") for word in words]
    assert [one.kind for one in recording.events(db, recording_id=found[1].recording_id)][-4:] == [
        "heard",
        "unheard",
        "heard",
        "remove",
    ]


def test_what_is_no_message(db: Conn, pg_config: Config, acme: int) -> None:
    leave(pg_config, db, acme, "101", seconds=0.6)  # hung up at the tone
    assert voicemail.list_messages(db, tenant_id=acme) == []
    assert recording.list_recordings(db, tenant_id=acme) != []


def test_a_removed_recording_is_no_message_and_a_held_one_stays(
    db: Conn, pg_config: Config, acme: int
) -> None:
    held = leave(pg_config, db, acme, "101")
    found = voicemail.find(db, tenant_id=acme, message=held).recording_id
    recording.set_hold(db, recording_id=found, legal_hold=True, by="test")
    with pytest.raises(LegalHold):
        voicemail.remove(db, tenant_id=acme, message=held, **OWN)
    assert counts(db, acme) == (1, 0)
    recording.set_hold(db, recording_id=found, legal_hold=False, by="test")
    recording.remove(db, recording_id=found, by="retention")
    assert counts(db, acme) == (0, 0)


def test_who_comes_after_somebody_gets_neither_his_messages_nor_his_letters(
    db: Conn, pg_config: Config, acme: int
) -> None:
    voicemail.set_mailbox(db, tenant_id=acme, mailbox="101", recipients=["anna@acme.example"])
    leave(pg_config, db, acme, "101")
    account.remove(db, tenant_id=acme, username="101")
    make_account(db, acme, "101")
    assert counts(db, acme) == (0, 0)
    assert voicemail.list_mailboxes(db, tenant_id=acme) == []
    assert len(recording.list_recordings(db, tenant_id=acme)) == 1


def test_other_tenants_messages_are_not_found(db: Conn, pg_config: Config, acme: int) -> None:
    other = make_tenant(db, "other")
    mine = leave(pg_config, db, acme, "101")
    for use in (voicemail.set_heard, voicemail.remove):
        with pytest.raises(NotFound):
            use(db, tenant_id=other, message=mine, **OWN)
    with pytest.raises(NotFound):
        voicemail.find(db, tenant_id=acme, mailbox="102", message=mine)
    with pytest.raises(BadInput):
        voicemail.find(db, tenant_id=acme, message="x")


def test_mailboxes_are_listed_with_what_waits(db: Conn, pg_config: Config, acme: int) -> None:
    voicemail.set_mailbox(db, tenant_id=acme, mailbox="reception", recipients=["front@acme.example"])
    voicemail.set_mailbox(db, tenant_id=acme, mailbox="reception", recipients=["desk@acme.example"])
    leave(pg_config, db, acme, "reception")
    leave(pg_config, db, acme, "102")
    found = {one.mailbox: one for one in voicemail.list_mailboxes(db, tenant_id=acme)}
    assert {name: (one.new, one.heard, one.recipients) for name, one in found.items()} == {
        "102": (1, 0, ()),
        "reception": (1, 0, ("desk@acme.example",)),
    }
    assert voicemail.list_messages(db, tenant_id=acme, mailbox="reception")[0].account is None
    for wrong in ([], ["nobody"], ["a@b.example\nBcc: c@d.example"], ["a..b@c.example"], ["é@c.example"]):
        with pytest.raises(BadInput):
            voicemail.set_mailbox(db, tenant_id=acme, mailbox="101", recipients=wrong)
    voicemail.drop_mailbox(db, tenant_id=acme, mailbox="reception")
    with pytest.raises(NotFound):
        voicemail.drop_mailbox(db, tenant_id=acme, mailbox="reception")


def test_a_persons_token_reaches_his_own_mailbox_only(
    api: Api, db: Conn, pg_config: Config, acme: int
) -> None:
    mine = leave(pg_config, db, acme, "101")
    theirs = leave(pg_config, db, acme, "102")
    login = {"username": "101", "password": PASSWORD, "place": "acme"}
    token = api.result("", "session.login", **login)["token"]
    assert [one["recording_id"] for one in api.result(token, "voicemail.list")] == [mine]
    assert api.result(token, "voicemail.seen", message=mine)["heard_at"] is not None
    assert api.refused(token, "voicemail.seen", message=theirs) == "not-found"
    api.refused(token, "voicemail.list", mailbox="102")
    api.refused(token, "voicemail.set", mailbox="101", recipients=["a@b.example"])
    api.result(token, "voicemail.rm", message=mine)
    assert counts(db, acme) == (0, 0)
    assert counts(db, acme, "102") == (1, 0)


def test_by_command(ksctl: Ksctl, db: Conn, pg_config: Config, acme: int) -> None:
    ksctl.ok("voicemail set -t acme 101 --mail anna@acme.example --mail office@acme.example")
    message = leave(pg_config, db, acme, "101")
    [box] = ksctl.ok("voicemail boxes -t acme -o json").json
    assert (box["mailbox"], box["new"], box["recipients"]) == (
        "101",
        1,
        ["anna@acme.example", "office@acme.example"],
    )
    assert message[:8] in ksctl.ok("voicemail list -t acme 101 --new").stdout
    ksctl.ok(f"voicemail seen -t acme {message}")
    assert ksctl.ok("voicemail list -t acme --new -o json").json == []
    ksctl.ok(f"voicemail seen -t acme {message} --new")
    assert ksctl.ok(f"voicemail show -t acme {message} -o json").json["heard_at"] is None
    path = ksctl.ok(f"voicemail play -t acme {message} --path").stdout.strip()
    assert path.endswith(".mp3")
    assert counts(db, acme) == (0, 1)
    assert ksctl.ok(f"voicemail show -t acme {message} -o json").json["letter"] == "pending"
    ksctl.ok("voicemail unset -t acme 101")
    ksctl.fails(4, f"voicemail mail -t acme {message}")
    ksctl.fails(1, "voicemail set -t acme 101 --mail nobody")
    ksctl.ok(f"voicemail rm -t acme {message} --why spam")
    ksctl.fails(3, f"voicemail show -t acme {message}")
    assert ksctl.ok("voicemail list -o json").json == []
