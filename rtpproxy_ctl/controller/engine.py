"""What the controller does with each command: finds or places the session, asks its node, answers. No socket here.

Everything that happens outside is handed in (nodes, timers, journal, state log, recorder), so the whole of it runs in a
test without a network. A reply is given exactly once for each command, whatever the nodes do.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from rtpproxy_ctl import commands as c
from rtpproxy_ctl.balancer import ALIVE, rank
from rtpproxy_ctl.controller import media_report
from rtpproxy_ctl.controller.ids import handle, session_id, split_tag, tag_handle
from rtpproxy_ctl.controller.moves import Moves, count_of
from rtpproxy_ctl.controller.nodes import NOTIFY, RECORD, SINGLE_SHOT, Done, Node
from rtpproxy_ctl.controller.replies import add_up, is_udp_target, nothing, numeric, ports_of
from rtpproxy_ctl.controller.search import search
from rtpproxy_ctl.controller.sessions import Observer, Session, SessionMap, Side, Where, dtmf_type_of
from rtpproxy_ctl.controller.timers import Timers
from rtpproxy_ctl.controller.whereabouts import is_repeat, note_told, packets_question, told
from rtpproxy_ctl.errors import BadCommand, ErrorCode
from rtpproxy_ctl.protocol import is_error, parse_command

log = logging.getLogger("rtpc")

Reply = Callable[[str], None]

#: A session is deleted so long after the front asked for it: what is under way still gets into the recording.
DELETE_SECONDS = 0.1
#: When a command for a new session is repeated and given up at one node: two nodes fit into Kamailio's second.
NEW_SCHEDULE = (0.1, 0.2, 0.35)
#: The same for the question whether a side was heard; U or L come after it, within that second too.
HEARD_SCHEDULE = (0.1, 0.2)
#: Refusals of a node after which another one is tried: no ports, no memory, overloaded, draining.
ELSEWHERE = frozenset({71, 72, *range(81, 90), 98, 99})
#: Searches under way at once; what comes beyond is refused.
MOST_SEARCHES = 200

UNKNOWN_SESSION = f"E{ErrorCode.UNKNOWN_SESSION}"
OVERLOADED = f"E{ErrorCode.OVERLOADED}"
PLAYER_FAILED = f"E{ErrorCode.PLAYER_FAILED}"

#: Capabilities that every node has that we work with (it answers V).
COMMON_CAPABILITIES = frozenset({20040107, 20050322, 20060704, 20071116, 20071218, 20080403, 20081102})
#: Those that only nodes which have told so have.
NODE_CAPABILITIES = {20081224: NOTIFY, c.SINGLE_SHOT_CAPABILITY: SINGLE_SHOT}


class Engine:
    """The controller without its sockets."""

    def __init__(
        self,
        *,
        host: str,
        timers: Timers,
        nodes: Mapping[str, Node],
        event: Callable[..., None],
        observers: Sequence[Observer] = (),
        notify_socket: str = "",
        prompt_roots: Iterable[str] = (),
    ) -> None:
        """event: journals something, as JournalWriter.event. prompt_roots: folders from which P may play."""
        self.sessions = SessionMap()
        self.nodes = nodes
        self.host = host
        self.observers = list(observers)
        #: Commands by letter, and replies by "ok" or error number, for the metrics.
        self.commands: Counter[str] = Counter()
        self.errors: Counter[int] = Counter()
        self.placed: Counter[str] = Counter()
        #: Calls whose sessions should be on a node that can record.
        self.record_wanted: Callable[[str], bool] = lambda call: False
        #: Recording commands of the front, for the recorder.
        self.on_record: Callable[[Session, bool, Reply], None] = lambda session, on, reply: reply("0")
        #: Calls the function when nothing that a session says will miss its recording.
        self.when_recorded: Callable[[Session, Callable[[], None]], None] = lambda session, go: go()
        #: A session was lost with its node.
        self.on_lost: Callable[[Session, str], None] = lambda session, node: None
        #: How long one playing of a prompt takes, in seconds; 0: not known.
        self.prompt_seconds: Callable[[str, str, Session], float] = lambda path, codecs, session: 0.0
        self.moves = Moves(timers, self._ask_live)
        self._timers = timers
        self._event = event
        self._notify_socket = notify_socket
        self._prompt_roots = [PurePosixPath(root) for root in prompt_roots]
        self._searches = 0
        #: Sessions that a silent node may have made or kept against our wish: (handle, tag) by node.
        self._orphans: dict[str, list[tuple[str, str]]] = {}
        self._handlers: dict[type, Callable[[Any, Reply], None]] = {
            c.Version: lambda _, reply: reply(str(c.PROTOCOL_VERSION)),
            c.HasCapability: self._has_capability,
            c.Counters: self._counters,
            c.Info: self._info,
            c.DeleteAll: self._delete_all,
            c.Update: self._update,
            c.Lookup: self._lookup,
            c.Delete: self._delete,
            c.Play: self._play,
            c.StopPlay: self._stop_play,
            c.Record: self._record,
            c.Copy: self._copy,
            c.StopRecord: self._stop_record,
            c.Query: self._query,
        }

    def handle(self, line: str, reply: Reply) -> None:
        """Serve a command line; `reply` gets the text of the answer, once, now or later."""
        try:
            command = parse_command(line)
        except BadCommand as error:
            self.errors[error.number] += 1
            reply(f"E{error.number}")
            return
        self.commands[type(command).__name__] += 1
        self._handlers[type(command)](command, reply)

    def health_changed(self, node: str, lost: bool) -> None:
        """A node is in another state; lost: its sessions are gone."""
        if lost:
            self._orphans.pop(node, None)
            for session in self.sessions.of_node(node):
                self._lose(session, node)
        elif self.nodes[node].health in ALIVE:
            for name, tag in self._orphans.pop(node, ()):
                self.nodes[node].ask(f"D {name} {tag}", nothing)

    def set_hold(self, call: str, side_name: str, hold: bool) -> int:
        """Note that a side has put its call on hold, or taken it back; return how many sessions that concerned."""
        sessions = self.sessions.of_call(call)
        for session in sessions:
            side = session.callee if side_name == "callee" else session.caller
            if side.on_hold is not hold:
                side.on_hold = hold
                self._changed(session)
        return len(sessions)

    def _changed(self, session: Session) -> None:
        for observer in self.observers:
            observer.session_changed(session)

    def adopt(self, session: Session) -> None:
        """Take over a session that the state log or a node told of."""
        self.sessions.add(session)
        if session.ending:
            self._timers.callLater(DELETE_SECONDS, self._end, session)

    # ------------------------------------------------------------------------------------- U and L

    def _update(self, command: c.Update, reply: Reply) -> None:
        session = self.sessions.get(command.call_id)
        if session is not None and session.ending:
            self._end(session)
            session = None
        if session is not None:
            self._ask_media(session, command, reply, None)
        elif command.to_tag:
            # A re-INVITE of a session that another controller made, or a media host's first command.
            self._find(command, lambda found: self._update_found(command, found, reply), reply)
        else:
            self._place(command, reply)

    def _update_found(self, command: c.Update, found: Session | None, reply: Reply) -> None:
        if found is not None:
            self._ask_media(found, command, reply, None)
        else:
            self._place(command, reply)

    def _lookup(self, command: c.Lookup, reply: Reply) -> None:
        self._with_session(command, reply, lambda session: self._ask_media(session, command, reply, None))

    def _place(self, command: c.Update, reply: Reply) -> None:
        """Begin a new session on the best node."""
        facts = [node.facts() for node in self.nodes.values()]
        needs = frozenset({SINGLE_SHOT} if command.more else ()) | (
            {NOTIFY} if command.notify else frozenset()
        )
        id_ = session_id(command.call_id)
        order = rank(facts, host=self.host, needs=needs)
        if self.record_wanted(id_.call):
            order.sort(key=lambda node: RECORD not in node.capabilities)
        if not order:
            self._refuse(reply, ErrorCode.OVERLOADED)
            return
        tag, suffix = split_tag(command.from_tag)
        session = Session(
            id_,
            handle(command.call_id),
            order[0].name,
            self._timers.seconds(),
            Side(tag),
            streams=[suffix],
            unconfirmed=True,
        )
        self.sessions.add(session)
        self._ask_media(session, command, reply, [node.name for node in order[1:]])

    def _ask_media(
        self, session: Session, command: c.Update | c.Lookup, reply: Reply, others: list[str] | None
    ) -> None:
        """Send U or L to the node of the session; others: nodes to try next, None where it must stay."""
        node = self.nodes.get(session.node)
        if node is None:
            self._refuse(reply, ErrorCode.UNKNOWN_SESSION)
            return
        if session.unconfirmed:
            node.took_session()
        if session.joined and is_repeat(session, command):
            question = packets_question(session, command)
            node.ask(question, partial(self._tell_again, session, command, reply), HEARD_SCHEDULE)
        else:  # before the first L nobody is heard
            schedule = NEW_SCHEDULE if others else None
            self._tell(session, command, reply, others, schedule, heard=False)

    def _tell_again(
        self, session: Session, command: c.Update | c.Lookup, reply: Reply, text: str | None
    ) -> None:
        packets = count_of(text)
        if self._is_live(session):
            schedule = NEW_SCHEDULE if packets is None else None
            self._tell(session, command, reply, None, schedule, heard=packets != 0)
        else:
            self._refuse(reply, ErrorCode.UNKNOWN_SESSION)

    def _tell(
        self,
        session: Session,
        command: c.Update | c.Lookup,
        reply: Reply,
        others: list[str] | None,
        schedule: Sequence[float] | None,
        *,
        heard: bool,
    ) -> None:
        node = self.nodes[session.node]
        sent = self._for_node(session, command, node, told(session, command, heard=heard))
        node.ask(
            sent.encode(),
            lambda answer: self._media_answered(session, command, sent, reply, others, answer),
            schedule,
        )

    def _is_live(self, session: Session) -> bool:
        known = self.sessions.get(session.key) is session
        return known and not session.ending and session.node in self.nodes

    def _ask_live(self, session: Session, text: str, done: Done) -> bool:
        if self._is_live(session):
            self.nodes[session.node].ask(text, done)
            return True
        return False

    def _media_answered(
        self,
        session: Session,
        command: c.Update | c.Lookup,
        sent: c.Update | c.Lookup,
        reply: Reply,
        others: list[str] | None,
        answer: str | None,
    ) -> None:
        number = None if answer is None else is_error(answer)
        ports = ports_of(answer) if answer is not None and number is None else None
        if ports is None or ports.port == 0:
            self._media_refused(session, command, reply, others, answer, number)
            return
        is_move = note_told(session, command, (sent.address, sent.port))
        self._note_media(session, command, ports)
        if is_move or self.moves:
            self.moves.told(session, command, sent, is_move=is_move)
        if not ports.address:
            ports = replace(ports, address=self.nodes[session.node].spec.address[0])
        if session.joined and session.call and self.record_wanted(session.call):
            # The phones speak as soon as they know this answer: the copies are ordered, and taken, before.
            self._changed(session)
            self.when_recorded(session, partial(reply, ports.encode()))
            return
        reply(ports.encode())
        self._changed(session)

    def _media_refused(
        self,
        session: Session,
        command: c.Update | c.Lookup,
        reply: Reply,
        others: list[str] | None,
        answer: str | None,
        number: int | None,
    ) -> None:
        """A node did not answer U or L, refused it or lied: try the next one, or tell the front."""
        said = "nothing" if answer is None else repr(answer[:100])
        log.warning("node %s answered %s to %s", session.node, said, type(command).__name__)
        if others is not None and session.unconfirmed and (number is None or number in ELSEWHERE):
            if answer is None:  # it may be slow, and have made the session all the same
                self._orphans.setdefault(session.node, []).append((session.handle, self._first_tag(session)))
            if others:
                self.sessions.move(session, others[0])
                self._ask_media(session, command, reply, others[1:])
                return
        if session.unconfirmed:
            self.sessions.remove(session)
        if isinstance(command, c.Lookup) and answer is not None and number is None:
            number = ErrorCode.UNKNOWN_SESSION  # L's own answer is port 0
        self._refuse(reply, ErrorCode.OVERLOADED if number is None else number)

    def _for_node(
        self, session: Session, command: c.Update | c.Lookup, node: Node, where: Where
    ) -> c.Update | c.Lookup:
        """Return the command as the node gets it: hashes for ids, addresses that need no resolving."""
        more = tuple(self._sub_for_node(session, sub) for sub in command.more) if command.more else ()
        changes: dict[str, Any] = {
            "call_id": session.handle,
            "address": where[0],
            "port": where[1],
            "from_tag": tag_handle(command.from_tag),
            "to_tag": tag_handle(command.to_tag),
            "more": more,
        }
        if isinstance(command, c.Update):
            if command.notify is not None:
                session.notify = command.notify
            own = self._notify_socket if NOTIFY in node.capabilities else ""
            changes["notify"] = c.Notify(own, session.handle) if own else None
        return replace(command, **changes)

    def _sub_for_node(self, session: Session, sub: c.SubCommand) -> c.SubCommand:
        if isinstance(sub, c.OtherSide):
            return replace(sub, address=numeric(sub.address))
        if not sub.arguments:
            return sub
        known = {told: own for own, told in session.dtmf_tags.items()}
        own = known.get(sub.arguments[0]) or f"{session.handle}.{len(session.dtmf_tags)}"
        session.dtmf_tags[own] = sub.arguments[0]
        return replace(sub, arguments=(own, *sub.arguments[1:]))

    def _note_media(self, session: Session, command: c.Update | c.Lookup, ports: c.Ports) -> None:
        """Keep what a successful U or L has set."""
        if session.unconfirmed:
            session.unconfirmed = False
            self.placed[session.node] += 1
        first, second = session.meet(command.from_tag, command.to_tag)
        if split_tag(command.from_tag)[1] != session.stream:
            return
        if isinstance(command, c.Update):
            second.local_port = ports.port
            self._note_side(session, first, command.address, command.media)
            for sub, answer in zip(command.more, ports.more, strict=False):
                told = ports_of(answer)
                if isinstance(sub, c.OtherSide) and told is not None:
                    first.local_port = told.port
                    self._note_side(session, second, sub.address, sub.media)
                    session.joined = True
        else:
            first.local_port = ports.port
            self._note_side(session, second, command.address, command.media)
            session.joined = True

    def _note_side(self, session: Session, side: Side, address: str, media: c.Media) -> None:
        if media.codecs:
            side.codecs, side.dtmf_type = media.codecs, dtmf_type_of(media.codecs)
        side.no_address = address in ("0.0.0.0", "::")

    # ----------------------------------------------------------------------------- the end of a session

    def _delete(self, command: c.Delete, reply: Reply) -> None:
        session = self.sessions.get(command.call_id)
        if session is not None:
            self._delete_found(command, session, reply)
        elif command.to_tag:
            self._find(command, lambda found: self._delete_found(command, found, reply), reply)
        else:  # a call that had no relay, mostly
            self._refuse(reply, ErrorCode.UNKNOWN_SESSION)

    def _delete_found(self, command: c.Delete, session: Session | None, reply: Reply) -> None:
        if session is None:
            self._refuse(reply, ErrorCode.UNKNOWN_SESSION)
        elif command.weak:
            self._forward(session, command, reply)
        else:
            reply("0")
            self.end_later(session)

    def end_later(self, session: Session) -> None:
        """End a session after DELETE_SECONDS."""
        if not session.ending:
            session.ending = True
            self._changed(session)
            self._timers.callLater(DELETE_SECONDS, self._end, session)

    def _end(self, session: Session) -> None:
        """Read what the session has counted, and delete it at its node."""
        if self.sessions.get(session.key) is not session:
            return
        self.sessions.remove(session)
        node = self.nodes.get(session.node)
        if node is None:
            self._ended(session, "ended")
            return
        report = media_report.Collector(session, self._event, node.spec.name)
        for text, done in report.questions():
            node.ask(text, done)
        first, second = session.node_tags()
        bare = split_tag(first)[0], split_tag(second)[0]
        node.ask(
            " ".join(("D", session.handle, *filter(None, bare))), lambda text: self._deleted(session, text)
        )

    def _deleted(self, session: Session, text: str | None) -> None:
        if text is None:
            self._orphans.setdefault(session.node, []).append((session.handle, self._first_tag(session)))
        self._ended(session, "ended")

    def _ended(self, session: Session, reason: str) -> None:
        for observer in self.observers:
            observer.session_ended(session, reason)

    def _lose(self, session: Session, node: str) -> None:
        """The node of a session is gone, and the session with it."""
        self.sessions.remove(session)
        self._ended(session, "node_dead")
        if not session.unconfirmed and not session.ending:
            self.on_lost(session, node)

    def timed_out(self, session: Session) -> None:
        """A node has given a session up, because neither side sent anything."""
        self.sessions.remove(session)
        self._ended(session, "timeout")

    def _first_tag(self, session: Session) -> str:
        return split_tag(session.node_tags()[0])[0]

    def _delete_all(self, _: c.DeleteAll, reply: Reply) -> None:
        for session in self.sessions:
            self.end_later(session)
        reply("0")

    # ----------------------------------------------------------------------- commands of one session

    def _play(self, command: c.Play, reply: Reply) -> None:
        if not self._is_prompt(command.path):
            self._refuse(reply, ErrorCode.PLAYER_FAILED)
            return
        self._with_session(command, reply, lambda session: self._prompt(session, command, reply, on=True))

    def _stop_play(self, command: c.StopPlay, reply: Reply) -> None:
        self._with_session(command, reply, lambda session: self._prompt(session, command, reply, on=False))

    def _prompt(self, session: Session, command: c.Play | c.StopPlay, reply: Reply, *, on: bool) -> None:
        side = session.side(command.from_tag)

        def done(text: str) -> None:
            if side is not None and text == "0":
                self._hears_prompt(session, side, on)
                if isinstance(command, c.Play) and command.count > 0:
                    seconds = command.count * self.prompt_seconds(command.path, command.codecs, session)
                    if seconds > 0:
                        self._timers.callLater(seconds, self._hears_prompt, session, side, False)
            reply(text)

        self._forward(session, command, done)

    def _hears_prompt(self, session: Session, side: Side, on: bool) -> None:
        if side.hears_prompt is not on:
            side.hears_prompt = on
            self._changed(session)

    def _is_prompt(self, path: str) -> bool:
        """Tell whether a path is one of a compiled prompt: it must not come from anywhere else."""
        pure = PurePosixPath(path)
        return (
            pure.is_absolute()
            and ".." not in pure.parts
            and any(map(pure.is_relative_to, self._prompt_roots))
        )

    def _record(self, command: c.Record, reply: Reply) -> None:
        self._with_session(command, reply, lambda session: self.on_record(session, True, reply))

    def _copy(self, command: c.Copy, reply: Reply) -> None:
        if not command.target.startswith("udp:"):  # names of files are ours alone
            self._with_session(command, reply, lambda session: self.on_record(session, True, reply))
        elif is_udp_target(command.target):
            self._with_session(command, reply, lambda session: self._fork(session, command, reply))
        else:
            self._refuse(reply, ErrorCode.COPY_FAILED)

    def _fork(self, session: Session, command: c.Copy, reply: Reply) -> None:
        """Copy a side; one that the node refuses (it is recorded) is none, and N does not end it."""

        def answered(text: str) -> None:
            if is_error(text) is None:
                session.forks.add(command.from_tag)
            reply(text)

        self._forward(session, command, answered)

    def _stop_record(self, command: c.StopRecord, reply: Reply) -> None:
        self._with_session(command, reply, lambda session: self._stop_recording(session, command, reply))

    def _stop_recording(self, session: Session, command: c.StopRecord, reply: Reply) -> None:
        if command.from_tag in session.forks:
            session.forks.discard(command.from_tag)
            self._forward(session, command, reply)
        else:
            self.on_record(session, False, reply)

    def _query(self, command: c.Query, reply: Reply) -> None:
        self._with_session(command, reply, lambda session: self._forward(session, command, reply))

    def _forward(self, session: Session, command: c.SessionCommand, reply: Reply) -> None:
        """Send a command of a session to its node, ids translated, and hand the answer back."""
        node = self.nodes.get(session.node)
        if node is None:
            self._refuse(reply, ErrorCode.UNKNOWN_SESSION)
            return
        translated = replace(
            command,
            call_id=session.handle,
            from_tag=tag_handle(command.from_tag),
            to_tag=tag_handle(command.to_tag),
        )

        node.ask(translated.encode(), lambda text: self._reply(text, reply))

    # ---------------------------------------------------------------------------------- finding sessions

    def _with_session(self, command: c.SessionCommand, reply: Reply, use: Callable[[Session], None]) -> None:
        session = self.sessions.get(command.call_id)
        if session is not None:
            if session.ending:
                self._refuse(reply, ErrorCode.UNKNOWN_SESSION)
            else:
                use(session)
            return

        def found(other: Session | None) -> None:
            if other is None:
                self._refuse(reply, ErrorCode.UNKNOWN_SESSION)
            else:
                use(other)

        self._find(command, found, reply)

    def _find(self, command: c.SessionCommand, found: Callable[[Session | None], None], reply: Reply) -> None:
        """Ask all nodes for a session that another controller, or an earlier life of this one, has made."""
        if self._searches >= MOST_SEARCHES:
            self._refuse(reply, ErrorCode.OVERLOADED)
            return
        self._searches += 1

        def finished(session: Session | None) -> None:
            self._searches -= 1
            known = self.sessions.get(command.call_id)  # another command may have found it meanwhile
            if known is None and session is not None:
                self.sessions.add(session)
                known = session
                self._event("rtp.session_found", call=session.call or None, node=session.node)
            found(known)

        search(self._alive(), command, self._timers.seconds(), finished)

    # --------------------------------------------------------------------------------- the whole system

    def _has_capability(self, command: c.HasCapability, reply: Reply) -> None:
        wanted = NODE_CAPABILITIES.get(command.capability)
        able = wanted is not None and any(wanted in node.facts().capabilities for node in self._alive())
        reply("1" if able or command.capability in COMMON_CAPABILITIES else "0")

    def _counters(self, command: c.Counters, reply: Reply) -> None:
        add_up(self._alive(), command, lambda text: self._reply(text, reply))

    def _alive(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.health in ALIVE]

    def _info(self, _: c.Info, reply: Reply) -> None:
        reply(
            f"sessions created: {sum(self.placed.values())}\nactive sessions: {len(self.sessions)}\n"
            f"active streams: {2 * sum(len(session.streams) for session in self.sessions)}"
        )

    def _reply(self, text: str | None, reply: Reply) -> None:
        """Hand on what a node answered; None: it did not."""
        number = ErrorCode.OVERLOADED if text is None else is_error(text)
        if number is None:
            reply(text or "")
        else:
            self._refuse(reply, number)

    def _refuse(self, reply: Reply, number: int) -> None:
        self.errors[int(number)] += 1
        reply(f"E{int(number)}")
