"""Ask one RTPProxy one question and wait for the answer: for readiness checks, never on a call's path."""

from __future__ import annotations

import secrets
import socket
import time

from callcore.errors import Unavailable
from rtpproxy_ctl.protocol import Counters, HasCapability, Version, from_datagram, to_datagram

#: A datagram that got no answer is sent again after this time.
REPEAT_SECONDS = 0.3


def ask_version(address: tuple[str, int], timeout_seconds: float) -> int:
    """Return the protocol version of the node at a UDP address; raises Unavailable, RtpError or BadReply."""
    command = Version()
    return command.parse(ask(address, command.encode(), timeout_seconds))


def ask_capability(address: tuple[str, int], capability: int, timeout_seconds: float) -> bool:
    """Tell whether the node knows a capability; raises as ask_version."""
    command = HasCapability(capability)
    return command.parse(ask(address, command.encode(), timeout_seconds))


def ask_counters(address: tuple[str, int], names: list[str], timeout_seconds: float) -> dict[str, float]:
    """Return counters of the node by name; raises as ask_version."""
    command = Counters(names)
    return command.parse(ask(address, command.encode(), timeout_seconds))


def ask(address: tuple[str, int], command: str, timeout_seconds: float) -> str:
    """Send a command line over UDP, repeat it until answered, and return the text of the reply.

    Raises Unavailable when nothing listens there or answers in time, and what from_datagram raises.
    """
    cookie = secrets.token_hex(8)
    deadline = time.monotonic() + timeout_seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        while (left := deadline - time.monotonic()) > 0:
            text = _ask_once(sock, cookie, command, min(left, REPEAT_SECONDS))
            if text is not None:
                return text
    raise Unavailable(f"RTPProxy at {address[0]}:{address[1]} does not answer")


def _ask_once(sock: socket.socket, cookie: str, command: str, wait_seconds: float) -> str | None:
    """None: no answer to this datagram, or another's answer."""
    sock.settimeout(wait_seconds)
    try:
        sock.send(to_datagram(cookie, command))
        answer = sock.recv(65536)
    except TimeoutError:
        return None
    except ConnectionRefusedError as error:
        raise Unavailable("nothing listens on RTPProxy's control port") from error
    if not answer.startswith(cookie.encode() + b" "):
        return None
    return from_datagram(answer)[1]
