"""A virtual office: made whole or not at all, refused the second time, taken away again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callcore.errors import AlreadyExists, NotFound, StillInUse
from callcore.inventory import NumberState
from kalibri.config import PROJECT_ROOT, Config
from kalibri.db import Conn
from kalibri.services import account, account_service, ivr, number, office, prompt, schedule, voicemail
from kalibri.services.destination import parse_destination
from kalibri.services.office import BadOffice, OfficeRefused
from tests.support.builders import make_account, make_tenant
from tests.support.fix_ksctl import Ksctl

NUMBER = "74957771234"
SOURCE = """\
name: moscow
number: "74957771234"
language: ru
greeting: ivr-welcome
hours: mon-fri 09:00-18:00
holidays: [2027-01-01]
menu:
  say: ivr-main-menu
  keys: {1: "101", 2: "102"}
extensions:
  - {name: "101", display_name: Anna, mail: anna@acme.example}
  - {name: "102", ring_seconds: 30}
voicemail: {mailbox: "101", mail: office@acme.example}
"""


@pytest.fixture
def acme(db: Conn) -> int:
    return make_tenant(db, "acme")


def everything(db: Conn, tenant_id: int) -> list[Any]:
    """What a tenant has of what an office makes."""
    return [
        [one.username for one in account.list_accounts(db, tenant_id=tenant_id)],
        [one.name for one in ivr.list_scenarios(db, tenant_id=tenant_id)],
        [one.name for one in schedule.list_schedules(db, tenant_id=tenant_id)],
        [one.name for one in prompt.list_prompts(db, tenant_id=tenant_id)],
        [one.mailbox for one in voicemail.list_mailboxes(db, tenant_id=tenant_id)],
        [(one.number, one.destination) for one in number.list_numbers(db, tenant_id=tenant_id)],
        [one.name for one in office.list_offices(db, tenant_id=tenant_id)],
    ]


NOTHING: list[Any] = [[], [], [], [], [], [], []]


def test_one_command_makes_all_of_it(db: Conn, pg_config: Config, acme: int) -> None:
    tried = office.create(db, pg_config, tenant_id=acme, source=SOURCE, dry_run=True)
    assert everything(db, acme) == NOTHING
    made = office.create(db, pg_config, tenant_id=acme, source=SOURCE, by="test")
    assert [(one.kind, one.name) for one in made] == [(one.kind, one.name) for one in tried]
    assert everything(db, acme) == [
        ["101", "102"],
        ["moscow", "voicemail"],
        ["moscow"],
        [],
        ["101"],
        [(NUMBER, "moscow")],
        ["moscow"],
    ]
    passwords = {one.name: one.password for one in made if one.kind == "account"}
    assert all(len(password) > 10 for password in passwords.values())
    stored = office.find(db, tenant_id=acme, name="moscow")
    assert not any(password in repr(stored) for password in passwords.values())
    anna = account.find(db, tenant_id=acme, username="101")
    assert (anna.display_name, anna.caller_number) == ("Anna", NUMBER)
    assert account_service.find(db, tenant_id=acme, username="102").forwards == (
        "busy voicemail",
        "no_answer voicemail after 30 s",
        "unreachable voicemail",
    )
    [box] = voicemail.list_mailboxes(db, tenant_id=acme)
    assert box.recipients == ("anna@acme.example", "office@acme.example")


def test_the_second_time_is_refused_and_changes_nothing(db: Conn, pg_config: Config, acme: int) -> None:
    office.create(db, pg_config, tenant_id=acme, source=SOURCE)
    before = everything(db, acme)
    with pytest.raises(AlreadyExists, match=r"moscow\.yaml:1: office \"moscow\" is there already"):
        office.create(db, pg_config, tenant_id=acme, source=SOURCE, file="moscow.yaml")
    assert everything(db, acme) == before
    other = SOURCE.replace("name: moscow", "name: tver").replace(NUMBER, "74957771235")
    with pytest.raises(OfficeRefused, match=r"office\.yaml:11: .*account of this name"):
        office.create(db, pg_config, tenant_id=acme, source=other)
    assert everything(db, acme) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("mail: office@acme.example", "mail: nobody"), "office.yaml:13: 'nobody' is no e-mail address"),
        (("greeting: ivr-welcome", "greeting: no-such"), "office.yaml:4: "),
        (('2: "102"', "2: queue:nowhere"), "office.yaml:7: "),
        (('"102", ring', '"102", password: x, ring'), "office.yaml:12: "),
        (('"102", ring', '"103", exists: yes, ring'), 'office.yaml:12: there is no account "103"'),
    ],
)
def test_what_is_not_to_be_had_is_told_with_its_line_and_leaves_nothing(
    db: Conn, pg_config: Config, acme: int, change: tuple[str, str], told: str
) -> None:
    source = SOURCE.replace(*change)
    source = source.replace('2: "102"', '2: "103"') if "103" in change[1] else source
    with pytest.raises(OfficeRefused) as caught:
        office.create(db, pg_config, tenant_id=acme, source=source)
    assert caught.value.message.startswith(told)
    assert everything(db, acme) == NOTHING
    assert number.find_or_none(db, number=NUMBER) is None


def test_a_number_in_use_is_not_taken(db: Conn, pg_config: Config, acme: int) -> None:
    other = make_tenant(db, "other")
    number.add(db, numbers=[NUMBER])
    number.assign(db, numbers=[NUMBER], tenant_id=other)
    with pytest.raises(OfficeRefused, match=r"office\.yaml:2: .*somebody else"):
        office.create(db, pg_config, tenant_id=acme, source=SOURCE)
    number.free(db, numbers=[NUMBER])
    make_account(db, acme, "200")
    target = number.find(db, number=NUMBER)
    assert target.state is NumberState.FREE
    number.assign(db, numbers=[NUMBER], tenant_id=acme, destination=parse_destination("account", "200"))
    with pytest.raises(OfficeRefused, match=r"office\.yaml:2: .*leads to account:200 already"):
        office.create(db, pg_config, tenant_id=acme, source=SOURCE)


def test_mistakes_of_the_file_are_all_told(db: Conn, pg_config: Config, acme: int) -> None:
    source = SOURCE.replace("mon-fri", "moonday").replace('1: "101"', '1: "901"')
    with pytest.raises(BadOffice) as caught:
        office.create(db, pg_config, tenant_id=acme, source=source, file="x.yaml")
    assert "x.yaml:5: " in caught.value.message
    assert "x.yaml:9: " in caught.value.message


def test_an_office_goes_as_it_came(db: Conn, pg_config: Config, acme: int) -> None:
    number.add(db, numbers=[NUMBER])
    office.create(db, pg_config, tenant_id=acme, source=SOURCE)
    account.remove(db, tenant_id=acme, username="102")  # somebody was there before
    gone = office.remove(db, pg_config, tenant_id=acme, name="moscow")
    assert ("account", "101") in [(one.kind, one.name) for one in gone]
    assert ("account", "102") not in [(one.kind, one.name) for one in gone]
    assert everything(db, acme) == [[], ["voicemail"], [], [], [], [], []]
    assert number.find(db, number=NUMBER).state is NumberState.FREE
    with pytest.raises(NotFound):
        office.remove(db, pg_config, tenant_id=acme, name="moscow")
    office.create(db, pg_config, tenant_id=acme, source=SOURCE)  # and may come again


def test_a_part_that_others_use_keeps_the_office(db: Conn, pg_config: Config, acme: int) -> None:
    office.create(db, pg_config, tenant_id=acme, source=SOURCE)
    number.add(db, numbers=["74957770000"])
    number.assign(db, numbers=["74957770000"], tenant_id=acme, destination=parse_destination("ivr", "moscow"))
    before = everything(db, acme)
    with pytest.raises(StillInUse, match="scenario moscow"):
        office.remove(db, pg_config, tenant_id=acme, name="moscow")
    assert everything(db, acme) == before


def rows(ksctl: Ksctl, *arguments: str) -> Any:
    return ksctl.ok(*arguments, "-o", "json").json


def test_an_account_that_exists_stays_as_it_is(db: Conn, pg_config: Config, acme: int) -> None:
    make_account(db, acme, "102", display_name="Boris")
    source = SOURCE.replace('"102", ring', '"102", exists: yes, ring')
    made = office.create(db, pg_config, tenant_id=acme, source=source)
    assert "102" not in [one.name for one in made if one.kind in ("account", "forwarding")]
    assert account.find(db, tenant_id=acme, username="102").display_name == "Boris"
    assert account_service.list_services(db, tenant_id=acme)[0].username == "101"
    office.remove(db, pg_config, tenant_id=acme, name="moscow")
    assert [one.username for one in account.list_accounts(db, tenant_id=acme)] == ["102"]


def test_by_command(ksctl: Ksctl, tmp_path: Path) -> None:
    ksctl.ok("tenant", "add", "acme")
    ksctl.ok("domain", "add", "acme.example", "-t", "acme")
    source = (PROJECT_ROOT / "conf" / "office.yaml").read_text(encoding="utf-8")
    file = tmp_path / "moscow.yaml"
    file.write_text(source, encoding="utf-8")
    tried = rows(ksctl, "office", "create", str(file), "-t", "acme", "--dry-run")
    assert ["number", "74957771234"] in [[one["kind"], one["name"]] for one in tried]
    assert {one["password"] for one in tried} == {""}
    assert rows(ksctl, "office", "list", "-t", "acme") == []
    made = rows(ksctl, "office", "create", str(file), "-t", "acme")
    assert len([one for one in made if one["password"]]) == 2
    assert rows(ksctl, "office", "show", "moscow", "-t", "acme")["number"] == "74957771234"
    boxes = {one["mailbox"]: one["recipients"] for one in rows(ksctl, "voicemail", "boxes", "-t", "acme")}
    assert boxes["601"] == ["anna@office.example", "office@office.example"]
    told = ksctl.fails(4, "office", "create", str(file), "-t", "acme")
    assert f"{file}:2: " in told
    file.write_text(source.replace("hours: mon-fri", "hours: moonday"), encoding="utf-8")
    assert f"{file}:8: " in ksctl.fails(1, "office", "create", str(file), "-t", "acme")
    ksctl.ok("office", "rm", "moscow", "-t", "acme")
    assert rows(ksctl, "account", "list", "-t", "acme") == []
