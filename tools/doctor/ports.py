"""Ports: does every port belong to us, and are those for media left alone by the kernel?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kalibri.config import Config
from tools.doctor.facts import Facts
from tools.doctor.finding import Finding, fail, ok, warn
from tools.doctor.sockets import Listener, ancestors, listeners, name_of, owner
from tools.instance.ports import WantedPort, wanted_ports
from tools.instance.processes import rtp_ports

CHECK = "ports"
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
#: RTP and RTCP of both sides.
PORTS_PER_CALL = 4


def examine(facts: Facts) -> Iterator[Finding]:
    """Look at every port of the configuration."""
    wanted, sockets = wanted_ports(facts.config), listeners()
    found = [finding for port in wanted if (finding := judge_port(port, sockets, facts.pids))]
    yield from found or [ok(CHECK, f"{len(wanted)} ports: {'all ours' if facts.runs else 'all free'}")]
    yield media_ports(facts.config, _ephemeral())


def judge_port(port: WantedPort, sockets: Sequence[Listener], pids: Mapping[str, int]) -> Finding | None:
    """Return what is wrong with a port, None if nothing is."""
    taken = [sock for sock in sockets if sock.takes(port.protocol, port.address, port.port)]
    if not taken:
        if port.process not in pids:
            return None
        return fail(CHECK, f"{port}: {port.process} runs, but does not listen", f"ksinit logs {port.process}")
    pid = owner(taken[0].inode)
    if pid is None:
        return None if port.process in pids else _foreign(port, "a process that you may not see")
    if set(ancestors(pid)) & set(pids.values()):
        return None
    return _foreign(port, f"{name_of(pid)} (pid {pid})")


def _foreign(port: WantedPort, who: str) -> Finding:
    return fail(CHECK, f"{port} is held by {who}", f"stop it, or set another {port.key}")


def _ephemeral() -> tuple[int, int]:
    first, last = EPHEMERAL.read_text().split()
    return int(first), int(last)


def media_ports(config: Config, ephemeral: tuple[int, int]) -> Finding:
    """Judge the ports for media: the kernel must not hand them out to others."""
    low, high = config.rtp.port_min, config.rtp.port_max
    first, last = rtp_ports(config, 1)
    calls = (last - first + 1) // PORTS_PER_CALL * config.rtp_nodes
    found = f"media {low}-{high}: room for {calls} relayed calls"
    if low <= ephemeral[1] and ephemeral[0] <= high:
        return warn(
            CHECK,
            f"{found}, but the kernel hands out {ephemeral[0]}-{ephemeral[1]} itself",
            "set rtp.port_min and rtp.port_max, or sysctl net.ipv4.ip_local_port_range, so that they do not meet",
        )
    return ok(CHECK, found)
