"""Digest authentication (RFC 3261 section 22) as Kamailio's auth module does it: a part of KsrPort. Shell."""

from __future__ import annotations

from typing import Any

#: auth module: the password argument is HA1; do not check the URI of the digest (a mask may have changed it).
AUTH_HA1 = 1
#: Parts of a challenge.
CHALLENGE_QOP, CHALLENGE_STALE = 1, 16


class Digest:
    """What KsrPort knows of credentials."""

    _ksr: Any

    def has_credentials(self, realm: str) -> bool:
        """Tell whether the request answers a challenge of this realm."""
        return bool(self._ksr.auth.has_credentials(realm) > 0)

    def check_credentials(self, realm: str, ha1: str) -> int:
        """Check the digest against HA1; positive: right. -2 wrong, others: stale or malformed (auth module)."""
        return int(self._ksr.auth.pv_auth_check(realm, ha1, AUTH_HA1, 0))

    def challenge(self, realm: str, *, stale: bool = False) -> None:
        """Send 401 to REGISTER or 407 to others, with a fresh nonce; stale: it was the old one that was not good."""
        self._ksr.auth.auth_challenge(realm, CHALLENGE_QOP | (CHALLENGE_STALE if stale else 0))

    def forget_credentials(self) -> None:
        """Remove our credentials from what is sent on."""
        self._ksr.auth.consume_credentials()
