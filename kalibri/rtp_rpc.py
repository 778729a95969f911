"""JSON-RPC to an RTP controller of this host, over its stream socket (docs/contracts.md 7).

One request, one line in answer; never waits longer than it is told. Decides nothing.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from callcore.errors import KalibriError, Unavailable

DEFAULT_TIMEOUT_SECONDS = 2.0
MAX_REPLY_BYTES = 16 * 1024 * 1024


class ControllerRefused(KalibriError):
    """The RTP controller refuses the request."""

    error_id = "rtp-controller-refused"


def call_controller(
    path: Path, method: str, params: dict[str, Any], *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
) -> Any:
    """Call a method and return its result; raises Unavailable, ControllerRefused."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        reply = json.loads(_ask(path, json.dumps(request).encode() + b"\n", timeout_seconds))
    except (OSError, ValueError) as error:
        raise Unavailable(f"the RTP controller does not answer at {path}: {error}") from error
    refusal = reply.get("error")
    if refusal is not None:
        raise ControllerRefused(f"{method}: {refusal.get('message')}", code=refusal.get("code"))
    return reply.get("result")


def _ask(path: Path, line: bytes, timeout_seconds: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        connection.connect(str(path))
        connection.sendall(line)
        answer = bytearray()
        while not answer.endswith(b"\n") and len(answer) < MAX_REPLY_BYTES:
            part = connection.recv(65_536)
            if not part:
                raise ConnectionResetError("the connection was closed")
            answer += part
    return bytes(answer)
