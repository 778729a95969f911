"""Which media host gets a call: living ones by load as the database says, else those that ks-index saw last. Shell.

What this proxy has seen itself counts before the database does: a host that did not answer rests for some seconds in
the shared table "acd", so that only the first caller after its death waits for it.
"""

from __future__ import annotations

import json
import time

from callcore.errors import KalibriError
from kemi.call_state import Target
from kemi.ks_acd import media_host
from kemi.ks_acd.model import MediaHost
from kemi.tenancy import media_hosts
from kemi.worker import Worker

_TABLE = "acd"
#: A host gives no reply at all for this long before the next one is tried.
NO_REPLY_MS = 1_000
#: It may let the caller ring as long as agents are rung for him.
RING_MS = 600_000
#: A host that did not answer is tried last for this time; its heartbeat has said by then whether it lives.
REST_SECONDS = 6.0
#: The order of load is believed for this time.
FRESH_SECONDS = 1.0


def choose(worker: Worker, offered: tuple[MediaHost, ...], *, seed: str) -> tuple[MediaHost, ...]:
    """Return the hosts in the order in which to try them. offered: what the ACD named; none: look them up."""
    hosts, spread = offered, None
    if hosts:
        _remember(worker, hosts)
    else:
        hosts, fresh = _looked_up(worker)
        spread = None if fresh else seed
    return media_host.in_order(hosts, resting=_resting(worker, hosts), seed=spread)


def targets(hosts: tuple[MediaHost, ...], application: str) -> tuple[Target, ...]:
    """Return hosts as targets of a call."""
    return tuple(
        Target(
            "host",
            f"sip:{application}@{host.hostport}",
            ring_timeout_ms=RING_MS,
            no_reply_timeout_ms=NO_REPLY_MS,
            media_relay="never",
        )
        for host in hosts
    )


def rest(worker: Worker, target: Target) -> None:
    """Note that a host gave no reply."""
    address = "udp:" + target.uri.partition("@")[2]
    worker.port.table_set(_TABLE, f"rest:{address}", f"{time.time() + REST_SECONDS:.1f}")


def _resting(worker: Worker, hosts: tuple[MediaHost, ...]) -> list[str]:
    now = time.time()
    addresses = (host.address for host in hosts)
    return [a for a in addresses if float(worker.port.table_text(_TABLE, f"rest:{a}") or 0) > now]


def _looked_up(worker: Worker) -> tuple[tuple[MediaHost, ...], bool]:
    """Return hosts, and whether they were asked of the database just now."""
    kept = worker.port.table_text(_TABLE, "hosts")
    if kept is not None:
        at, rows = json.loads(kept)
        if abs(time.time() - at) < FRESH_SECONDS:
            return tuple(MediaHost(*row) for row in rows), False
    try:
        hosts = worker.acd.hosts()
    except KalibriError:
        return media_hosts(worker.directory.system), False
    _remember(worker, hosts)
    return hosts, True


def _remember(worker: Worker, hosts: tuple[MediaHost, ...]) -> None:
    rows = [[host.name, host.address] for host in hosts]
    worker.port.table_set(_TABLE, "hosts", json.dumps([time.time(), rows]))
