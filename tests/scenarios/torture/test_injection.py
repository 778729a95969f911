"""Characters with a meaning to SQL, paths, regexes, terminals and logs, in everything that a caller can write."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path

import pytest

from tests.scenarios.torture.field import DOMAINS, Field, Place
from tests.scenarios.torture.hostile import SDP, Aim, build
from tests.support.attacker import guess_password

#: What a user part may be, by RFC 3261 or by sloppiness, and reaches the tables as it is.
USERS = {
    "sql": "'%3BDROP%20TABLE%20call%3B--",
    "sql quote": "1'or'1'='1",
    "path": "../../../../etc/passwd",
    "regex": "(a+)+$.*?",
    "format": "%25s%25n{0}${x}",
    "shell": "`id`$(id)|id",
    "json": "%22%7D%0A%7B%22kind%22",
    "csv": "=cmd|'/c'!A1",
    "cyrillic": "тест",
    "control sequence introducer": "\x9b31mred",
    "right to left": "7495\u202e1234",
    "line separator": "1\u20282",
    "copy": "%(call_id)s",
}
#: What a terminal or a reader of lines takes for more than text.
_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")


def _call(field: Field, user: str) -> str:
    """Make a call from and to this user, by a gateway; return its Call-ID."""
    key, domain = secrets.token_hex(6), DOMAINS[0].encode()
    call_id = f"{key}-'\"\\;--{user}@x"
    who = b'"' + user.encode() + b'" <sip:' + user.encode() + b"@" + domain + b">"
    change = {
        b"From": b"From: " + who + b";tag='" + key.encode(),
        b"Call-ID": b"Call-ID: " + call_id.encode(),
    }
    uri = b"sip:" + user.encode() + b"@" + domain
    raw = build(Aim(*field.switch.address, DOMAINS[0]), key, b"INVITE", uri=uri, change=change, body=SDP)
    assert field.sender(Place.GATEWAY).send(raw).codes == (480,), user
    return call_id


def test_numbers_are_stored_as_they_were_sent_and_shown_without_harm(field: Field) -> None:
    switch = field.switch
    call_ids = {user: _call(field, user) for user in USERS.values()}
    rows = {user: switch.cdr(call_id) for user, call_id in call_ids.items()}
    for user, row in rows.items():
        assert (row["a_number"], row["b_number"], row["final_code"]) == (user, user, 480)
    told = {call["call_id"]: call for call in switch.ksctl_json("call", "list", "--limit", str(len(USERS)))}
    assert {told[str(row["call_id"])]["a_number"] for row in rows.values()} == set(rows)
    shown = [switch.ksctl("call", "list", "--limit", str(len(USERS)))]
    for name in ("control sequence introducer", "right to left", "line separator"):
        shown.append(switch.ksctl("call", "show", str(rows[USERS[name]]["call_id"])))
    for output in shown:
        assert not _UNPRINTABLE.findall(output), output


@pytest.mark.parametrize("name", ["'OR'1'='1", "../../x", "%0a%0d", "$(id)"])
def test_a_digest_user_name_is_one_value_of_one_line(field: Field, name: str) -> None:
    switch, user = field.switch, f"{secrets.token_hex(6)}{name}"
    assert guess_password(switch.address, switch.DOMAIN, user, ["1234"]).codes == {401: 1}
    switch.wait(
        lambda: [event for event in field.journal("auth.failed") if event["data"]["username"] == user],
        20,
        f"auth.failed of {user!r}",
    )


def test_every_line_of_every_journal_is_one_event(field: Field) -> None:
    lines = [
        line
        for file in Path(field.switch.config.journal_directory).glob("*.jsonl")
        for line in file.read_bytes().split(b"\n")
        if line
    ]
    assert all("kind" in json.loads(line) for line in lines)
    assert field.switch.rows("SELECT * FROM journal_quarantine") == []
