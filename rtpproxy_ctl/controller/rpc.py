"""The controller's own commands: JSON-RPC 2.0, one request a line (docs/contracts.md 7). No I/O.

An order to record is answered when the node has confirmed it: after the answer to record.pause nothing is written.

{"jsonrpc": "2.0", "id": 1, "method": "record.start", "params": {"call": "<uuid>", "by": "demand"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rtpproxy_ctl.controller.engine import Engine
from rtpproxy_ctl.controller.recorder import Recorder
from rtpproxy_ctl.controller.recording import Request
from rtpproxy_ctl.controller.sessions import Session

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, BAD_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603

BY = frozenset({"route", "queue", "account", "demand", "api", "message"})
_CALL = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII)

Params = Mapping[str, Any]


class _Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        self.code, self.message = code, message


@dataclass(frozen=True)
class _Later:
    """A result that is told when the nodes have confirmed what was ordered of these recordings."""

    recordings: list[str]
    result: Callable[[], Any]


class Rpc:
    """Serves requests."""

    def __init__(
        self, engine: Engine, recorder: Recorder, name: str, nodes: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """name: of this controller. nodes: describes all nodes."""
        self._engine, self._recorder, self._name, self._nodes = engine, recorder, name, nodes
        self._methods: dict[str, Callable[[Params], Any]] = {
            "record.start": self._record_start,
            "record.stop": lambda params: self._record(self._recorder.stop, params),
            "record.pause": lambda params: self._record(self._recorder.pause, params),
            "record.resume": lambda params: self._record(self._recorder.resume, params),
            "record.list": lambda _: [_recording(recording) for recording in recorder.running()],
            "call.hold": self._hold,
            "session.list": lambda _: [describe(session) for session in engine.sessions],
            "session.find": self._session_find,
            "node.list": lambda _: self._nodes(),
            "controller.info": self._info,
        }

    def serve(self, line: str, reply: Callable[[str], None]) -> None:
        """Serve a request; the reply is one line."""
        request_id: Any = None
        try:
            request = _parse(line)
            request_id = request.get("id")
            result = self._call(request)
        except _Refused as refused:
            reply(_line(request_id, "error", {"code": refused.code, "message": refused.message}))
            return
        if isinstance(result, _Later):
            self._recorder.when_settled(
                result.recordings, lambda: reply(_line(request_id, "result", result.result()))
            )
        else:
            reply(_line(request_id, "result", result))

    def _call(self, request: Params) -> Any:
        method = self._methods.get(str(request.get("method")))
        if method is None:
            raise _Refused(NO_METHOD, f"no method {request.get('method')!r}")
        params = request.get("params", {})
        if not isinstance(params, dict):
            raise _Refused(BAD_PARAMS, "params must be an object")
        return method(params)

    def _record_start(self, params: Params) -> Any:
        by = params.get("by", "demand")
        if by not in BY:
            raise _Refused(BAD_PARAMS, f"by must be one of {', '.join(sorted(BY))}")
        tenant = params.get("tenant")
        if tenant is not None and (type(tenant) is not int or not 0 <= tenant < 1 << 31):
            raise _Refused(BAD_PARAMS, "tenant must be a tenant's id or null")
        numbers = [params.get(key) or "" for key in ("a", "b")]
        if any(not isinstance(number, str) or len(number) > 256 for number in numbers):
            raise _Refused(BAD_PARAMS, "a and b must be texts of at most 256 characters")
        call = _call_of(params)
        ids = self._recorder.start(Request(call, by, tenant, *numbers))

        def result() -> Any:
            running = {recording.recording_id for recording in self._recorder.running()}
            begun = [each for each in ids if each in running]
            return {"controller": self._name, "recordings": begun, "waiting": not ids}

        return _Later(ids, result)

    def _record(self, order: Callable[[str, str], list[str]], params: Params) -> Any:
        by = params.get("by", "demand")
        if by not in BY:
            raise _Refused(BAD_PARAMS, f"by must be one of {', '.join(sorted(BY))}")
        ids = order(_call_of(params), by)
        return _Later(ids, lambda: {"controller": self._name, "recordings": ids})

    def _hold(self, params: Params) -> Any:
        side, hold = params.get("side"), params.get("hold")
        if side not in ("caller", "callee") or not isinstance(hold, bool):
            raise _Refused(BAD_PARAMS, "side must be caller or callee, hold true or false")
        return {"sessions": self._engine.set_hold(_call_of(params), side, hold)}

    def _session_find(self, params: Params) -> Any:
        return [describe(session) for session in self._engine.sessions.of_call(_call_of(params))]

    def _info(self, _: Params) -> Any:
        return {
            "controller": self._name,
            "host": self._engine.host,
            "sessions": len(self._engine.sessions),
            "recordings": len(self._recorder.running()),
        }


def _line(request_id: Any, kind: str, value: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, kind: value}, separators=(",", ":"))


def _parse(line: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Refused(PARSE_ERROR, "no JSON") from error
    if not isinstance(request, dict) or not isinstance(request.get("id"), (str, int, float, type(None))):
        raise _Refused(INVALID_REQUEST, "no request object")
    return request


def _call_of(params: Params) -> str:
    call = params.get("call")
    if not isinstance(call, str) or not _CALL.fullmatch(call.lower()):
        raise _Refused(BAD_PARAMS, "call must be the id of a call (X-KS-Call)")
    return call.lower()


def describe(session: Session) -> dict[str, Any]:
    """Return what is told of a session."""
    return {
        "call": session.call or None,
        "owner": session.id.owner or "proxy",
        "node": session.node,
        "handle": session.handle,
        "joined": session.joined,
        "streams": len(session.streams),
        "sides": {
            name: {"local_port": side.local_port, "codecs": list(side.codecs), "holds": side.holds}
            for name, side in (("caller", session.caller), ("callee", session.callee))
        },
    }


def _recording(recording: Any) -> dict[str, Any]:
    return {
        "recording_id": recording.recording_id,
        "call": recording.request.call or None,
        "node": recording.node,
        "state": str(recording.state),
        "by": recording.request.by,
    }
