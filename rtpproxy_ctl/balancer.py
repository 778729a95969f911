"""Decides which node gets a new session. Pure: the same facts give the same order, and nothing is remembered.

A node's load is the larger of its sessions against its capacity and of its packets against what so many sessions
send; packets that it has to discard make it look fuller. Nodes are filled so that load divided by weight grows
evenly: with equal capacities the sessions spread by weight.

First come healthy nodes with room on the same host, then those on other hosts, then nodes on probation or suspected
with room, and only when nobody has room the full ones: a call in poor quality is better than none, and the node
itself refuses when its ports are used up. Never: nodes that are out of use, draining, of weight 0, dead, or without a
capability that the session needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

#: Packets a second of one call: 20 ms packets both ways.
PACKETS_PER_SESSION = 100.0
#: A share of discarded packets counts ten times, and for at most this much load.
DISCARD_FACTOR, MOST_DISCARD_LOAD = 10.0, 0.5


class Health(StrEnum):
    """What is known of a node (controller/health.py has the transitions)."""

    #: It was not asked yet.
    NEW = "new"
    UP = "up"
    #: It did not answer in time, once.
    SUSPECT = "suspect"
    #: It does not answer; its sessions may still live.
    DOWN = "down"
    #: Its process is gone, and its sessions with it.
    GONE = "gone"
    #: It answers again, and has to go on doing so for a while.
    PROBATION = "probation"


ALIVE = frozenset({Health.UP, Health.SUSPECT, Health.PROBATION})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What the choice needs to know of a node."""

    name: str
    #: Name of its machine.
    host: str
    health: Health
    enabled: bool = True
    draining: bool = False
    weight: int = 100
    #: Sessions that it may carry.
    capacity: int = 300
    #: Sessions that it carries, those given to it since its last report included.
    sessions: int = 0
    #: Packets that arrive a second, averaged.
    packets_per_second: float = 0.0
    #: Share of the packets of the last report that it had to discard, 0 to 1.
    discarded: float = 0.0
    capabilities: frozenset[str] = frozenset()

    @property
    def load(self) -> float:
        """Share of the capacity that is used; above 1: more than it should carry."""
        packets = self.packets_per_second / PACKETS_PER_SESSION
        share = max(self.sessions, packets) / max(self.capacity, 1)
        return share + min(self.discarded * DISCARD_FACTOR, MOST_DISCARD_LOAD)

    @property
    def has_room(self) -> bool:
        """Tell whether one more session stays within the capacity."""
        return self.sessions < self.capacity


def may_take(node: NodeFacts, needs: frozenset[str] = frozenset()) -> bool:
    """Tell whether a node may get a new session at all."""
    usable = node.enabled and not node.draining and node.weight > 0
    return usable and node.health in ALIVE and needs <= node.capabilities


def rank(
    nodes: Iterable[NodeFacts],
    *,
    host: str = "",
    needs: frozenset[str] = frozenset(),
    exclude: frozenset[str] = frozenset(),
) -> list[NodeFacts]:
    """Return the nodes to try for a new session, best first; empty when none may take it.

    host: nodes of this machine come first. needs: capabilities without which a node is of no use. exclude: names
    that were tried already.
    """
    able = [node for node in nodes if node.name not in exclude and may_take(node, needs)]
    return sorted(
        able, key=lambda node: (_tier(node, host), (node.load + _step(node)) / node.weight, node.name)
    )


def _tier(node: NodeFacts, host: str) -> int:
    if not node.has_room:
        return 3
    if node.health is not Health.UP:
        return 2
    return 0 if node.host == host or not host else 1


def _step(node: NodeFacts) -> float:
    """What one more session adds: so an empty large node comes before an empty small one."""
    return 1 / max(node.capacity, 1)
