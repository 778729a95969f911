"""ksctl node: proxies, RTP nodes, controllers and media hosts."""

from __future__ import annotations

from typing import Any

import click

from callcore.states import NodeKind
from kalibri.services import node as nodes
from kalibri.services.node import Node
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import enabled_option, given
from tools.ksctl.output import Column, output_option, say, show, show_one

#: By the unit that shows an age with two digits.
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))

KINDS = click.Choice([kind.value for kind in NodeKind])


def _age(node: Node) -> str | None:
    """Say how old the last heartbeat is: 4 s, 17 min, 3 d."""
    seconds = node.heartbeat_age_seconds
    if seconds is None:
        return None
    size, unit = next((entry for entry in UNITS if seconds >= entry[0]), UNITS[-1])
    return f"{max(seconds, 0) // size:.0f} {unit}"


def _state(node: Node) -> str:
    """Say whether it takes new sessions: off, draining, or the health that a controller saw."""
    if not node.enabled:
        return "off"
    return "draining" if node.draining else str(node.live.get("health", ""))


#: Kinds of nodes that carry calls up to a capacity.
LOADED = (NodeKind.RTP, NodeKind.MEDIA)

COLUMNS = (
    "kind",
    "name",
    "host",
    "address",
    "enabled",
    Column("state", value=_state),
    Column("weight", value=lambda node: node.weight if node.kind is NodeKind.RTP else None),
    Column("capacity", value=lambda node: node.capacity if node.kind in LOADED else None),
    Column("sessions", value=lambda node: node.live.get("sessions")),
    Column("packets_per_second", "pkt/s", value=lambda node: node.live.get("packets_per_second")),
    Column("load", value=lambda node: node.live.get("load")),
    Column("heartbeat_age", "heartbeat", value=_age),
)

weight_option = click.option(
    "--weight", type=int, help="Share of new sessions among RTP nodes of equal load, 0 to 10000; 0: none."
)
capacity_option = click.option("--capacity", type=int, help="Sessions that it may carry.")


@click.group("node")
def cli() -> None:
    """Nodes: proxies, RTP nodes, controllers and media hosts.

    A host registers its own proxy and RTP nodes when it starts; media hosts on other machines are added here.
    """


@cli.command("list")
@click.option("--kind", type=KINDS, help="Only nodes of this kind.")
@output_option
@pass_app
def list_(app: App, kind: str | None, output: str) -> None:
    """List nodes with their live figures and the age of their last heartbeat.

    JSON has the exact time and what each node tells of itself.
    """
    show(nodes.list_nodes(app.conn, kind=NodeKind(kind) if kind else None), COLUMNS, output)


@cli.command("show")
@click.argument("name")
@output_option
@pass_app
def show_(app: App, name: str, output: str) -> None:
    """Show one node.

    Whether the nodes of this host answer now, `doctor` tells.
    """
    show_one(nodes.find(app.conn, name=name), output)


@cli.command("add")
@click.argument("name")
@click.option("--kind", type=KINDS, required=True, help="What runs there.")
@click.option("--address", required=True, help="As udp:192.0.2.10:5070.")
@click.option("--host", help="Name of the machine (default: this one).")
@weight_option
@capacity_option
@pass_app
def add(app: App, name: str, kind: str, address: str, host: str | None, **more: Any) -> None:
    """Make a node known.

    A media host is then believed by the proxy's internal socket; an RTP node (any RTPProxy, by its control address)
    gets calls from now on.
    """
    node = nodes.add(
        app.conn,
        name=name,
        kind=NodeKind(kind),
        host=host or app.config.node_name,
        address=address,
        **given(more),
    )
    say(f"{node.kind} node {node.name} added at {node.address}")


@cli.command("set")
@click.argument("name")
@click.option("--address", help="As udp:192.0.2.10:5070.")
@click.option("--host", help="Name of the machine.")
@weight_option
@capacity_option
@enabled_option
@pass_app
def set_(app: App, name: str, **changes: Any) -> None:
    """Change a node; out of use it gets no new calls.

    Address and host of a node that its machine registers are set anew at the next start.
    """
    nodes.change(app.conn, name=name, **given(changes))
    say(f"node {name} changed")


@cli.command("drain")
@click.argument("name")
@pass_app
def drain(app: App, name: str) -> None:
    """Let a node finish what it carries, and give it nothing new."""
    nodes.change(app.conn, name=name, draining=True)
    say(f"node {name} takes nothing new")


@cli.command("undrain")
@click.argument("name")
@pass_app
def undrain(app: App, name: str) -> None:
    """Give a node new calls again."""
    nodes.change(app.conn, name=name, draining=False)
    say(f"node {name} takes calls again")


@cli.command("rm")
@click.argument("name")
@pass_app
def remove(app: App, name: str) -> None:
    """Forget a node.

    One that its machine registers is back at the next start there: `set --disable` lasts.
    """
    nodes.remove(app.conn, name=name)
    say(f"node {name} removed")
