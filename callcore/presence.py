"""What watchers are told: dialog-info (RFC 4235), presence (PIDF RFC 3863, RPID RFC 4480), messages (RFC 3842).

Pure: documents from facts. Who may watch, and how the documents travel: kemi/presence.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from xml.etree import ElementTree

from callcore.value import value

_DIALOG_INFO = "urn:ietf:params:xml:ns:dialog-info"
_PIDF = "urn:ietf:params:xml:ns:pidf"
_RPID = "urn:ietf:params:xml:ns:pidf:rpid"
_MODEL = "urn:ietf:params:xml:ns:pidf:data-model"


class LineState(StrEnum):
    """State of one dialog of a line (RFC 4235 section 3.7.1)."""

    #: The line calls.
    TRYING = "trying"
    #: The line is called.
    EARLY = "early"
    #: It talks.
    CONFIRMED = "confirmed"


@value
class Line:
    """One dialog of the watched line."""

    state: LineState
    #: "initiator": the line called; "recipient": it was called.
    direction: str
    #: Number or user name of the other side.
    peer: str

    def to_list(self) -> list[str]:
        """Return as JSON keeps it."""
        return [self.state.value, self.direction, self.peer]

    @classmethod
    def from_list(cls, data: Sequence[str]) -> Line:
        """Read what to_list wrote."""
        return cls(LineState(data[0]), data[1], data[2])


def dialog_info(entity: str, lines: Mapping[str, Line], *, version: int, host: str) -> str:
    """Return the full state of a line: every dialog by its id. entity: URI of the line; host: of the peers' URIs."""
    ElementTree.register_namespace("", _DIALOG_INFO)
    top = ElementTree.Element(
        f"{{{_DIALOG_INFO}}}dialog-info", {"version": str(version), "state": "full", "entity": entity}
    )
    for dialog_id, line in lines.items():
        told = {"id": dialog_id, "direction": line.direction}
        dialog = ElementTree.SubElement(top, f"{{{_DIALOG_INFO}}}dialog", told)
        ElementTree.SubElement(dialog, f"{{{_DIALOG_INFO}}}state").text = line.state.value
        for side, uri in (("remote", f"sip:{line.peer}@{host}"), ("local", entity)):
            party = ElementTree.SubElement(dialog, f"{{{_DIALOG_INFO}}}{side}")
            ElementTree.SubElement(party, f"{{{_DIALOG_INFO}}}identity").text = uri
            ElementTree.SubElement(party, f"{{{_DIALOG_INFO}}}target", {"uri": uri})
    return _document(top)


def pidf(entity: str, *, registered: bool, talks: bool, agent: str) -> str:
    """Return whether somebody can be reached, and what he does. agent: his state in call distribution, "" if none."""
    for prefix, name in (("", _PIDF), ("rpid", _RPID), ("dm", _MODEL)):
        ElementTree.register_namespace(prefix, name)
    top = ElementTree.Element(f"{{{_PIDF}}}presence", {"entity": entity})
    person = ElementTree.SubElement(top, f"{{{_MODEL}}}person", {"id": "person"})
    activity = "on-the-phone" if talks or agent in _ON_THE_PHONE else _ACTIVITIES.get(agent, "")
    if activity:
        activities = ElementTree.SubElement(person, f"{{{_RPID}}}activities")
        ElementTree.SubElement(activities, f"{{{_RPID}}}{activity}")
    if agent:
        ElementTree.SubElement(person, f"{{{_MODEL}}}note").text = f"agent: {agent}"
    tuple_ = ElementTree.SubElement(top, f"{{{_PIDF}}}tuple", {"id": "phone"})
    status = ElementTree.SubElement(tuple_, f"{{{_PIDF}}}status")
    ElementTree.SubElement(status, f"{{{_PIDF}}}basic").text = "open" if registered else "closed"
    return _document(top)


#: Agent states (SQL enum agent_state) as activities of RFC 4480.
_ON_THE_PHONE = frozenset({"busy", "ringing"})
_ACTIVITIES = {"paused": "away", "wrapup": "busy", "offline": "away"}


def message_summary(account: str, *, new: int, old: int) -> str:
    """Return what waits in a mailbox (RFC 3842 section 5.2): the lamp is on while there is something new.

    account: the URI that the phone's message key calls. Urgent messages do not exist here: phones want both numbers
    all the same.
    """
    lines = (
        f"Messages-Waiting: {'yes' if new else 'no'}",
        f"Message-Account: {account}",
        f"Voice-Message: {new}/{old} (0/0)",
    )
    return "".join(f"{line}\r\n" for line in lines)


def _document(top: ElementTree.Element) -> str:
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(top, encoding="unicode")
