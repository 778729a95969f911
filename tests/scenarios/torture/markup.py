"""The markup of RFC 4475 section 2, turned into octets; and the shape of one torture message.

<allOneLine> joins lines, <hex> holds octets as hexadecimal digits, <repeat count=N> repeats; every other
line ends with CRLF. A text begins after its first line end and stands at the left margin; what has no body
ends with an empty line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_HEX = re.compile(r"<hex>([0-9A-Fa-f\s]*)</hex>")
_REPEAT = re.compile(r"<repeat count=(\d+)>(.*?)</repeat>")
_ONE_LINE = re.compile(r"<allOneLine>\n(.*?)\n</allOneLine>", re.S)


class Kind(StrEnum):
    """The chapters of RFC 4475."""

    #: 3.1.1: correct syntax, however strange.
    VALID = "valid syntax"
    #: 3.1.2: broken syntax.
    INVALID = "invalid syntax"
    #: 3.2: the transaction layer's business.
    TRANSACTION = "transaction layer"
    #: 3.3: correct syntax, questionable meaning.
    APPLICATION = "application layer"
    #: 3.4: an element of RFC 2543.
    RFC2543 = "RFC 2543"


@dataclass(frozen=True)
class TortureMessage:
    """One message of RFC 4475."""

    name: str
    section: str
    kind: Kind
    title: str
    #: What the RFC lets a proxy or registrar do with it, in short.
    allows: str
    raw: bytes

    @property
    def is_response(self) -> bool:
        """Whether it is a response (a proxy that sent no such request stays silent)."""
        return self.raw.startswith(b"SIP/2.0 ")


def render(text: str) -> bytes:
    """Return the octets that a marked-up text stands for.

    Octets of <hex> travel as the characters U+0000 to U+00FF; everything else is ASCII, so Latin-1 is exact.
    """
    text = _ONE_LINE.sub(lambda match: match[1].replace("\n", ""), text.removeprefix("\n"))
    text = _REPEAT.sub(lambda match: match[2] * int(match[1]), text)
    parts = _HEX.split(text)
    for index, part in enumerate(parts):
        parts[index] = part.replace("\n", "\r\n") if index % 2 == 0 else _octets(part)
    return "".join(parts).encode("latin-1")


def _octets(digits: str) -> str:
    return bytes.fromhex("".join(digits.split())).decode("latin-1")
