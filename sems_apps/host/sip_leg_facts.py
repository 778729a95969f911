"""What a response says of a call that was refused. Pure."""

from __future__ import annotations

import re

_Q850 = re.compile(r"Q\.850\s*;(?:[^,]*;)?\s*cause\s*=\s*([0-9]{1,3})", re.IGNORECASE)


def q850_cause(reason: str) -> int:
    """Return the Q.850 cause of a Reason header (RFC 3326), 0: there is none."""
    found = _Q850.search(reason)
    return int(found[1]) if found else 0
