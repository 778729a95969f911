"""Asks the RTP controllers of this machine whether one of them still holds a call.

Only for a recording that nobody has ended and whose files do not grow: is its controller dead, or is the call
silent? A controller that does not answer in time may be busy, so it counts as knowing the call.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from uuid import UUID

TIMEOUT_SECONDS = 2.0
LONGEST_ANSWER = 1 << 20


class Controllers:
    """The controllers whose sockets lie in the run directory."""

    def __init__(self, run_directory: Path) -> None:
        self._directory = run_directory

    def know(self, call_id: UUID) -> bool:
        """Tell whether a controller holds a call, as far as that can be known."""
        return any(_knows(path, call_id) for path in sorted(self._directory.glob("rtpc-*.sock")))


def _knows(path: Path, call_id: UUID) -> bool:
    request = {"jsonrpc": "2.0", "id": 1, "method": "session.find", "params": {"call": str(call_id)}}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(TIMEOUT_SECONDS)
            sock.connect(str(path))
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as answers:
                line = answers.readline(LONGEST_ANSWER)
    except TimeoutError:
        return True
    except OSError:  # nobody listens there any more
        return False
    return _is_found(line)


def _is_found(line: bytes) -> bool:
    try:
        answer = json.loads(line)
    except ValueError:
        return False
    return isinstance(answer, dict) and bool(answer.get("result"))
