"""Address books: searched in any alphabet, moved as CSV, kept apart by tenant."""

from __future__ import annotations

from pathlib import Path

import pytest

from callcore.errors import AlreadyExists, BadInput, NotFound
from kalibri.csv_table import CsvRefused
from kalibri.db import Conn
from kalibri.services import addressbook
from tests.support.builders import make_tenant
from tests.support.fix_ksctl import Ksctl


@pytest.fixture
def acme(db: Conn) -> int:
    acme = make_tenant(db, "acme")
    addressbook.add(db, tenant_id=acme, name="Пётр Иванов", number="+74951112233", note="склад")
    addressbook.add(db, tenant_id=acme, name="Alice", number="101")
    return acme


def test_search_looks_into_name_number_and_note_in_any_case(db: Conn, acme: int) -> None:
    for text, expected in {"иванов": 1, "495": 1, "СКЛАД": 1, "a": 1, "%": 0, "": 2}.items():
        assert len(addressbook.list_entries(db, tenant_id=acme, text=text)) == expected, text


def test_name_may_have_several_numbers_but_each_once(db: Conn, acme: int) -> None:
    addressbook.add(db, tenant_id=acme, name="Alice", number="102")
    with pytest.raises(AlreadyExists, match="in the address book already"):
        addressbook.add(db, tenant_id=acme, name="Alice", number="101")
    for name, number in (("", "1"), (" x", "1"), ("x", "two words")):
        with pytest.raises(BadInput):
            addressbook.add(db, tenant_id=acme, name=name, number=number)


def test_entry_of_another_tenant_is_not_found(db: Conn, acme: int) -> None:
    rival = make_tenant(db, "rival")
    entry_id = addressbook.list_entries(db, tenant_id=acme)[0].entry_id
    with pytest.raises(NotFound):
        addressbook.find(db, tenant_id=rival, entry_id=entry_id)
    with pytest.raises(NotFound):
        addressbook.change(db, tenant_id=rival, entry_id=entry_id, name="x")
    with pytest.raises(NotFound):
        addressbook.remove(db, tenant_id=rival, entry_id=entry_id)
    assert addressbook.list_entries(db, tenant_id=rival) == []


def test_exported_book_is_the_same_again(db: Conn, acme: int, tmp_path: Path) -> None:
    addressbook.add(db, tenant_id=acme, name='Quote "Q", Ltd', number="q@example", note="two\nlines")
    text = "".join(addressbook.export(db, tenant_id=acme))
    path = tmp_path / "book.csv"
    path.write_bytes(text.encode())
    assert len(addressbook.import_(db, tenant_id=acme, file=path).unchanged) == 3
    db.execute("DELETE FROM address_book_entry")
    assert len(addressbook.import_(db, tenant_id=acme, file=path).added) == 3
    assert "".join(addressbook.export(db, tenant_id=acme)) == text


def test_wrong_lines_are_told_and_nothing_is_changed(db: Conn, acme: int, tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_text("name,number,note\nBob,103,\n,104,\nBob,103,again\nAlice,101,changed\n")
    with pytest.raises(CsvRefused) as caught:
        addressbook.import_(db, tenant_id=acme, file=path)
    assert caught.value.message.splitlines()[1:] == [
        "  line 3: name: 1 to 128 characters, no blank at the ends",
        '  line 4: entry "Bob 103" is in line 2 already',
    ]
    assert len(addressbook.list_entries(db, tenant_id=acme)) == 2


def test_ksctl_address_book(ksctl: Ksctl, acme: int) -> None:
    ksctl.ok("addressbook", "add", "-t", "acme", "Bob Brown", "103", "--note", "night shift")
    [row] = ksctl.ok("addressbook list -t acme NIGHT -o csv").csv
    assert (row["name"], row["number"]) == ("Bob Brown", "103")
    ksctl.ok(f"addressbook set -t acme {row['entry_id']} --number 104")
    assert ksctl.ok(f"addressbook show -t acme {row['entry_id']} -o json").json["number"] == "104"
    exported = ksctl.ok("addressbook export -t acme").stdout
    again = ksctl.ok("addressbook import -t acme -", stdin=exported.encode("cp1251"))
    assert again.stderr == "0 added, 0 changed, 3 unchanged\n"
    dry = ksctl.ok("addressbook import -t acme --dry-run -", stdin="name,number\nCarol,105\n")
    assert dry.stdout == "add Carol 105\n"
    ksctl.ok(f"addressbook rm -t acme {row['entry_id']}")
    assert "no address book entry" in ksctl.fails(3, f"addressbook rm -t acme {row['entry_id']}")
