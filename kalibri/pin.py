"""PINs of mailboxes: short numbers, kept as scrypt with a salt of their own, so that a copy of the database tells none.

A PIN is short, so the cost of each comparison (about a tenth of a second, 16 MiB) and the count of attempts
(mailbox_try) are what protects it. Blocks for that long: never call it where nothing may block.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from itertools import pairwise

from callcore.errors import BadInput

#: Digits of a PIN; a telephone can type nothing else.
_PIN = re.compile(r"[0-9]{4,10}", re.ASCII)
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1
_SALT_BYTES = 16


def check_pin(pin: str) -> None:
    """Refuse what is no PIN, and those that are guessed first; raises BadInput."""
    if not _PIN.fullmatch(pin):
        raise BadInput("a PIN is made of 4 to 10 digits")
    steps = {int(after) - int(before) for before, after in pairwise(pin)}
    if steps in ({0}, {1}, {-1}):
        raise BadInput("this PIN is guessed too easily: no 1111, no 1234")


def hash_pin(pin: str) -> str:
    """Return what is kept of a PIN."""
    salt = os.urandom(_SALT_BYTES)
    return f"scrypt:{salt.hex()}:{_scrypt(pin, salt).hex()}"


def is_pin(pin: str, kept: str) -> bool:
    """Tell whether a PIN is the one of which this is kept."""
    kind, _, rest = kept.partition(":")
    salt, _, digest = rest.partition(":")
    if kind != "scrypt" or not digest:
        return False
    return hmac.compare_digest(_scrypt(pin, bytes.fromhex(salt)), bytes.fromhex(digest))


def _scrypt(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, dklen=32)
