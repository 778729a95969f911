"""The session map: which session is on which node, and what is known of it. Pure; nothing here asks or sends.

A session is what one call-id names: one or several media streams (suffixes of the tags) between two sides. It
stays on its node for life.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from rtpproxy_ctl.commands import Notify
from rtpproxy_ctl.controller.ids import SessionId, session_id, split_tag, tag_handle

#: Address and port.
Where = tuple[str, int]


@dataclass(slots=True)
class Side:
    """One party of a session."""

    #: Its tag as the front commands give it, without suffix.
    tag: str
    #: Port of the node on which this side's packets arrive; 0: not known.
    local_port: int = 0
    codecs: tuple[int, ...] = ()
    #: Payload type of its key presses; None: not known.
    dtmf_type: int | None = None
    #: Its address is 0.0.0.0: it has no media, or puts the other on hold in the old way (RFC 2543).
    no_address: bool = False
    #: The proxy said that it put the other side on hold (RFC 3264 section 8.4).
    on_hold: bool = False
    #: A file is being played to it.
    hears_prompt: bool = False
    #: Where its node was told last that it is, by the suffix of the stream.
    told: dict[str, Where] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Tell whether this side has put the call on hold."""
        return self.on_hold or self.no_address

    def to_json(self) -> list[Any]:
        """Return it for the state log."""
        return [self.tag, self.local_port, list(self.codecs), self.dtmf_type, dict(self.told)]

    @classmethod
    def from_json(cls, row: list[Any]) -> Side:
        """Read it from the state log; raises ValueError, TypeError."""
        tag, port, codecs, dtmf_type, *more = row  # `told` came later
        return cls(
            str(tag),
            int(port),
            tuple(map(int, codecs)),
            None if dtmf_type is None else int(dtmf_type),
            told={str(suffix): (str(ip), int(at)) for suffix, (ip, at) in (more[0] if more else {}).items()},
        )


@dataclass(slots=True)
class Session:
    """One session."""

    id: SessionId
    #: Its call-id at the node.
    handle: str
    node: str
    #: Monotonic seconds.
    created: float
    #: The side whose tag came first in the first command; RTPProxy knows the session by it.
    caller: Side
    #: The other one; its tag is "" until it is known.
    callee: Side = field(default_factory=lambda: Side(""))
    #: Suffixes of the tags, one a media stream, in order of their coming.
    streams: list[str] = field(default_factory=list)
    #: L was answered with a port: media can flow both ways.
    joined: bool = False
    #: Where the asker wants to hear of it.
    notify: Notify | None = None
    #: Tags that we told the node for notifications of catch_dtmf, to those of the asker.
    dtmf_tags: dict[str, str] = field(default_factory=dict)
    #: Directions that are copied to a UDP address, by the tag that came first.
    forks: set[str] = field(default_factory=set)
    #: It is to be deleted at the node soon.
    ending: bool = False
    #: It was made by a command that no node has confirmed yet.
    unconfirmed: bool = False

    @property
    def key(self) -> str:
        """The call-id of the front."""
        return self.id.key

    @property
    def call(self) -> str:
        """X-KS-Call, or ""."""
        return self.id.call

    @property
    def stream(self) -> str:
        """The suffix of the first media stream, the audio."""
        return self.streams[0] if self.streams else ""

    def side(self, tag: str) -> Side | None:
        """Return the side that a tag names (with or without suffix)."""
        bare = split_tag(tag)[0]
        if bare == self.caller.tag:
            return self.caller
        return self.callee if self.callee.tag == bare else None

    def name_of(self, side: Side) -> str:
        """Return "caller" or "callee"."""
        return "caller" if side is self.caller else "callee"

    def order(self, first_tag: str, second_tag: str) -> tuple[Side, Side]:
        """Return the sides in the order of the tags of a U or L."""
        bare, other = split_tag(first_tag)[0], split_tag(second_tag)[0]
        if bare != self.caller.tag and other == self.caller.tag:
            return self.callee, self.caller
        return self.caller, self.callee

    def meet(self, first_tag: str, second_tag: str) -> tuple[Side, Side]:
        """Note the tags of a U or L; return the sides in their order.

        A further second tag (a fork, a redial of the other side) takes the place of the one before, as at the node.
        """
        (bare, suffix), other = split_tag(first_tag), split_tag(second_tag)[0]
        if suffix not in self.streams:
            self.streams.append(suffix)
        first, second = self.order(first_tag, second_tag)
        if first is self.callee:
            self.callee.tag = bare
        elif other:
            self.callee.tag = other
        return first, second

    def node_tags(self) -> tuple[str, str]:
        """Return the tags of both sides for a command about the first stream at the node."""
        callee = tag_handle(self.callee.tag + self.stream) if self.callee.tag else ""
        return tag_handle(self.caller.tag + self.stream), callee

    def to_json(self) -> dict[str, Any]:
        """Return what a restart needs, for the state log."""
        return {
            "k": self.key,
            "h": self.handle,
            "n": self.node,
            "a": self.caller.to_json(),
            "b": self.callee.to_json(),
            "s": self.streams,
            "j": self.joined,
            "w": [self.notify.socket, self.notify.tag] if self.notify else None,
            "t": self.dtmf_tags,
            "e": self.ending,
        }

    @classmethod
    def from_json(cls, row: dict[str, Any], now: float) -> Session:
        """Read it from the state log; raises KeyError, ValueError, TypeError."""
        return cls(
            session_id(row["k"]),
            row["h"],
            row["n"],
            now,
            Side.from_json(row["a"]),
            Side.from_json(row["b"]),
            [str(suffix) for suffix in row["s"]],
            bool(row["j"]),
            Notify(*row["w"]) if row["w"] else None,
            dict(row["t"]),
            ending=bool(row["e"]),
        )


class Observer(Protocol):
    """Who wants to know what happens to sessions: recorder and state log."""

    def session_changed(self, session: Session) -> None:
        """A session was made, or something about it changed."""

    def session_ended(self, session: Session, reason: str) -> None:
        """A session is over: ended, node_dead or timeout."""


class SessionMap:
    """All sessions by call-id, by call and by node."""

    def __init__(self) -> None:
        self._by_key: dict[str, Session] = {}
        self._by_handle: dict[str, Session] = {}
        self._by_call: dict[str, dict[str, Session]] = {}
        self._by_node: dict[str, dict[str, Session]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_key.values()))

    def get(self, key: str) -> Session | None:
        """Return the session of a call-id."""
        return self._by_key.get(key)

    def by_handle(self, name: str) -> Session | None:
        """Return the session that a node knows by this name."""
        return self._by_handle.get(name)

    def of_call(self, call: str) -> list[Session]:
        """Return the sessions of a call, oldest first."""
        return list(self._by_call.get(call, {}).values())

    def of_node(self, node: str) -> list[Session]:
        """Return the sessions on a node."""
        return list(self._by_node.get(node, {}).values())

    def count(self, node: str) -> int:
        """Return how many sessions we have put on a node."""
        return len(self._by_node.get(node, {}))

    def add(self, session: Session) -> None:
        """Add a session."""
        self._by_key[session.key] = session
        self._by_handle[session.handle] = session
        self._by_node.setdefault(session.node, {})[session.key] = session
        if session.call:
            self._by_call.setdefault(session.call, {})[session.key] = session

    def move(self, session: Session, node: str) -> None:
        """Put a session that no node has confirmed on another one."""
        self._drop(self._by_node, session.node, session)
        session.node = node
        self._by_node.setdefault(node, {})[session.key] = session

    def remove(self, session: Session) -> None:
        """Forget a session; nothing happens when it was forgotten, or another took its call-id."""
        if self._by_key.get(session.key) is not session:
            return
        del self._by_key[session.key]
        self._by_handle.pop(session.handle, None)
        self._drop(self._by_node, session.node, session)
        if session.call:
            self._drop(self._by_call, session.call, session)

    @staticmethod
    def _drop(index: dict[str, dict[str, Session]], name: str, session: Session) -> None:
        inside = index.get(name, {})
        inside.pop(session.key, None)
        if not inside:
            index.pop(name, None)


def dtmf_type_of(codecs: Iterable[int]) -> int | None:
    """Guess the payload type of key presses (RFC 4733) where only the numbers are told: 101, else the first dynamic."""
    dynamic = [number for number in codecs if number >= 96]
    return 101 if 101 in dynamic else dynamic[0] if dynamic else None
