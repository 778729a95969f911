"""Records calls: starts, pauses, resumes and stops the copies at the nodes, and writes the manifests.

A recording follows what is wanted: `_drive` looks what is and what is wanted (recording.py) and takes one step, whose
end calls it again. So orders may come at any time and in any order. A request for a call outlives its sessions: a later
session of the same call (another node, a media host) is recorded too, until somebody stops it or the call is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from rtpproxy_ctl.commands import Copy, StopRecord
from rtpproxy_ctl.controller.manifest import Manifest
from rtpproxy_ctl.controller.nodes import Node
from rtpproxy_ctl.controller.recording import Move, Recording, RecordingState, Request
from rtpproxy_ctl.controller.sessions import Session, SessionMap, Side

log = logging.getLogger("rtpc")

#: A request waits so long for the first session of its call, and after the last one.
REQUEST_SECONDS = 180.0
#: How often the disk is looked at while something is recorded.
LOOK_SECONDS = 1.0
#: An answer waits so long, at most, for its recording to begin: a call is worth more than its first words on disk.
BEGIN_SECONDS = 0.3
#: Reply of a node that copies this direction already: another controller records the session.
ALREADY_COPIED = "E65"


class Recorder:
    """All recordings of this controller."""

    def __init__(
        self,
        *,
        sessions: SessionMap,
        nodes: Mapping[str, Node],
        timers: Any,
        event: Callable[..., None],
        new_id: Callable[[], str],
        manifest: Callable[[str], Manifest],
        host: str,
        free_bytes: Callable[[PurePath], int],
        min_free_bytes: int,
        save: Callable[[str, str, dict[str, Any] | None], None],
    ) -> None:
        """new_id: makes a UUIDv7. manifest: opens that of an id. save: puts (kind, key, value) into the state log."""
        self._sessions, self._nodes, self._timers, self._event = sessions, nodes, timers, event
        self._new_id, self._open_manifest, self._host = new_id, manifest, host
        self._free_bytes, self._min_free_bytes, self._save = free_bytes, min_free_bytes, save
        self._recordings: dict[str, Recording] = {}
        self._manifests: dict[str, Manifest] = {}
        self._requests: dict[str, tuple[Request, float]] = {}
        self._disk_full = False
        self._looking = False
        #: Who waits until nothing is under way any more for some recordings.
        self._waiting: list[tuple[set[str], Callable[[], None]]] = []
        self.started = self.failed = 0

    # ---- orders

    def start(self, request: Request) -> list[str]:
        """Record a call: its sessions now, and those that come; return the ids of the recordings that run."""
        self._remember(request)
        for session in self._sessions.of_call(request.call):
            self._begin(session, request)
        for recording in self._of_call(request.call):
            self._want(recording, RecordingState.RUNNING, request.by)
        return [recording.recording_id for recording in self._of_call(request.call)]

    def stop(self, call: str, by: str = "") -> list[str]:
        """End the recordings of a call, and forget that they were wanted."""
        self._forget(call)
        return self._order(call, RecordingState.STOPPED, by)

    def pause(self, call: str, by: str = "") -> list[str]:
        """Write nothing from now on; the gap is marked."""
        return self._order(call, RecordingState.PAUSED, by)

    def resume(self, call: str, by: str = "") -> list[str]:
        """Go on, in a new segment."""
        return self._order(call, RecordingState.RUNNING, by)

    def when_settled(self, ids: list[str], done: Callable[[], None]) -> None:
        """Call `done` when the nodes have confirmed, or refused, what was ordered of these recordings."""
        self._waiting.append((set(ids), done))
        self._settle()

    def when_begun(self, session: Session, go: Callable[[], None]) -> None:
        """Call `go` once: when nothing is under way for the recording of a session, or after BEGIN_SECONDS."""
        recording = self._recordings.get(session.key)
        if recording is None or not recording.busy:
            go()
            return
        waiting = [go]

        def once() -> None:
            if waiting:
                waiting.pop()()

        self._timers.callLater(BEGIN_SECONDS, once)
        self.when_settled([recording.recording_id], once)

    def _settle(self) -> None:
        moving = {
            each.recording_id
            for each in self._recordings.values()
            if each.busy or each.move is not Move.NOTHING
        }
        ready = [done for ids, done in self._waiting if not ids & moving]
        self._waiting = [(ids, done) for ids, done in self._waiting if ids & moving]
        for done in ready:
            done()

    def is_wanted(self, call: str) -> bool:
        """Tell whether a call is to be recorded."""
        return call in self._requests

    def order_session(self, session: Session, on: bool) -> list[str]:
        """Record a session, or stop, by a command of the front; return the ids of its recordings."""
        if on:
            self._begin(session, Request(session.call, "api"))
        elif session.key in self._recordings:
            self._want(self._recordings[session.key], RecordingState.STOPPED, "api")
        return [self._recordings[session.key].recording_id] if session.key in self._recordings else []

    def running(self) -> list[Recording]:
        """Return the recordings that are not over."""
        return list(self._recordings.values())

    # ---- what happens to sessions

    def session_changed(self, session: Session) -> None:
        """A session was made or changed: begin its recording, or tell the manifest."""
        recording = self._recordings.get(session.key)
        if recording is None:
            wanted = self._requests.get(session.call) if session.call else None
            if wanted is not None:
                self._begin(session, wanted[0])
        else:
            self._tell_sides(recording, session)

    def session_ended(self, session: Session, reason: str) -> None:
        """A session is over, and its recording with it."""
        recording = self._recordings.get(session.key)
        if recording is not None:
            recording.stop_reason = "node_dead" if reason == "node_dead" else "ended"
            recording.state = recording.wanted = RecordingState.STOPPED
            self._finish(recording)
        if session.call in self._requests:
            self._remember(self._requests[session.call][0])

    def restore(self, recording: Recording) -> None:
        """Go on with a recording that an earlier life of the controller began."""
        session = self._sessions.get(recording.session_key)
        self._recordings[recording.session_key] = recording
        self._manifests[recording.recording_id] = self._open_manifest(recording.recording_id)
        if session is None:
            recording.stop_reason = "controller_restart"
            recording.state = recording.wanted = RecordingState.STOPPED
            self._finish(recording)
            return
        if recording.state is not RecordingState.RUNNING:
            # A C may have been under way: end it, so that the next one is not refused.
            first, second = session.node_tags()
            for tags in ((first, second), (second, first)):
                self._nodes[session.node].ask(StopRecord(session.handle, *tags).encode(), lambda _: None)
        self._drive(recording)
        self._look_later()

    def restore_request(self, request: Request) -> None:
        """Go on waiting for a call that an earlier life of the controller was told to record."""
        self._remember(request)

    # ---- requests

    def _remember(self, request: Request) -> None:
        until = self._timers.seconds() + REQUEST_SECONDS
        if request.call not in self._requests:
            self._timers.callLater(REQUEST_SECONDS, self._expire, request.call)
            self._save("request", request.call, request.to_json())
        self._requests[request.call] = (request, until)

    def _expire(self, call: str) -> None:
        if call not in self._requests:
            return
        left = self._requests[call][1] - self._timers.seconds()
        if self._sessions.of_call(call):
            left = max(left, REQUEST_SECONDS)
        if left > 0:
            self._timers.callLater(left, self._expire, call)
        else:
            self._forget(call)

    def _forget(self, call: str) -> None:
        if self._requests.pop(call, None) is not None:
            self._save("request", call, None)

    # ---- one recording

    def _of_call(self, call: str) -> list[Recording]:
        keys = [session.key for session in self._sessions.of_call(call)]
        return [self._recordings[key] for key in keys if key in self._recordings]

    def _order(self, call: str, wanted: RecordingState, by: str) -> list[str]:
        recordings = self._of_call(call)
        for recording in recordings:
            self._want(recording, wanted, by)
        return [recording.recording_id for recording in recordings]

    def _want(self, recording: Recording, wanted: RecordingState, by: str) -> None:
        if recording.wanted is RecordingState.STOPPED or recording.wanted is wanted:
            return
        recording.wanted, recording.changed_by = wanted, by
        self._store(recording)
        self._drive(recording)

    def _begin(self, session: Session, request: Request) -> None:
        if session.key in self._recordings or not session.joined or session.ending:
            return
        recording = Recording(self._new_id(), request, session.key, session.node)
        refusal = self._refusal(session)
        if refusal:
            self._fail(recording, refusal)
            self._forget(request.call)
            return
        spec = self._nodes[session.node].spec
        self._recordings[session.key] = recording
        manifest = self._manifests[recording.recording_id] = self._open_manifest(recording.recording_id)
        manifest.write(
            "start",
            recording_id=recording.recording_id,
            call=request.call,
            tenant=request.tenant,
            node=session.node,
            host=self._host,
            by=request.by,
            a=request.a,
            b=request.b,
            spool_dir=str(spec.spool),
            final_dir=str(spec.recordings),
        )
        self._drive(recording)
        self._look_later()

    def _refusal(self, session: Session) -> str:
        """Return why a session cannot be recorded, "" if it can."""
        node = self._nodes.get(session.node)
        if node is None or node.spec.recordings is None or node.spec.spool is None:
            return "the node has no folder for recordings that this host sees"
        if self._is_full(node.spec.spool):
            return "disk_full"
        return ""

    def _drive(self, recording: Recording) -> None:
        """Take the next step towards what is wanted."""
        session = self._sessions.get(recording.session_key)
        move = recording.move
        if move is Move.OPEN and session is not None:
            self._open(recording, session)
        elif move is Move.CLOSE and session is not None:
            self._close(recording, session)
        elif move is Move.FINISH:
            recording.state = RecordingState.STOPPED
            self._finish(recording)
        elif move is Move.DISCARD:
            self._discard(recording)
        elif self._waiting:
            self._settle()

    def _open(self, recording: Recording, session: Session) -> None:
        """Begin a segment: both directions into one file."""
        recording.busy = True
        recording.segment += 1
        resumed = recording.state is RecordingState.PAUSED
        first, second = session.node_tags()
        node = self._nodes[session.node]
        self._store(recording)
        manifest = self._manifests[recording.recording_id]
        if resumed:
            manifest.write("resume", by=recording.changed_by)
        manifest.write("segment", file=recording.file_name, n=recording.segment)

        def command(own: str, other: str) -> str:
            return Copy(session.handle, recording.file_name, own, other, single_file=True).encode()

        def second_done(text: str | None) -> None:
            if text == "0":
                self._opened(recording, session, resumed)
            else:
                node.ask(StopRecord(session.handle, first, second).encode(), lambda _: None)
                self._open_failed(recording, text)

        def first_done(text: str | None) -> None:
            if text == "0":
                node.ask(command(second, first), second_done)
            else:
                self._open_failed(recording, text)

        node.ask(command(first, second), first_done)

    def _opened(self, recording: Recording, session: Session, resumed: bool) -> None:
        recording.busy = False
        if recording.state is RecordingState.STOPPED:  # the session ended meanwhile
            return
        recording.state = RecordingState.RUNNING
        self._tell_sides(recording, session)
        if resumed:
            self._journal("recording.resumed", recording, by=recording.changed_by)
        else:
            self.started += 1
            self._journal("recording.started", recording, by=recording.request.by, node=recording.node)
        self._store(recording)
        self._drive(recording)

    def _open_failed(self, recording: Recording, text: str | None) -> None:
        recording.busy = False
        if recording.state is RecordingState.STOPPED:
            return
        if recording.state is RecordingState.NEW:
            self._discard(recording)
        else:
            recording.state = RecordingState.STOPPED
            self._finish(recording)
        if text != ALREADY_COPIED:
            self._fail(recording, f"the node answered {text or 'nothing'}")

    def _close(self, recording: Recording, session: Session) -> None:
        """End a segment: the node moves the file to its final folder."""
        recording.busy = True
        first, second = session.node_tags()
        node = self._nodes[session.node]

        def second_done(_: str | None) -> None:
            self._closed(recording)

        def first_done(_: str | None) -> None:
            node.ask(StopRecord(session.handle, second, first).encode(), second_done)

        node.ask(StopRecord(session.handle, first, second).encode(), first_done)

    def _closed(self, recording: Recording) -> None:
        recording.busy = False
        if recording.state is RecordingState.STOPPED:
            return
        recording.state = RecordingState.PAUSED
        if recording.wanted is not RecordingState.STOPPED:
            self._manifests[recording.recording_id].write("pause", by=recording.changed_by)
            self._journal("recording.paused", recording, by=recording.changed_by)
        self._store(recording)
        self._drive(recording)

    def _finish(self, recording: Recording) -> None:
        """Close the books of a recording that is over."""
        manifest = self._manifests.pop(recording.recording_id, None)
        self._recordings.pop(recording.session_key, None)
        self._save("recording", recording.recording_id, None)
        if manifest is not None and recording.segment == 0:
            manifest.discard()
        elif manifest is not None:
            if not manifest.write("stop", reason=recording.stop_reason):
                self._retry(manifest)
            self._journal("recording.stopped", recording, reason=recording.stop_reason)
        self._settle()

    def _retry(self, manifest: Manifest) -> None:
        if not manifest.flush():
            self._timers.callLater(LOOK_SECONDS, self._retry, manifest)

    def _discard(self, recording: Recording) -> None:
        """Forget a recording of which nothing was written."""
        recording.state = RecordingState.STOPPED
        manifest = self._manifests.pop(recording.recording_id, None)
        if manifest is not None:
            manifest.discard()
        self._recordings.pop(recording.session_key, None)
        self._save("recording", recording.recording_id, None)
        self._settle()

    def _store(self, recording: Recording) -> None:
        self._save("recording", recording.recording_id, recording.to_json())

    # ---- what the manifest tells of the sides

    def _tell_sides(self, recording: Recording, session: Session) -> None:
        """Write what is new about ports, holds and music of both sides."""
        if recording.state not in (RecordingState.RUNNING, RecordingState.PAUSED):
            return
        manifest = self._manifests[recording.recording_id]
        changed = False
        for name, side in (("caller", session.caller), ("callee", session.callee)):
            for kind, fields in _facts(name, side).items():
                if recording.told.get(f"{name} {kind}", _UNTOLD[kind]) != fields:
                    recording.told[f"{name} {kind}"] = fields
                    changed = True
                    manifest.write(_line_kind(kind, fields), side=name, **_line_fields(kind, fields))
        if changed:
            self._store(recording)

    # ---- the disk

    def _is_full(self, folder: PurePath) -> bool:
        try:
            full = self._free_bytes(folder) < self._min_free_bytes * (2 if self._disk_full else 1)
        except OSError as error:
            log.error("%s: %s", folder, error)
            return True
        if full and not self._disk_full:
            self._event("recording.disk_full", folder=str(folder), min_free_bytes=self._min_free_bytes)
        self._disk_full = full
        return full

    def _look_later(self) -> None:
        if not self._looking and self._recordings:
            self._looking = True
            self._timers.callLater(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Stop recording before the disk is full: a slow or failing write delays every call of a node."""
        self._looking = False
        folders: dict[PurePath, list[Recording]] = {}
        for recording in self._recordings.values():
            node = self._nodes.get(recording.node)
            if node is not None and node.spec.spool is not None:
                folders.setdefault(node.spec.spool, []).append(recording)
        for folder, recordings in folders.items():
            if self._is_full(folder):
                for recording in recordings:
                    recording.stop_reason = "disk_full"
                    self._forget(recording.request.call)
                    self._want(recording, RecordingState.STOPPED, "disk_full")
        self._look_later()

    def _fail(self, recording: Recording, reason: str) -> None:
        self.failed += 1
        self._journal("recording.failed", recording, reason=reason)

    def _journal(self, kind: str, recording: Recording, **data: object) -> None:
        request = recording.request
        self._event(
            kind,
            call=request.call or None,
            tenant=request.tenant,
            recording_id=recording.recording_id,
            **data,
        )


#: What holds of a side before anything was told.
_UNTOLD: Mapping[str, object] = {"side": None, "hold": False, "music": False}


def _facts(name: str, side: Side) -> dict[str, Any]:
    return {
        "side": {"local_port": side.local_port, "codecs": list(side.codecs), "dtmf_pt": side.dtmf_type},
        "hold": side.holds,
        "music": side.hears_prompt,
    }


def _line_kind(kind: str, fields: Any) -> str:
    return "unhold" if kind == "hold" and not fields else kind


def _line_fields(kind: str, fields: Any) -> dict[str, Any]:
    if kind == "side":
        return dict(fields)
    return {"on": fields} if kind == "music" else {}
