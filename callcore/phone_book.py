"""Address books in the forms that phones load: vCard 3.0 (RFC 2426), and the XML of three makers. Pure.

A number that is a name of an account stays as it is: phones dial it as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from xml.etree import ElementTree

from callcore.value import value

VCARD_LINE_BYTES = 75


@value
class Contact:
    """One line of a phone's directory."""

    name: str
    number: str
    note: str = ""


def vcards(contacts: Iterable[Contact]) -> str:
    """Return all contacts as vCards, lines folded at 75 octets (RFC 2426 section 2.6)."""
    lines: list[str] = []
    for contact in contacts:
        name = _escaped(contact.name)
        lines += ["BEGIN:VCARD", "VERSION:3.0", f"N:{name};;;;", f"FN:{name}"]
        lines.append(f"TEL;TYPE=WORK,VOICE:{_escaped(contact.number)}")
        if contact.note:
            lines.append(f"NOTE:{_escaped(contact.note)}")
        lines.append("END:VCARD")
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _escaped(text: str) -> str:
    for character in "\\;,":
        text = text.replace(character, "\\" + character)
    return text.replace("\r\n", "\\n").replace("\n", "\\n")


def _folded(line: str) -> str:
    """Break a long line between characters; each further line begins with a blank."""
    parts, part, room = [], "", VCARD_LINE_BYTES
    for character in line:
        width = len(character.encode())
        if width > room:
            parts.append(part)
            part, room = "", VCARD_LINE_BYTES - 1
        part, room = part + character, room - width
    return "\r\n ".join([*parts, part])


def _directory(root: str) -> Callable[[Iterable[Contact]], str]:
    """Return the writer of a list of DirectoryEntry below this root."""

    def write(contacts: Iterable[Contact]) -> str:
        top = ElementTree.Element(root)
        for contact in contacts:
            entry = ElementTree.SubElement(top, "DirectoryEntry")
            ElementTree.SubElement(entry, "Name").text = contact.name
            ElementTree.SubElement(entry, "Telephone").text = contact.number
        return _document(top)

    return write


def _grandstream(contacts: Iterable[Contact]) -> str:
    top = ElementTree.Element("AddressBook")
    for contact in contacts:
        entry = ElementTree.SubElement(top, "Contact")
        ElementTree.SubElement(entry, "LastName").text = contact.name
        phone = ElementTree.SubElement(entry, "Phone")
        ElementTree.SubElement(phone, "phonenumber").text = contact.number
        ElementTree.SubElement(phone, "accountindex").text = "0"
    return _document(top)


def _document(top: ElementTree.Element) -> str:
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(top, encoding="unicode") + "\n"


#: File name → media type and writer.
FORMS: Mapping[str, tuple[str, Callable[[Iterable[Contact]], str]]] = {
    "contacts.vcf": ("text/vcard; charset=utf-8", vcards),
    "yealink.xml": ("text/xml; charset=utf-8", _directory("YealinkIPPhoneDirectory")),
    "cisco.xml": ("text/xml; charset=utf-8", _directory("CiscoIPPhoneDirectory")),
    "grandstream.xml": ("text/xml; charset=utf-8", _grandstream),
}
