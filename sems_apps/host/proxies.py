"""The proxies that a media host hears, and which of them it calls through. Pure: no socket, no clock.

A leg goes through the proxy that the call came from, or this machine's own. While that one gives no sign of life
another proxy of the installation carries it: each finds every account. A proxy that does not even answer 100 is held
for dead before the node table says so. Never decides who is called.
"""

from __future__ import annotations

from collections.abc import Iterable

Address = tuple[str, int]

#: A proxy that left an INVITE without any answer is avoided for so many looks at the node table, which by then shows
#: what is true: heartbeats count for 8 s, and the table is looked at each 5 s.
SILENT_LOOKS = 3


class Proxies:
    """What the node table said last."""

    def __init__(self, own: Iterable[str]) -> None:
        """own: IP addresses that are always heard, whatever the table says."""
        self._own = frozenset(own)
        self._heard = self._own
        self._living: list[Address] = []
        self._dead: frozenset[Address] = frozenset()
        #: Proxies that did not answer → looks at the table that they are avoided for.
        self._silent: dict[Address, int] = {}

    def set(self, rows: Iterable[tuple[str | None, bool | None]]) -> None:
        """Take internal addresses (udp:192.0.2.10:5070) with whether each lives; what is no IP:port is left out.

        None: a media host, which is heard and never called through.
        """
        known = [
            (address, lives) for text, lives in rows if (address := parse_address(text or "")) is not None
        ]
        self._heard = self._own | {host for (host, _), _ in known}
        self._living = sorted(address for address, lives in known if lives)
        self._dead = frozenset(address for address, lives in known if lives is False)
        self._silent = {address: looks - 1 for address, looks in self._silent.items() if looks > 1}

    def accepts(self, host: str) -> bool:
        """Tell whether requests from this IP address are heard."""
        return host in self._heard

    def next_hop(self, proxy: Address, target: str = "") -> Address:
        """Return the proxy through which to call: the given one, unless it is known to be dead and another lives."""
        if proxy not in self._dead and proxy not in self._silent:
            return proxy
        return next((other for other in self._living if other not in self._silent), proxy)

    def silent(self, proxy: Address) -> None:
        """Note that a proxy answered nothing to an INVITE, not even 100."""
        self._silent[proxy] = SILENT_LOOKS


def parse_address(text: str) -> Address | None:
    """Read udp:192.0.2.10:5070 or udp:[2001:db8::1]:5070; None for anything else."""
    host, _, port = text.partition(":")[2].rpartition(":")
    host = host.strip("[]")
    return (host, int(port)) if host and port.isdecimal() else None
