"""What headers of a leg say: why a call was refused, which dialog is to be replaced. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_Q850 = re.compile(r"Q\.850\s*;(?:[^,]*;)?\s*cause\s*=\s*([0-9]{1,3})", re.IGNORECASE)


def q850_cause(reason: str) -> int:
    """Return the Q.850 cause of a Reason header (RFC 3326), 0: there is none."""
    found = _Q850.search(reason)
    return int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class Replaced:
    """A dialog as who has it knows it (RFC 3891 section 3): to_tag is his own tag, from_tag the far end's."""

    call_id: str
    to_tag: str
    from_tag: str
    #: Only a call that still rings may be replaced.
    early_only: bool = False


def read_replaces(text: str) -> Replaced | None:
    """Read a Replaces header; None for one that names no dialog."""
    call_id, *parameters = (part.strip() for part in text.split(";"))
    named = {name.strip().lower(): value.strip() for name, _, value in (p.partition("=") for p in parameters)}
    to_tag, from_tag = named.get("to-tag", ""), named.get("from-tag", "")
    if not (call_id and to_tag and from_tag):
        return None
    return Replaced(call_id, to_tag, from_tag, "early-only" in named)
