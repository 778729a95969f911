"""Address books as phones load them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from callcore.phone_book import FORMS, Contact, vcards

BOOK = [Contact("Иванов, Пётр & Co", "+74951234567", "склад; ночь"), Contact("Desk <1>", "101")]


def test_a_vcard_escapes_and_folds() -> None:
    text = vcards([Contact("ж" * 100, "101", "a,b;c\\d\ne")])
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    whole = text.replace("\r\n ", "")
    assert f"FN:{'ж' * 100}\r\n" in whole
    assert "NOTE:a\\,b\\;c\\\\d\\ne\r\n" in whole
    assert whole.startswith("BEGIN:VCARD\r\nVERSION:3.0\r\n")
    assert whole.endswith("END:VCARD\r\n")


@pytest.mark.parametrize(
    ("form", "entry", "name", "number"),
    [
        ("yealink.xml", "DirectoryEntry", "Name", "Telephone"),
        ("cisco.xml", "DirectoryEntry", "Name", "Telephone"),
        ("grandstream.xml", "Contact", "LastName", "Phone/phonenumber"),
    ],
)
def test_xml_holds_every_contact(form: str, entry: str, name: str, number: str) -> None:
    top = ElementTree.fromstring(FORMS[form][1](BOOK).encode())
    found = [(each.findtext(name), each.findtext(number)) for each in top.findall(entry)]
    assert found == [(contact.name, contact.number) for contact in BOOK]
