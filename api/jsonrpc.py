"""JSON-RPC 2.0, without I/O: what a text asks for, and the texts that answer.

Decides what is a request, a notification or a batch, and which code an error has. Error ids (`data.error_id`)
are those of callcore.errors and never renamed; the codes group them for clients that know codes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from callcore.errors import BadInput, KalibriError, NotFound, Refused, Unavailable
from kalibri.services.token import Forbidden, Unauthorized

MAX_BATCH = 50


class Code(IntEnum):
    """Codes of errors: those of JSON-RPC 2.0, and ours from -32099 on."""

    PARSE = -32700
    INVALID_REQUEST = -32600
    NO_SUCH_METHOD = -32601
    BAD_PARAMETERS = -32602
    #: A mistake of ours.
    INTERNAL = -32603
    #: The input is well formed but cannot be.
    BAD_INPUT = -32000
    UNAUTHORIZED = -32001
    FORBIDDEN = -32003
    NOT_FOUND = -32004
    #: A rule does not allow it.
    REFUSED = -32009
    #: A part that is needed does not answer: try again.
    UNAVAILABLE = -32011
    TOO_MANY = -32029


class ProtocolError(KalibriError):
    """This is no JSON-RPC 2.0 request."""

    error_id = "invalid-request"

    def __init__(
        self, message: str = "", *, code: Code = Code.INVALID_REQUEST, request_id: Any = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id


class NoSuchMethod(KalibriError):
    """There is no such method (rpc.discover tells which there are)."""

    error_id = "no-such-method"


class TooManyRequests(KalibriError):
    """Too many requests: slower."""

    error_id = "too-many-requests"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(retry_after_seconds=round(retry_after_seconds, 3))
        self.retry_after_seconds = retry_after_seconds


class InternalError(KalibriError):
    """Something went wrong inside; it is written in the log of ks-api."""

    error_id = "internal-error"


@dataclass(frozen=True)
class Request:
    """One call of a method."""

    method: str
    params: Mapping[str, Any] | list[Any] = field(default_factory=dict)
    request_id: Any = None
    #: Without an id: nothing is answered.
    is_notification: bool = False


@dataclass(frozen=True)
class Message:
    """What one text asks for: requests, each well formed or not."""

    entries: tuple[Request | ProtocolError, ...]
    is_batch: bool


def parse(text: bytes | str) -> Message:
    """Read a text; raises ProtocolError if it is no JSON, an empty batch or one that is too long."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("this is not JSON", code=Code.PARSE) from None
    if not isinstance(value, list):
        return Message((_entry(value),), is_batch=False)
    if not value:
        raise ProtocolError("the batch is empty")
    if len(value) > MAX_BATCH:
        raise ProtocolError(f"at most {MAX_BATCH} requests in a batch")
    return Message(tuple(_entry(item) for item in value), is_batch=True)


def _entry(value: Any) -> Request | ProtocolError:
    try:
        return _request(value)
    except ProtocolError as error:
        return error


def _request(value: Any) -> Request:
    if not isinstance(value, dict):
        raise ProtocolError("a request is an object")
    request_id = value.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, str | int | float | None):
        raise ProtocolError("id must be a text, a number or null")
    if value.get("jsonrpc") != "2.0":
        raise ProtocolError('jsonrpc must be "2.0"', request_id=request_id)
    method, params = value.get("method"), value.get("params", {})
    if not isinstance(method, str):
        raise ProtocolError("method must be a text", request_id=request_id)
    if not isinstance(params, dict | list):
        raise ProtocolError("params must be an object or an array", request_id=request_id)
    return Request(method, params, request_id, is_notification="id" not in value)


def result_text(request_id: Any, result_json: str) -> str:
    """Return the answer to a request; the result is JSON already."""
    return f'{{"jsonrpc":"2.0","id":{json.dumps(request_id)},"result":{result_json}}}'


def error_text(request_id: Any, error: KalibriError) -> str:
    """Return the answer that tells an error."""
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error_object(error)})


def batch_text(answers: list[str]) -> str:
    """Return the answer to a batch."""
    return f"[{','.join(answers)}]"


def error_object(error: KalibriError) -> dict[str, Any]:
    """Return the error object: code, message, and data with the stable id and the facts."""
    data: dict[str, Any] = {"error_id": error.error_id}
    if error.details:
        data["details"] = json.loads(json.dumps(error.details, default=str))
    return {"code": int(code_of(error)), "message": error.message, "data": data}


#: The first class that fits counts.
_CODES: tuple[tuple[type[KalibriError], Code], ...] = (
    (NoSuchMethod, Code.NO_SUCH_METHOD),
    (TooManyRequests, Code.TOO_MANY),
    (InternalError, Code.INTERNAL),
    (Unauthorized, Code.UNAUTHORIZED),
    (Forbidden, Code.FORBIDDEN),
    (NotFound, Code.NOT_FOUND),
    (Refused, Code.REFUSED),
    (Unavailable, Code.UNAVAILABLE),
    (BadInput, Code.BAD_INPUT),
)


def code_of(error: KalibriError) -> Code:
    """Return the code of an error; what the domain did not foresee is a mistake of ours."""
    if isinstance(error, ProtocolError):
        return error.code
    if error.error_id == "bad-parameters":
        return Code.BAD_PARAMETERS
    return next((code for kind, code in _CODES if isinstance(error, kind)), Code.INTERNAL)
