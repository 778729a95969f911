"""Asks nodes for a session that is not in the map: after a restart, or when another controller made it.

RTPProxy knows a session by the tag that came first in its first U (with the suffix of the stream), so Q is sent with
both tags as the command gives them, and when the command has no suffix, also as the first stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtpproxy_ctl.commands import Query, SessionCommand
from rtpproxy_ctl.controller.ids import handle, session_id, split_tag, tag_handle
from rtpproxy_ctl.controller.nodes import Node
from rtpproxy_ctl.controller.sessions import Session, Side
from rtpproxy_ctl.protocol import is_error

#: A node that has not answered by then is taken not to know the session.
SCHEDULE = (0.1, 0.3)


def search(
    nodes: Sequence[Node], command: SessionCommand, now: float, found: Callable[[Session | None], None]
) -> None:
    """Call `found` with the session of a command's call-id and tags, None when no node knows it; once."""
    name = handle(command.call_id)
    questions = [(node, tags) for node in nodes for tags in _tags(command)]
    waiting = len(questions)
    finished = False

    def answered(node: Node, tags: tuple[str, str], text: str | None) -> None:
        nonlocal waiting, finished
        waiting -= 1
        if finished:
            return
        if text is not None and is_error(text) is None:
            finished = True
            _who_called(node, command, tags, now, found)
        elif waiting == 0:
            finished = True
            found(None)

    if not questions:
        found(None)
    for node, tags in questions:
        text = Query(name, tag_handle(tags[0]), tag_handle(tags[1])).encode()
        node.ask(text, lambda reply, node=node, tags=tags: answered(node, tags, reply), SCHEDULE)  # type: ignore[misc]


def _tags(command: SessionCommand) -> list[tuple[str, str]]:
    """Return the pairs of tags under which a node may know the session."""
    pairs = [(command.from_tag, command.to_tag)]
    if split_tag(command.from_tag)[1] == "" and not command.from_tag.endswith(";"):
        pairs.append((f"{command.from_tag};1", f"{command.to_tag};1" if command.to_tag else ""))
    return pairs


def _who_called(
    node: Node,
    command: SessionCommand,
    tags: tuple[str, str],
    now: float,
    found: Callable[[Session | None], None],
) -> None:
    """Find out which of the tags the node knows the session by: that side is the caller."""
    first, second = tags

    def answered(text: str | None) -> None:
        caller, callee = (first, second) if text is not None and is_error(text) is None else (second, first)
        bare, suffix = split_tag(caller or callee)
        other = split_tag(callee)[0] if caller else ""
        session = Session(
            session_id(command.call_id),
            handle(command.call_id),
            node.spec.name,
            now,
            Side(bare),
            Side(other),
            streams=[suffix],
            joined=bool(other),
        )
        found(session)

    node.ask(Query(handle(command.call_id), tag_handle(first)).encode(), answered, SCHEDULE)
