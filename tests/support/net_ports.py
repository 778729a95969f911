"""Free ports for programs that want to be told a number (SIPp, Kamailio, baresip).

Sockets of our own always bind port 0 and never need this. A port found here may be taken by a neighbour
before the program binds it, so every runner that uses it tries again when the program says that the
address is in use.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

#: Enough draws to meet a pair that is free for UDP and TCP on a busy machine.
_DRAWS = 200


def free_port(ip: str = "127.0.0.1", *, even: bool = False) -> int:
    """Return a port that is free for UDP and for TCP on `ip` just now.

    `even` asks for an even port whose odd neighbour is free too (RTP and RTCP).
    """
    for _ in range(_DRAWS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
            port = int(probe.getsockname()[1])
        if even and port % 2:
            continue
        if _is_free(ip, port) and (not even or _is_free(ip, port + 1)):
            return port
    raise RuntimeError(f"no free port on {ip} in {_DRAWS} draws")


def free_ports(count: int, ip: str = "127.0.0.1") -> list[int]:
    """Return `count` different free ports."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port(ip))
    return sorted(ports)


def is_bound(port: int, kind: str) -> bool:
    """Tell whether any socket of this machine is bound to `port`: kind "udp", or "tcp" for a listening one.

    Read from /proc, so that looking does not disturb the program (a TCP connect would be a phone's
    connection).
    """
    for family in (kind, f"{kind}6"):
        lines = Path(f"/proc/net/{family}").read_text("ascii").splitlines()[1:]
        if any(_matches(line.split(), port, kind) for line in lines):
            return True
    return False


def _matches(fields: list[str], port: int, kind: str) -> bool:
    listening = "0A"  # TCP_LISTEN of the kernel's tcp_states.h
    return int(fields[1].rpartition(":")[2], 16) == port and (kind == "udp" or fields[3] == listening)


def _is_free(ip: str, port: int) -> bool:
    with ExitStack() as stack:
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind((ip, port))
        except OSError:
            return False
    return True
