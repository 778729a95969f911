"""Accounts: passwords as HA1 only, domains of the tenant only, nothing of another tenant within reach."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from callcore.digest import WeakPassword, ha1
from callcore.errors import AlreadyExists, BadInput, NotFound, StillInUse
from callcore.states import RelayMode
from kalibri.csv_table import CsvRefused
from kalibri.db import Conn
from kalibri.services import account, account_csv, domain, tenant
from tests.support.builders import PASSWORD, make_account, make_tenant
from tests.support.fix_ksctl import Ksctl


@pytest.fixture
def acme(db: Conn) -> int:
    return make_tenant(db, "acme", "acme.example", "voice.acme.example")


@pytest.fixture
def rival(db: Conn) -> int:
    return make_tenant(db, "rival")


def write(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "accounts.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_password_is_stored_as_ha1_with_the_realm_of_the_tenant(db: Conn, acme: int) -> None:
    make_account(db, acme, "alice")
    record = account.find_record(db, tenant_id=acme, username="alice")
    assert (record.ha1_md5, record.ha1_sha256) == tuple(vars(ha1("alice", "acme", PASSWORD)).values())
    account.set_password(db, tenant_id=acme, username="alice", password="another password")
    record = account.find_record(db, tenant_id=acme, username="alice")
    assert record.ha1_md5 == ha1("alice", "acme", "another password").md5


def test_weak_password_is_refused_everywhere(db: Conn, acme: int) -> None:
    with pytest.raises(WeakPassword):
        account.add(db, tenant_id=acme, username="alice", password="alice")
    make_account(db, acme, "alice")
    with pytest.raises(WeakPassword):
        account.set_password(db, tenant_id=acme, username="alice", password="1234")


def test_account_registers_in_all_domains_or_in_those_that_are_named(db: Conn, acme: int) -> None:
    assert make_account(db, acme, "alice").domains == ("acme.example", "voice.acme.example")
    assert make_account(db, acme, "bob", domains=["VOICE.acme.example"]).domains == ("voice.acme.example",)
    changed = account.change(db, tenant_id=acme, username="bob", domains=["acme.example"])
    assert changed.domains == ("acme.example",)


def test_tenant_without_a_domain_gets_no_account(db: Conn) -> None:
    empty = tenant.add(db, name="empty").tenant_id
    with pytest.raises(BadInput, match="has no domain yet"):
        make_account(db, empty, "alice")


def test_account_does_not_get_the_domain_of_another_tenant(db: Conn, acme: int, rival: int) -> None:
    with pytest.raises(NotFound, match=r'no domain "rival\.example"'):
        make_account(db, acme, "alice", domains=["rival.example"])
    assert account.list_accounts(db, tenant_id=acme) == []


def test_account_of_another_tenant_is_not_found(db: Conn, acme: int, rival: int) -> None:
    make_account(db, acme, "alice")
    with pytest.raises(NotFound):
        account.find(db, tenant_id=rival, username="alice")
    with pytest.raises(NotFound):
        account.change(db, tenant_id=rival, username="alice", display_name="x")
    with pytest.raises(NotFound):
        account.set_password(db, tenant_id=rival, username="alice", password=PASSWORD)
    with pytest.raises(NotFound):
        account.remove(db, tenant_id=rival, username="alice")
    assert account.list_accounts(db, tenant_id=rival) == []
    assert len(account.list_accounts(db, tenant_id=None)) == 1


def test_two_tenants_may_have_the_same_user_name(db: Conn, acme: int, rival: int) -> None:
    make_account(db, acme, "101", display_name="ours")
    make_account(db, rival, "101", display_name="theirs")
    assert account.find(db, tenant_id=acme, username="101").display_name == "ours"
    with pytest.raises(AlreadyExists, match="an account of this name"):
        make_account(db, acme, "101")


def test_settings_are_checked(db: Conn, acme: int) -> None:
    make_account(db, acme, "alice", max_calls=3)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"caller_number": "+7495"}, "caller number"),
        ({"max_contacts": 0}, "contacts: 1 to 100"),
        ({"display_name": "two\nlines"}, "display name"),
        ({"ring_timeout_seconds": 0}, "ring timeout"),
        ({"display_name": " x"}, "no blank at the ends"),
    ]
    for settings, message in cases:
        with pytest.raises(BadInput, match=message):
            account.change(db, tenant_id=acme, username="alice", **settings)
    assert account.change(db, tenant_id=acme, username="alice", max_calls=None).max_calls is None


def test_account_that_a_number_leads_to_stays(db: Conn, acme: int, rival: int) -> None:
    make_account(db, acme, "alice")
    make_account(db, rival, "alice")
    db.execute(
        "INSERT INTO number (number, state, tenant_id, destination_kind, destination)"
        " VALUES ('74950000001', 'assigned', %s, 'account', 'alice')",
        [acme],
    )
    with pytest.raises(StillInUse, match='number 74950000001 still lead to account "alice"'):
        account.remove(db, tenant_id=acme, username="alice")
    account.remove(db, tenant_id=rival, username="alice")
    db.execute("DELETE FROM number")
    account.remove(db, tenant_id=acme, username="alice")
    assert account.list_accounts(db, tenant_id=None) == []


def test_registered_phones_are_counted(db: Conn, acme: int) -> None:
    make_account(db, acme, "alice")
    for number, name in enumerate(["acme.example", "voice.acme.example", "elsewhere.example"]):
        db.execute(
            "INSERT INTO kamailio.location (ruid, username, domain) VALUES (%s, 'alice', %s)",
            [str(number), name],
        )
    assert account.find(db, tenant_id=acme, username="alice").contacts == 2


def test_realm_is_fixed_once_there_are_accounts(db: Conn, acme: int) -> None:
    tenant.change(db, name="acme", realm="sip.acme.example")
    make_account(db, acme, "alice")
    with pytest.raises(StillInUse, match="passwords of 1 accounts are stored for the realm"):
        tenant.change(db, name="acme", realm="other")


def test_domain_in_use_stays(db: Conn, acme: int) -> None:
    make_account(db, acme, "alice", domains=["acme.example"])
    with pytest.raises(StillInUse, match="accounts may still register in this domain"):
        domain.remove(db, tenant_id=acme, name="acme.example")
    domain.remove(db, tenant_id=acme, name="voice.acme.example")


def test_domains_are_added_all_or_none_and_belong_to_one_tenant(db: Conn, acme: int, rival: int) -> None:
    with pytest.raises(AlreadyExists, match="a domain belongs to one tenant"):
        domain.add(db, tenant_id=rival, names=["new.example", "acme.example"])
    with pytest.raises(BadInput, match="domain: 1 to 253"):
        domain.add(db, tenant_id=rival, names=["two words"])
    domain.add(db, tenant_id=rival, names=["NEW.example"])
    assert [found.name for found in domain.list_domains(db, tenant_id=rival)] == [
        "new.example",
        "rival.example",
    ]
    with pytest.raises(NotFound):
        domain.remove(db, tenant_id=acme, name="new.example")


# ------------------------------------------------------------------------------------------------ CSV


@pytest.fixture
def three(db: Conn, acme: int) -> int:
    make_account(
        db, acme, "alice", display_name='Алиса "A", Иванова', max_calls=2, caller_number="74951112233"
    )
    make_account(db, acme, "bob", domains=["acme.example"], enabled=False, ring_timeout_seconds=20)
    make_account(db, acme, "carol", display_name="two  blanks", media_relay="always")
    return acme


def test_exported_accounts_are_the_same_elsewhere(db: Conn, three: int, tmp_path: Path) -> None:
    text = "".join(account_csv.export(db, tenant_id=three))
    before = account.records(db, tenant_id=three)
    path = write(tmp_path, text)
    assert account_csv.import_(db, tenant_id=three, file=path).unchanged == ("alice", "bob", "carol")
    db.execute("DELETE FROM account")
    assert account_csv.import_(db, tenant_id=three, file=path).added == ("alice", "bob", "carol")
    assert account.records(db, tenant_id=three) == before
    assert "".join(account_csv.export(db, tenant_id=three)) == text


def test_import_changes_only_what_the_file_names(db: Conn, three: int, tmp_path: Path) -> None:
    path = write(tmp_path, "username;display_name\nalice;Alice\nbob;\n")
    result = account_csv.import_(db, tenant_id=three, file=path)
    assert (result.changed, result.unchanged) == (("alice",), ("bob",))
    alice = account.find(db, tenant_id=three, username="alice")
    assert (alice.display_name, alice.max_calls) == ("Alice", 2)


def test_spreadsheet_in_cp1251_provisions_accounts_with_passwords(
    db: Conn, acme: int, tmp_path: Path
) -> None:
    heading = "username;password;display_name;domains\n"
    text = heading + "201;long enough 1;Пётр;voice.acme.example\n202;long enough;;\n"
    result = account_csv.import_(db, tenant_id=acme, file=write(tmp_path, text, "cp1251"))
    assert result.added == ("201", "202")
    petr = account.find(db, tenant_id=acme, username="201")
    assert (petr.display_name, petr.domains) == ("Пётр", ("voice.acme.example",))
    assert (
        account.find_record(db, tenant_id=acme, username="202").ha1_md5
        == ha1("202", "acme", "long enough").md5
    )


def test_import_is_logged_as_few_changes(db: Conn, acme: int, tmp_path: Path) -> None:
    db.execute("DELETE FROM change_log")
    rows = "".join(f"u{n},good password\n" for n in range(50))
    account_csv.import_(db, tenant_id=acme, file=write(tmp_path, "username,password\n" + rows))
    logged = db.execute("SELECT noun, operation, cardinality(ids) FROM change_log").fetchall()
    assert logged == [("account", "insert", 50), ("account_domain", "insert", 100)]


def test_every_wrong_line_is_told_and_nothing_is_changed(db: Conn, three: int, tmp_path: Path) -> None:
    text = (
        "username,password,domains,max_calls,max_contacts,media_relay,enabled,caller_number\n"
        "dave,good password,acme.example,,,,,\n"
        "erin,short,acme.example,,,,,\n"
        "frank,good password,rival.example,,,,,\n"
        "alice,,,x,,,,\n"
        "dave,good password,,,,,,\n"
        "two words,good password,,,,,,\n"
        "gina,,,,,,,\n"
        "hugo,good password,,,0,sometimes,perhaps,+7\n"
    )
    with pytest.raises(CsvRefused) as caught:
        account_csv.import_(db, tenant_id=three, file=write(tmp_path, text))
    assert caught.value.message.splitlines()[1:] == [
        "  line 3: the password has fewer than 8 characters",
        '  line 4: domains: the tenant has no domain "rival.example"',
        '  line 5: max_calls: "x" is not a whole number',
        '  line 6: account "dave" is in line 2 already',
        "  line 7: user name: 1 to 64 letters, digits and _ . + * # -",
        "  line 8: a new account needs a password, or ha1_md5 and ha1_sha256",
        '  line 9: media_relay: "sometimes" is none of auto, always, never',
        '  line 9: enabled: "perhaps" is neither true nor false',
        "  line 9: caller number: an E.164 number is 3 to 15 digits without +, no 0 first",
    ]
    assert len(account.list_accounts(db, tenant_id=three)) == 3


def test_ha1_of_another_realm_is_refused(db: Conn, three: int, rival: int, tmp_path: Path) -> None:
    text = "".join(account_csv.export(db, tenant_id=three)).replace("voice.acme.example", "")
    path = write(tmp_path, text.replace("acme.example", "rival.example"))
    with pytest.raises(CsvRefused, match='HA1 is for another realm than the tenant\'s "rival"'):
        account_csv.import_(db, tenant_id=rival, file=path)


# ---------------------------------------------------------------------------------------------- ksctl


def test_ksctl_adds_with_a_generated_password_and_shows_no_secret(ksctl: Ksctl, db: Conn) -> None:
    ksctl.ok("tenant add acme")
    ksctl.ok("domain add -t acme acme.example voice.acme.example")
    outcome = ksctl.ok("account add -t acme alice --generate -d acme.example --max-calls 2")
    password = outcome.stdout.strip()
    record = account.records(db, tenant_id=tenant.find(db, name="acme").tenant_id)[0]
    assert record.ha1_md5 == ha1("alice", "acme", password).md5
    assert "may register in acme.example" in outcome.stderr
    for output in ("table", "json", "csv"):
        for words in ("account list", "account show -t acme alice"):
            shown = ksctl.ok(f"{words} -o {output}").stdout
            assert "alice" in shown
            assert record.ha1_md5 not in shown


def test_ksctl_takes_a_password_from_stdin_or_a_file_but_no_argument(
    ksctl: Ksctl, db: Conn, tmp_path: Path
) -> None:
    acme = make_tenant(db, "acme")
    ksctl.ok("account add -t acme alice --password-file -", stdin="from standard input\n")
    assert account.records(db, tenant_id=acme)[0].ha1_md5 == ha1("alice", "acme", "from standard input").md5
    (tmp_path / "pw").write_text("from a file\n")
    ksctl.ok(f"account passwd -t acme alice --password-file {tmp_path}/pw")
    assert account.records(db, tenant_id=acme)[0].ha1_md5 == ha1("alice", "acme", "from a file").md5
    assert "give --password-file" in ksctl.fails(2, "account passwd -t acme alice")
    assert "exclude each other" in ksctl.fails(2, "account passwd -t acme alice --generate --password-file -")
    assert "fewer than 8" in ksctl.fails(4, "account passwd -t acme alice --password-file -", stdin="x\n")
    assert "no account" in ksctl.fails(3, "account passwd -t acme nobody --generate")


def test_ksctl_imports_and_exports(ksctl: Ksctl, db: Conn, tmp_path: Path) -> None:
    make_tenant(db, "acme")
    text = "username,password\n101,good password\n102,good password\n"
    dry = ksctl.ok("account import -t acme --dry-run -", stdin=text)
    assert dry.stdout == "add 101\nadd 102\n"
    assert "dry run, nothing was changed: 2 added" in dry.stderr
    assert ksctl.ok("account list -o json").json == []
    ksctl.ok("account import -t acme -", stdin=text.encode("utf-16"))
    exported = ksctl.ok("account export -t acme").stdout
    assert ksctl.ok("account import -t acme -", stdin=exported).stderr == "0 added, 0 changed, 2 unchanged\n"
    assert "password" not in exported.splitlines()[0]
    path = write(tmp_path, "username\n101\n999\n")
    wrong = f"account import -t acme {path} --errors {tmp_path}/wrong.csv"
    assert "line 3: a new account needs a password" in ksctl.fails(1, wrong)
    assert ',3,"a new account needs' in (tmp_path / "wrong.csv").read_text()


def test_ksctl_exports_secrets_into_a_file_of_its_own(ksctl: Ksctl, db: Conn, tmp_path: Path) -> None:
    make_account(db, make_tenant(db, "acme"), "alice")
    before = os.umask(0o022)
    try:
        ksctl.ok(f"account export -t acme --to {tmp_path}/accounts.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "accounts.csv").stat().st_mode) == 0o600
    assert ksctl.ok(f"account import -t acme {tmp_path}/accounts.csv").stderr.endswith("1 unchanged\n")


def test_ksctl_clears_a_value_with_the_word_none(ksctl: Ksctl, db: Conn) -> None:
    acme = make_tenant(db, "acme")
    make_account(db, acme, "alice", max_calls=2, caller_number="74951112233")
    ksctl.ok("account set -t acme alice --max-calls none --caller-number none --media-relay always --disable")
    alice = account.find(db, tenant_id=acme, username="alice")
    assert (alice.max_calls, alice.caller_number, alice.enabled) == (None, None, False)
    assert alice.media_relay is RelayMode.ALWAYS
    assert "'ALWAYS' is not one of" in ksctl.fails(2, "account set -t acme alice --media-relay ALWAYS")
    ksctl.ok("account rm -t acme alice")
    assert "no account" in ksctl.fails(3, "account rm -t acme alice")


def test_ksctl_needs_a_tenant_or_its_variable(ksctl: Ksctl, db: Conn, pg_dsn: str) -> None:
    make_tenant(db, "acme")
    assert "Missing option '-t' / '--tenant'" in ksctl.fails(2, "account show alice")
    other = Ksctl({"KALIBRI_DATABASE_DSN": pg_dsn, "KALIBRI_TENANT": "acme"})
    other.ok("account add alice --generate")
    other.ok("account show alice")
