"""Where the torture takes place: a switch that serves the domains of RFC 4475, seen from two places.

From STRANGER nothing is believed: a message ends at the first checks or at the challenge. From GATEWAY a message
passes as a carrier's, so that routing, the dialog, the media relay and the sending are tortured, too; a call of it is
routed to the sink. What is counted and logged between two looks is in `Watch`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.scenarios.torture.sender import Sender, Sink
from tests.support.kamailio_probe import KamailioProbe
from tests.support.switch import Switch
from tests.support.waiting import wait_until

#: The domains that occur in RFC 4475, all of one tenant.
DOMAINS = ("example.com", "example.net", "example.org", "chair-dnrc.example.com", "company.com")
#: What must not be in Kamailio's log: an exception that escaped, or a worker that died.
_BAD_LOG = ("Traceback", "python_exec", "exception in", "segfault", "CRITICAL", "BUG:", "child process")
#: The core's own guard, when rtpproxy wants to change SDP that ends with "a=r": the offer fails, the call gets 480.
_HARMLESS = "del_lump(): offset exceeds message size"


class Place(StrEnum):
    """Where a message comes from; the value is the address."""

    STRANGER = "127.0.0.1"
    GATEWAY = "127.77.0.1"


@dataclass(frozen=True)
class Watch:
    """The state of a proxy at one moment."""

    exceptions: int
    log_bytes: int


class Field:
    """One switch under torture."""

    def __init__(self, switch: Switch, sink: Sink) -> None:
        self.switch, self.sink = switch, sink
        config = switch.config
        self.probe = KamailioProbe(
            switch.address,
            pid=switch.instance.pid("kamailio"),
            rpc_socket=Path(config.home, "run", "kamailio_rpc.sock"),
        )
        self.log_file = Path(config.home, "log", "kamailio.log")
        self._configure()

    def _configure(self) -> None:
        switch = self.switch
        tenant = switch.insert("tenant", name="torture", realm="example.com")["tenant_id"]
        for name in DOMAINS:
            switch.insert("domain", tenant_id=tenant, name=name)
        common = {"tenant_id": tenant, "host": "127.0.0.1", "probe": False}
        switch.insert("gateway", name="torturer", port=9, source_networks=[f"{Place.GATEWAY}/32"], **common)
        switch.insert("gateway", name="sink", port=self.sink.address[1], **common)
        switch.add_route(None, "gateway:sink", priority=1, tenant_id=tenant)
        switch.save()

    def sender(self, place: Place) -> Sender:
        """Return a sender at this place; what it has relayed is looked for at the sink."""
        return Sender(self.switch.address, sink=self.sink, probe=self.probe, ip=place.value, quiet=0.15)

    def watch(self) -> Watch:
        """Look at what is counted."""
        return Watch(self.exceptions(), os.stat(self.log_file).st_size)

    def exceptions(self) -> int:
        """Return how many exceptions of ours the proxy has counted since it started."""
        return self.counted().get("exception", 0)

    def counted(self) -> dict[str, int]:
        """Return the counters of kemi/: exception, flood, insane, refused, auth_failed."""
        rows = self.probe.rpc("htable.dump", "count")
        return {slot["name"]: int(slot["value"]) for row in rows for slot in row["slot"]}

    def forwarded(self) -> int:
        """Return how many requests the proxy has sent on since it started, to wherever."""
        told = self.probe.rpc("stats.get_statistics", "fwd_requests")[0]
        return int(told.partition("=")[2])

    def settle(self) -> None:
        """Wait until no transaction is left; what the sink gets until then is of no interest."""
        wait_until(self._is_settled, "the end of all transactions", 60, 0.1)
        self.sink.take()

    def _is_settled(self) -> bool:
        self.sink.take()
        return bool(self.probe.rpc("tm.stats")["current"] == 0)

    def memory(self) -> int:
        """Return the shared memory in use when no transaction is left."""
        self.settle()
        return self.probe.shared_memory_used()

    def journal(self, kind: str) -> list[dict[str, Any]]:
        """Return the stored events of a kind, with everything that they tell."""
        return self.switch.rows("SELECT * FROM call_event WHERE kind = %s ORDER BY at, event_id", [kind])

    def assert_clean(self, since: Watch) -> None:
        """Fail if an exception was counted, or the log tells of one or of a lost process."""
        with self.log_file.open("rb") as log:
            log.seek(since.log_bytes)
            lines = log.read().decode(errors="replace").splitlines()
        bad = [line for line in lines if any(mark in line for mark in _BAD_LOG) and _HARMLESS not in line]
        assert not bad, "\n".join(bad[:20])
        assert self.exceptions() == since.exceptions
