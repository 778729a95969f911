"""Asks the RTP controllers of this machine whether one of them still holds a call.

Only for a recording that nobody has ended and whose files do not grow: is its controller dead, or is the call
silent? A controller that does not answer in time may be busy, so it counts as knowing the call.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

TIMEOUT_SECONDS = 2.0
BUSY_SECONDS = 30.0
LONGEST_ANSWER = 1 << 20


class Controllers:
    """The controllers whose sockets lie in the run directory."""

    def __init__(self, run_directory: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = run_directory
        self._clock = clock
        self._busy_until = 0.0

    def know(self, call_id: UUID) -> bool:
        """Tell whether a controller holds a call, as far as that can be known.

        After one that did not answer in time, nobody is asked for a while: ks-rec has other things to do.
        """
        if self._clock() < self._busy_until:
            return True
        try:
            return any(_knows(path, call_id) for path in sorted(self._directory.glob("rtpc-*.sock")))
        except TimeoutError:
            self._busy_until = self._clock() + BUSY_SECONDS
            return True


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
        raise
    except OSError:  # nobody listens there any more
        return False
    return _is_found(line)


def _is_found(line: bytes) -> bool:
    try:
        answer = json.loads(line)
    except ValueError:
        return False
    return isinstance(answer, dict) and bool(answer.get("result"))
