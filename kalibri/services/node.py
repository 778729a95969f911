"""Nodes of the system: proxies, RTP nodes, controllers, media hosts, on all its hosts.

A host registers its own proxy and RTP nodes when it starts (`register_nodes`); others are added by hand. The
proxy believes a request on its internal socket only if it comes from a media host of this table. Never starts
or asks a node: a heartbeat says that somebody else found it answering.
"""

from __future__ import annotations

import ipaddress
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from callcore.errors import BadInput
from callcore.states import NodeKind
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn

SQL = db.statements("node")

REGISTERED_BY = "ksinit"
#: What a node has until somebody changes it (the database has the same defaults).
DEFAULT_WEIGHT, DEFAULT_CAPACITY = 100, 300
#: RTP and RTCP of both sides.
PORTS_PER_SESSION = 4
#: RTPProxy's control protocol knows no password: never reachable from another machine.
RTP_CONTROL_ADDRESS = "127.0.0.1"

_ADDRESS = re.compile(
    r"(?P<transport>udp|tcp|tls):(?P<host>[A-Za-z0-9.:\[\]-]{1,253}):(?P<port>[0-9]{1,5})", re.ASCII
)


class BadAddress(BadInput):
    """This is no address of a node."""

    error_id = "bad-address"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node as it is listed."""

    node_id: int
    name: str
    kind: NodeKind
    #: Name of the machine (configuration: node_name).
    host: str
    #: Control address of an RTP node or controller, internal SIP address of a proxy, SIP address of a media
    #: host, as udp:127.0.0.1:22222.
    address: str
    #: Out of use, a node gets no new calls.
    enabled: bool
    heartbeat_at: datetime | None
    #: By the clock of the database; None: no heartbeat yet.
    heartbeat_age_seconds: float | None
    #: What the node tells of itself; "live": figures that controllers have seen.
    data: Mapping[str, Any]
    #: Share of new sessions among RTP nodes of equal load; 0: none.
    weight: int
    #: Sessions or calls that it may carry.
    capacity: int
    #: It keeps what it carries and takes nothing new.
    draining: bool

    @property
    def live(self) -> Mapping[str, Any]:
        """Figures that a controller saw last: health, sessions, load; empty: none has reported."""
        live = self.data.get("live")
        return live if isinstance(live, dict) else {}


def list_nodes(conn: Conn, *, kind: NodeKind | None = None) -> list[Node]:
    """Return nodes, kind by kind and host by host; None: of all kinds."""
    return db.fetch_all(conn, Node, SQL["list_nodes"], kind=kind, name=None)


def find(conn: Conn, *, name: str) -> Node:
    """Return one node; raises NotFound."""
    return db.require(db.fetch_one(conn, Node, SQL["list_nodes"], kind=None, name=name), "node", name)


def add(
    conn: Conn,
    *,
    name: str,
    kind: NodeKind,
    host: str,
    address: str,
    weight: int = DEFAULT_WEIGHT,
    capacity: int = DEFAULT_CAPACITY,
) -> Node:
    """Make a node known; raises AlreadyExists, BadAddress, BadInput."""
    values = {"weight": weight, "capacity": capacity}
    with conn.transaction():
        tidy = check_address(kind, address)
        db.execute(conn, SQL["add_node"], name=name, kind=kind, host=check_host(host), address=tidy, **values)
        return find(conn, name=name)


def change(conn: Conn, *, name: str, **changes: Any) -> Node:
    """Change host, address, enabled, weight, capacity or draining of a node; raises NotFound, BadAddress, BadInput."""
    with conn.transaction():
        db.execute(conn, SQL["lock_node"], name=name)
        node = replace(find(conn, name=name), **changes)
        node = replace(node, address=check_address(node.kind, node.address), host=check_host(node.host))
        keys = ("node_id", "host", "address", "enabled", "weight", "capacity", "draining")
        values = {key: getattr(node, key) for key in keys}
        db.execute(conn, SQL["set_node"], **values)
        return find(conn, name=name)


def remove(conn: Conn, *, name: str) -> None:
    """Forget a node; raises NotFound. One that its host registers is back when the host starts again."""
    with conn.transaction():
        db.execute(conn, SQL["remove_node"], node_id=find(conn, name=name).node_id)


def check_host(host: str) -> str:
    """Return the name of a machine; raises BadInput."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", host, re.ASCII):
        raise BadInput(f'host: "{host}" is not 1 to 63 letters, digits, _ . - (a letter or digit first)')
    return host


def check_address(kind: NodeKind, text: str) -> str:
    """Return an address in the form that is compared; raises BadAddress.

    A media host needs an IP address: the proxy compares it with where a request comes from.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise BadAddress(f'"{text}" is no address: write udp:192.0.2.10:5070')
    if kind is NodeKind.RTP and match["transport"] != "udp":
        raise BadAddress(f'"{text}": controllers speak to RTP nodes over udp')
    host = match["host"].removeprefix("[").removesuffix("]")
    try:
        host = str(ipaddress.ip_address(host))
    except ValueError:
        if kind is NodeKind.MEDIA or ":" in host or "[" in host:
            raise BadAddress(f'"{match["host"]}" is no IP address') from None
    return f"{match['transport']}:{host}:{int(match['port'])}"


# ------------------------------------------------------------------------------------------------- start


def node_of_process(config: Config, process: str) -> str | None:
    """Return the name of the node that a process of this host is (names of ksinit status); None: it is none."""
    if process == "kamailio":
        return f"{config.node_name}-proxy"
    own = process.startswith("rtp-") or process in (*config.rtp_controllers, *config.media_hosts)
    return f"{config.node_name}-{process}" if own else None


def server_id(node_name: str) -> int:
    """Return Kamailio's number for the proxy of a host, the same at each start and another one for each (31 bits)."""
    return zlib.crc32(node_name.encode()) % (2**31 - 1) + 1


def register_nodes(conn: Conn, config: Config) -> list[str]:
    """Make the proxy, RTP nodes and controllers of this host known as the configuration has them; return their names.

    Safe to repeat at every start: what has not changed is not touched, a node that somebody has put out of use
    stays so, and those that this host does not have any more are forgotten.
    """
    nodes = own_nodes(config)
    names = [str(node["name"]) for node in nodes]
    with conn.transaction():
        db.execute(conn, SQL["register_nodes"], nodes=json.dumps(nodes))
        db.execute(conn, SQL["forget_nodes"], host=config.node_name, registered_by=REGISTERED_BY, names=names)
    return names


def own_nodes(config: Config) -> list[dict[str, Any]]:
    """Return the nodes of this host as rows for the table, with name, kind, host, address and data."""
    rtp = [_rtp(config, number) for number in range(1, config.rtp_nodes + 1)]
    controllers = [_controller(config, name) for name in config.rtp_controllers]
    return [_proxy(config), *rtp, *controllers, *(_media_host(config, name) for name in config.media_hosts)]


def report(conn: Conn, *, reports: Sequence[Mapping[str, Any]]) -> None:
    """Note live figures of nodes: {"name", "alive", "live": {…}}; unknown names are passed over."""
    db.execute(conn, SQL["report_nodes"], reports=json.dumps(list(reports)))


def beat(conn: Conn, *, names: Sequence[str]) -> None:
    """Note that these nodes answered just now; unknown names are passed over."""
    db.execute(conn, SQL["beat_nodes"], names=list(names))


def _proxy(config: Config) -> dict[str, object]:
    proxy = config.proxy
    return _node(
        config,
        "kamailio",
        NodeKind.PROXY,
        f"udp:{proxy.listen_address}:{proxy.internal_port}",
        sip=f"udp:{proxy.listen_address}:{proxy.sip_port}",
    )


def _rtp(config: Config, number: int) -> dict[str, object]:
    port = config.rtp.control_base_port + number - 1
    name = f"rtp-{number}"
    first, last = config.rtp_ports(number)
    return _node(
        config,
        name,
        NodeKind.RTP,
        f"udp:{RTP_CONTROL_ADDRESS}:{port}",
        spool=str(config.rtp_spool_directory / name),
        recordings=str(config.rtp_recording_directory / name),
        notifies=True,
        # Two controllers may each give it some before they see the other's; and L takes ports too.
        most_sessions=(last - first + 1) // PORTS_PER_SESSION * 9 // 10,
    )


def _controller(config: Config, name: str) -> dict[str, object]:
    ports = config.rtp_controller_ports(int(name.removeprefix("rtpc-")))
    return _node(config, name, NodeKind.CONTROLLER, f"udp:{ports.address}:{ports.control}")


def _media_host(config: Config, name: str) -> dict[str, object]:
    return _node(config, name, NodeKind.MEDIA, f"udp:{config.media.listen_address}:{config.media_port(name)}")


def _node(config: Config, process: str, kind: NodeKind, address: str, **data: object) -> dict[str, object]:
    return {
        "name": node_of_process(config, process),
        "kind": kind.value,
        "host": config.node_name,
        "address": check_address(kind, address),
        "data": {"registered_by": REGISTERED_BY, **data},
    }
