"""Voice mail by e-mail: sent with its sound by a real SMTP server, again when it was away, given up in the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from aiosmtpd.controller import Controller

from callcore.errors import Refused
from callcore.states import LetterState
from kalibri import mail
from kalibri.config import Config
from kalibri.config_sections import MailConfig
from kalibri.db import Conn
from kalibri.services import recording, voicemail, voicemail_letter, worker
from kalibri.services.voicemail_letter import any_due, send_due
from tests.support.builders import make_account, make_tenant
from tests.support.net_ports import free_port
from tests.support.postman import Postman
from tests.support.voicemail import leave


@pytest.fixture
def postman() -> Postman:
    return Postman()


@pytest.fixture
def server(postman: Postman) -> Iterator[Controller]:
    with postman.serve() as controller:
        yield controller


@pytest.fixture
def config(pg_config: Config, server: Controller) -> Config:
    return replace(pg_config, mail=MailConfig(host="127.0.0.1", port=server.port, sender="ks@example.net"))


@pytest.fixture
def acme(db: Conn) -> int:
    """A tenant in Moscow whose account 101 has its messages sent."""
    tenant_id = make_tenant(db, "acme")
    db.execute("UPDATE tenant SET time_zone = 'Europe/Moscow' WHERE tenant_id = %s", [tenant_id])
    make_account(db, tenant_id, "101", display_name="Anna")
    voicemail.set_mailbox(db, tenant_id=tenant_id, mailbox="101", recipients=["anna@acme.example"])
    return tenant_id


def later(**more: float) -> datetime:
    return datetime.now(UTC) + timedelta(**more)


def test_a_message_goes_out_once_with_its_sound(
    db: Conn, config: Config, acme: int, postman: Postman
) -> None:
    assert not any_due(db, config)
    message = leave(config, db, acme, "101", "79161234567")
    leave(config, db, acme, "102")  # nobody wants that one by e-mail
    assert any_due(db, config)
    assert send_due(db, config) == "1 messages sent"
    [letter] = postman.letters
    assert postman.to == [["anna@acme.example"]]
    assert letter["Subject"] == "Voice message from 79161234567 for 101 (0:02)"
    text = letter.get_body().get_content()  # type: ignore[union-attr]
    assert "101 (Anna)" in text
    assert "MSK" in text
    [sound] = letter.iter_attachments()
    assert sound.get_content_type() == "audio/mpeg"
    path = voicemail.sound(db, config, tenant_id=acme, message=message, by="test")
    assert cast(bytes, sound.get_content()) == path.read_bytes()
    assert not any_due(db, config)
    assert send_due(db, config) == "0 messages sent"
    found = voicemail.find(db, tenant_id=acme, message=message)
    assert (found.letter, found.letter_attempts, found.letter_error) == (LetterState.SENT, 1, "")
    assert "mailed" in [one.kind for one in recording.events(db, recording_id=found.recording_id)]
    voicemail.send_again(db, tenant_id=acme, message=message)
    assert send_due(db, config) == "1 messages sent"
    assert postman.letters[0]["Message-ID"] == postman.letters[1]["Message-ID"]


def test_a_server_that_is_away_is_tried_again_and_given_up(
    db: Conn, config: Config, acme: int, postman: Postman
) -> None:
    away = replace(config, mail=replace(config.mail, port=free_port()))
    message = leave(config, db, acme, "101")
    now = later()
    assert send_due(db, away, clock=lambda: now) == "0 messages sent, 1 failed"
    found = voicemail.find(db, tenant_id=acme, message=message)
    assert (found.letter, found.letter_attempts) == (LetterState.PENDING, 1)
    assert found.letter_next_at == now + timedelta(minutes=1)
    assert "127.0.0.1" in found.letter_error
    assert voicemail.list_mailboxes(db, tenant_id=acme)[0].unsent == 1
    assert not any_due(db, config)  # by the clock of the database: not yet
    assert send_due(db, config, clock=lambda: now + timedelta(seconds=30)) == "0 messages sent"
    waits = []
    while (found := voicemail.find(db, tenant_id=acme, message=message)).letter is LetterState.PENDING:
        assert found.letter_next_at is not None
        waits.append(found.letter_next_at - now)
        now = found.letter_next_at
        send_due(db, away, clock=lambda at=now: at)  # type: ignore[misc]
    assert waits[:8] == [timedelta(minutes=min(2**n, 60)) for n in range(8)]
    assert found.letter is LetterState.DEAD
    assert 70 < found.letter_attempts < 90
    kinds = db.execute(
        "SELECT data FROM event_outbox WHERE kind = 'voicemail.mail_failed' ORDER BY outbox_id"
    )
    told = [data for (data,) in kinds.fetchall()]
    assert [data["given_up"] for data in told] == [False] * (len(told) - 1) + [True]
    assert "127.0.0.1" in told[0]["error"]
    assert postman.letters == []
    voicemail.send_again(db, tenant_id=acme, message=message)
    assert send_due(db, config) == "1 messages sent"
    assert len(postman.letters) == 1


def test_a_letter_that_is_not_noted_goes_out_again(
    db: Conn, config: Config, acme: int, postman: Postman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ks-worker is killed between the server's answer and the note of it."""
    leave(config, db, acme, "101")
    with monkeypatch.context() as patch:
        patch.setattr(recording, "note", _killed)
        with pytest.raises(KeyboardInterrupt):
            send_due(db, config)
    assert send_due(db, config) == "1 messages sent"
    first, second = postman.letters
    assert first["Message-ID"] == second["Message-ID"]


def _killed(*_given: object, **_more: object) -> None:
    raise KeyboardInterrupt


def test_one_that_cannot_be_sent_keeps_nothing_from_the_others(
    db: Conn, config: Config, acme: int, postman: Postman
) -> None:
    gone = leave(config, db, acme, "101")
    path = recording.local_path(
        config, recording.files(db, recording_ids=[recording.find_id(db, text=gone)])[0]
    )
    path.unlink()
    voicemail.set_mailbox(
        db, tenant_id=acme, mailbox="102", recipients=["nobody@acme.example", "bob@acme.example"]
    )
    well = leave(config, db, acme, "102")
    assert send_due(db, config) == "1 messages sent, 1 failed"
    assert "not on this machine" in voicemail.find(db, tenant_id=acme, message=gone).letter_error
    assert "550 no such mailbox" in voicemail.find(db, tenant_id=acme, message=well).letter_error
    assert postman.to == [["bob@acme.example"]]
    removed = leave(config, db, acme, "101")
    voicemail.remove(db, tenant_id=acme, message=removed, by="test")
    assert not any_due(db, config)


def test_a_slow_server_does_not_keep_the_other_jobs_waiting(
    db: Conn, config: Config, acme: int, postman: Postman, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        leave(config, db, acme, "101")
    monkeypatch.setattr(voicemail_letter, "LONGEST_RUN_SECONDS", 0.0)
    assert send_due(db, config) == "1 messages sent"
    assert any_due(db, config)
    assert send_due(db, config) == "1 messages sent"
    assert len(postman.letters) == 2


def test_what_waits_is_not_sent_where_nobody_wants_it_any_more(db: Conn, config: Config, acme: int) -> None:
    message = leave(config, db, acme, "101")
    voicemail.drop_mailbox(db, tenant_id=acme, mailbox="101")
    assert send_due(db, config) == "0 messages sent"
    assert voicemail.find(db, tenant_id=acme, message=message).letter is LetterState.NONE
    with pytest.raises(Refused):
        voicemail.send_again(db, tenant_id=acme, message=message)


def test_what_a_caller_calls_himself_cannot_play_with_the_letter(
    db: Conn, config: Config, acme: int, postman: Postman
) -> None:
    leave(config, db, acme, "101", "7916\r\nBcc: all@example.net")
    assert send_due(db, config) == "1 messages sent"
    [letter] = postman.letters
    assert letter["Bcc"] is None
    assert postman.to == [["anna@acme.example"]]


def test_who_hides_his_number_is_unknown(db: Conn, config: Config, acme: int, postman: Postman) -> None:
    leave(config, db, acme, "101", "")
    send_due(db, config)
    assert postman.letters[0]["Subject"] == "Voice message from unknown for 101 (0:02)"


def test_ks_worker_sends_as_soon_as_something_waits(
    db: Conn, config: Config, acme: int, postman: Postman
) -> None:
    worker.run(db, config, job="voicemail")
    assert "voicemail" not in [job.name for job in worker.due(db, config)]
    leave(config, db, acme, "101")
    assert "voicemail" in [job.name for job in worker.due(db, config)]
    assert worker.run(db, config, job="voicemail") == "1 messages sent"
    other = replace(config, node_name="n2")  # its sound does not lie there
    leave(config, db, acme, "101")
    assert "voicemail" not in [job.name for job in worker.due(db, other)]
    without = replace(config, mail=replace(config.mail, host=None))
    assert "voicemail" not in [job.name for job in worker.due(db, without)]
    with pytest.raises(mail.NoMail):
        mail.send(without.mail, postman.letters[0])
