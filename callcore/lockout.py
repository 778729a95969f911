"""Lock-out of who guesses passwords: whom a count or a lock is about, when a lock begins, how it is written. Pure.

Two things are counted, each within a window that begins with the first failure:

- wrong passwords of one user name from one source. The lock refuses that name from that source and nobody else: a phone
  with a wrong password behind a NAT takes none of its neighbours with it, and a guesser takes nobody's registration
  away elsewhere.
- user names that failed from one source, of those that have never been right there. The lock refuses the source, except
  for the names that have been. Whether such a name exists plays no part: if it did, the number of tries before the lock
  would tell which accounts there are.

A source is an IPv4 address, or the /64 of an IPv6 address: that is what one customer has at least.
Never counts and never reads a clock: kemi/lockout.py does, and kalibri/services/lockout.py shows what there is.
"""

from __future__ import annotations

import ipaddress

from callcore.value import value

#: Shared tables of the proxy (conf/kamailio.cfg): failures and names, locks, names that were right.
FAILED, LOCKED, PROVEN = "failed", "locked", "proven"
#: Of a longer name only so much counts; no account has one, and the tables shall not hold what strangers like to write.
USER_CHARACTERS = 128
_IPV6_PREFIX = 64


@value
class Suspect:
    """Whom a count or a lock is about; username "": everybody at the source."""

    source: str
    tenant_id: int = 0
    username: str = ""

    @property
    def key(self) -> str:
        """Return the key in the shared tables."""
        return f"{self.source}|{self.tenant_id}|{self.username}" if self.username else self.source

    @classmethod
    def of(cls, ip: str, tenant_id: int, username: str) -> Suspect:
        """Return a user name at the source that an address belongs to."""
        return cls(source_of(ip), tenant_id, username[:USER_CHARACTERS] or "-")

    @classmethod
    def from_key(cls, key: str) -> Suspect:
        """Return whom a key is about; the opposite of `key`."""
        source, bar, rest = key.partition("|")
        tenant_id, _, username = rest.partition("|")
        return cls(source, int(tenant_id), username) if bar else cls(source)


@value
class Lock:
    """What is remembered of a lock."""

    #: Unix time, in seconds.
    until: int
    #: Failures, or names, that led to it.
    count: int

    @property
    def text(self) -> str:
        """Return the lock as it is stored."""
        return f"{self.until} {self.count}"

    @classmethod
    def from_text(cls, text: str) -> Lock:
        """Read what `text` wrote."""
        until, _, count = text.partition(" ")
        return cls(int(until), int(count))


def source_of(ip: str) -> str:
    """Return what counts as one source: the IPv4 address itself, the /64 network of an IPv6 address."""
    if ":" not in ip:
        return ip
    return str(ipaddress.ip_network((ip.strip("[]"), _IPV6_PREFIX), strict=False))


def begins_lock(count: int, limit: int) -> bool:
    """Tell whether this failure, or name, begins a lock; so does each further `limit`. limit 0: never.

    Each count is seen once, whatever process it happens in, so each lock is told once.
    """
    return limit > 0 and count > 0 and count % limit == 0
