"""Where an INVITE forks to: a part of KsrPort. Shell."""

from __future__ import annotations

from typing import Any


class Branches:
    """What KsrPort knows of the branches of a request."""

    _ksr: Any

    def lookup_contacts(self, aor: str) -> bool:
        """Make the contacts of an AoR the targets of the request; False when there is none."""
        return bool(self._ksr.registrar.lookup_uri("location", aor) > 0)

    def add_contacts(self, aor: str) -> bool:
        """Add the contacts of a further AoR to the targets of the request; False when there is none."""
        return bool(self._ksr.registrar.lookup_to_dset("location", aor) > 0)

    def add_to_transaction(self, index: int, label: int, aor: str) -> bool:
        """Send the INVITE of another transaction to the contacts of an AoR too; False if it does not ring any more."""
        return bool(self._ksr.tsilo.ts_append_to_uri(index, label, "location", aor) > 0)

    def branch_count(self) -> int:
        """Return how many branches the request has besides that of its Request-URI."""
        return int(self._ksr.pv.get("$branch(count)") or 0)

    def add_branch(self, uri: str, next_hop: str, socket: str) -> bool:
        """Add a branch that leaves from a socket of ours (udp:address:port) to a next hop; False: it has too many."""
        last = self.branch_count()
        self._ksr.corex.append_branch_uri(uri)
        if self.branch_count() == last:
            return False
        # Kamailio has copied next hop, socket and flags (as: behind NAT) of the first branch.
        self._ksr.pv.sets(f"$(branch(dst_uri)[{last}])", next_hop)
        self._ksr.pv.sets(f"$(branch(send_socket)[{last}])", socket)
        self._ksr.pv.seti(f"$(branch(flags)[{last}])", 0)
        return True
