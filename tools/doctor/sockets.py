"""Who listens on which port of this machine, read from /proc. Reads only."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
#: State of a socket that listens, by protocol (include/net/tcp_states.h).
LISTENING = {"tcp": "0A", "udp": "07"}


@dataclass(frozen=True)
class Listener:
    """A socket that takes what comes to a port."""

    protocol: str
    address: str
    port: int
    inode: str

    def takes(self, protocol: str, address: str, port: int) -> bool:
        """Tell whether what is sent to this address comes here."""
        if (protocol, port) != (self.protocol, self.port):
            return False
        own = ipaddress.ip_address(self.address)
        return own.is_unspecified or own == ipaddress.ip_address(address)


def listeners(proc: Path = PROC) -> list[Listener]:
    """Return all sockets of this machine that listen."""
    found = []
    for protocol in ("tcp", "udp"):
        for name in (protocol, f"{protocol}6"):
            found += list(_parse(protocol, proc / "net" / name))
    return found


def _parse(protocol: str, table: Path) -> Iterator[Listener]:
    try:
        lines = table.read_text().splitlines()[1:]
    except FileNotFoundError:  # a kernel without IPv6
        return
    for line in lines:
        fields = line.split()
        if fields[3] == LISTENING[protocol]:
            address, _, port = fields[1].partition(":")
            yield Listener(protocol, _address(address), int(port, 16), fields[9])


def _address(text: str) -> str:
    """Turn the kernel's hexadecimal words, each in the order of the machine (here: little end first)."""
    raw = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def owner(inode: str, proc: Path = PROC) -> int | None:
    """Return a pid that holds a socket; None: none that this user may see."""
    wanted = f"socket:[{inode}]"
    for folder in proc.glob("[0-9]*"):
        try:
            if any(str(link.readlink()) == wanted for link in (folder / "fd").iterdir()):
                return int(folder.name)
        except OSError:  # ended meanwhile, or not ours to see
            continue
    return None


def name_of(pid: int, proc: Path = PROC) -> str:
    """Return the short name of a process."""
    try:
        return (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        return "?"


def ancestors(pid: int, proc: Path = PROC) -> Iterator[int]:
    """Yield a pid, its parent, its parent's parent ..."""
    while pid > 0:
        yield pid
        try:
            # The name in brackets may hold blanks and brackets itself.
            pid = int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return
