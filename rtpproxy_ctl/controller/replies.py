"""Reading what nodes answer, and believing only what keeps to the protocol; adding up what several answer. Pure."""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from rtpproxy_ctl.commands import Counters, Ports
from rtpproxy_ctl.controller.nodes import Node
from rtpproxy_ctl.errors import BadReply, ErrorCode
from rtpproxy_ctl.protocol import is_error, parse_ports

log = logging.getLogger("rtpc")


def add_up(nodes: Sequence[Node], command: Counters, reply: Callable[[str], None]) -> None:
    """Ask all nodes for counters and reply with the sums of those that answer; once."""
    total: Counter[str] = Counter()
    answered, waiting = 0, len(nodes)
    if not nodes:
        reply(" ".join("0" for _ in command.names))

    def done(text: str | None) -> None:
        nonlocal answered, waiting
        waiting -= 1
        if text is not None and is_error(text) is None:
            try:
                total.update(command.parse(text))
                answered += 1
            except BadReply as error:
                log.warning("%s", error)
        if waiting == 0:
            sums = " ".join(f"{total[name]:.10g}" for name in command.names)
            reply(sums if answered else f"E{ErrorCode.UNKNOWN_COUNTER}")

    for node in nodes:
        node.ask(command.encode(), done)


def nothing(text: str | None) -> None:
    """Nobody waits for this answer."""


def ports_of(text: str) -> Ports | None:
    """Read the ports of a reply; None where a node does not keep to the protocol."""
    try:
        ports = parse_ports(text)
    except BadReply as error:
        log.warning("%s", error)
        return None
    if ports.address and numeric(ports.address) != ports.address:
        log.warning("no IP address in %r", text)
        return None
    return ports


@lru_cache(maxsize=4096)
def numeric(address: str) -> str:
    """Return an IP address as it is; for a name 0.0.0.0: the node learns the address from the first packet.

    RTPProxy would have to resolve a name that a stranger wrote into his SDP, and all its commands would wait.
    """
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return "0.0.0.0"
    return address


def is_udp_target(target: str) -> bool:
    parts = target.split(":")
    return (
        len(parts) == 3 and numeric(parts[1]) == parts[1] and parts[2].isdecimal() and int(parts[2]) < 65536
    )
