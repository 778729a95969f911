"""Orders to the RTP controllers beside the rtpproxy module: record this call, this side holds. Shell.

A datagram to each controller, which waits for nothing: whichever has the session of the call, or gets it within the
next minutes, acts (docs/contracts.md 7). A lost one is lost; on loopback that means that no controller runs.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from kalibri.config import Config


class RtpControl:
    """This process's way to the controllers."""

    def __init__(self, config: Config) -> None:
        ports = [config.rtp_controller_ports(number + 1) for number in range(config.rtp.controllers)]
        self._controllers = [(each.address, each.control) for each in ports]
        self._serial = 0
        self._socket: socket.socket | None = None
        self._pid = -1

    def record(self, call: str, *, by: str, tenant: int | None, a: str, b: str) -> None:
        """Have a call recorded from its first media on; by: who wants it (kemi/recording_choice.py)."""
        self._tell("record.start", call=call, by=by, tenant=tenant, a=a, b=b)

    def hold(self, call: str, *, side: str, hold: bool) -> None:
        """Tell that a side (caller, callee) has put the other on hold, or took it back."""
        self._tell("call.hold", call=call, side=side, hold=hold)

    def _tell(self, method: str, **params: Any) -> None:
        if self._pid != os.getpid():
            self._open()
        self._serial += 1
        request = json.dumps({"jsonrpc": "2.0", "id": self._serial, "method": method, "params": params})
        datagram = f"k{self._pid:x}-{self._serial:x} {request}".encode()
        for address in self._controllers:
            try:
                assert self._socket is not None
                self._socket.sendto(datagram, address)
            except OSError:  # nobody there, or a full buffer: the call goes on
                continue

    def _open(self) -> None:
        """Make a socket of this process's own; what the controllers answer is not read."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._pid = os.getpid()
