"""How often a call was forwarded, and how the next system is told: Diversion (RFC 5806), History-Info (RFC 7044).

Pure: reads and writes header text; whether a call may be forwarded once more is decided in account_service.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from callcore.account_service import ForwardCondition
from callcore.value import value

_COUNTER = re.compile(r";\s*counter\s*=\s*(\d{1,4})", re.IGNORECASE)
_CAUSE = re.compile(r"[?&;]\s*(?:Reason=SIP%3Bcause%3D|cause=)\d{3}", re.IGNORECASE)
#: RFC 5806 section 4.1; RFC 4458 section 2 (cause of History-Info).
_REASONS = {
    ForwardCondition.ALWAYS: ("unconditional", 302),
    ForwardCondition.BUSY: ("user-busy", 486),
    ForwardCondition.NO_ANSWER: ("no-answer", 408),
    ForwardCondition.UNREACHABLE: ("unavailable", 503),
}


@value
class Diversion:
    """One forwarding of a call by an account of ours."""

    username: str
    condition: ForwardCondition
    #: Number by which other systems know the account; "": it has none.
    number: str = ""
    #: Forwarded to a number, so at the cost of the account.
    paid: bool = False

    def encode(self) -> str:
        """Return as one text, for the state of a call."""
        return f"{self.username} {self.condition} {self.number or '-'} {int(self.paid)}"

    @classmethod
    def decode(cls, text: str) -> Diversion:
        """Read what encode wrote. Raises ValueError."""
        username, condition, number, paid = text.split(" ")
        return cls(username, ForwardCondition(condition), "" if number == "-" else number, paid == "1")


def _split(header: str) -> list[str]:
    """Return the entries of a comma list; a comma within <> or quotes separates nothing."""
    parts, depth, quoted, start = [], 0, False, 0
    for place, character in enumerate(header):
        if character == '"':
            quoted = not quoted
        elif character in "<>" and not quoted:
            depth += 1 if character == "<" else -1
        elif character == "," and not quoted and depth <= 0:
            parts.append(header[start:place])
            start = place + 1
    return [part for part in (*parts, header[start:]) if part.strip()]


def count_before(diversion: str, history_info: str) -> int:
    """Return how often other systems say that they forwarded the call; the greater of what the two headers say."""
    told = 0
    for entry in _split(diversion):
        counter = _COUNTER.search(entry)
        told += int(counter[1]) if counter else 1
    return max(told, sum(1 for entry in _split(history_info) if _CAUSE.search(entry)))


def headers(diversions: Iterable[Diversion], host: str, *, outside: bool, target: str) -> tuple[str, ...]:
    """Return the header lines for the next target, the latest forwarding first (RFC 5806 section 4).

    host: domain of the accounts; outside: to a gateway, which knows accounts by number; target: URI that is called now.
    """
    done = tuple(diversions)
    if not done:
        return ()
    lines = []
    for entry in reversed(done):
        user = entry.number if outside and entry.number else entry.username
        lines.append(f"Diversion: <sip:{user}@{host}>;reason={_REASONS[entry.condition][0]};counter=1")
    history = []
    index = "1"
    for place, entry in enumerate(done):
        user = entry.number if outside and entry.number else entry.username
        cause = f"?Reason=SIP%3Bcause%3D{_REASONS[done[place - 1].condition][1]}" if place else ""
        history.append(f"<sip:{user}@{host}{cause}>;index={index}")
        index += ".1"
    uri = target.partition(";")[0]
    history.append(f"<{uri}?Reason=SIP%3Bcause%3D{_REASONS[done[-1].condition][1]}>;index={index}")
    return (*lines, "History-Info: " + ", ".join(history))
