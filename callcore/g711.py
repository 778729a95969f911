"""G.711 (ITU-T G.711, RFC 3551 4.5.14): octets to 16-bit samples and back, by tables.

Both directions are exact: encoding what was decoded gives the same octets (except that u-law's 0x7F, the
negative zero, becomes 0xFF). Python's audioop, which did this, is gone in 3.13.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Octets = NDArray[np.uint8]


def _ulaw_table() -> Samples:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    exponent, mantissa = code >> 4 & 7, code & 15
    magnitude = ((mantissa << 3) + 0x84 << exponent) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_table() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    linear = (mantissa << 4) + 8
    magnitude = np.where(exponent > 0, linear + 0x100 << np.maximum(exponent - 1, 0), linear)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _encoder(decoded: Samples) -> Octets:
    """Return for each sample (as unsigned 16 bits) the octet whose value is nearest."""
    order = np.argsort(decoded, kind="stable")
    values = decoded[order].astype(np.int32)
    samples = np.arange(-32768, 32768, dtype=np.int32)
    right = np.clip(np.searchsorted(values, samples), 1, 255)
    left = right - 1
    nearest = np.where(samples - values[left] < values[right] - samples, left, right)
    table = np.empty(65536, np.uint8)
    table[samples & 0xFFFF] = order[nearest].astype(np.uint8)
    return table


ULAW_DECODED: Final = _ulaw_table()
ALAW_DECODED: Final = _alaw_table()
_ULAW_ENCODED: Final = _encoder(ULAW_DECODED)
_ULAW_ENCODED[0] = 0xFF  # u-law has two zeros; silence on the wire is this one
_ALAW_ENCODED: Final = _encoder(ALAW_DECODED)


def ulaw_encode(samples: Samples) -> Octets:
    """Return the u-law octets nearest to 16-bit samples."""
    return _ULAW_ENCODED[samples.view(np.uint16)]


def alaw_encode(samples: Samples) -> Octets:
    """Return the A-law octets nearest to 16-bit samples."""
    return _ALAW_ENCODED[samples.view(np.uint16)]
