"""Clients of the event stream for tests: Server-Sent Events and WebSocket over plain sockets."""

from __future__ import annotations

import json
import socket
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, RejectConnection, TextMessage
from wsproto.events import Request as WebSocketRequest

WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Told:
    """One event of a stream."""

    id: int
    kind: str
    data: Any


class Stream:
    """A stream of Server-Sent Events; a context manager."""

    def __init__(
        self,
        port: int,
        token: str = "",
        *,
        last: int | None = None,
        query: dict[str, object] | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(WAIT_SECONDS)
        self._socket.connect(("127.0.0.1", port))
        asked = "&".join(f"{name}={quote(str(value))}" for name, value in (query or {}).items())
        lines = [f"GET /v1/events?{asked} HTTP/1.1", "Host: x"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        lines += [f"Last-Event-ID: {last}"] if last is not None else []
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._data = b""
        self._text = b""
        self._blocks: deque[bytes] = deque()
        head = self._until(b"\r\n\r\n").decode()
        self.status = int(head.split()[1])
        #: Where to go on: what a browser would send as Last-Event-ID.
        self.last = last or 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _receive(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the stream has ended")
        self._data += data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            self._receive()
        found, _, self._data = self._data.partition(mark)
        return found

    def _chunk(self) -> None:
        """Read one piece of the chunked body."""
        size = int(self._until(b"\r\n"), 16)
        while len(self._data) < size + 2:
            self._receive()
        *blocks, self._text = (self._text + self._data[:size]).split(b"\n\n")
        self._blocks.extend(blocks)
        self._data = self._data[size + 2 :]

    def block(self) -> dict[str, str]:
        """Return the fields of the next block, comments apart."""
        while not self._blocks:
            self._chunk()
        text = self._blocks.popleft()
        fields = {}
        for line in text.decode().split("\n"):
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
        if "id" in fields:
            self.last = int(fields["id"])
        return fields

    def event(self) -> Told:
        """Return the next event; raises ConnectionError at the end, TimeoutError."""
        while "data" not in (fields := self.block()):
            pass
        return Told(self.last, fields["event"], json.loads(fields["data"]))

    def events(self, count: int) -> list[Told]:
        """Return the next events."""
        return [self.event() for _ in range(count)]


class WebSocket:
    """A WebSocket; a context manager."""

    def __init__(self, port: int, token: str = "", *, query: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
        self._wire = WSConnection(ConnectionType.CLIENT)
        headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
        self._socket.sendall(
            self._wire.send(WebSocketRequest("x", f"/v1/socket?{query}", extra_headers=headers))
        )
        self._messages: list[Any] = []
        self._text = ""
        self.close_code: int | None = None
        self.accepted = False
        while not self.accepted and self.close_code is None:
            self._receive()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _receive(self) -> None:
        data = self._socket.recv(1 << 16)
        self._wire.receive_data(data or None)
        for event in self._wire.events():
            if isinstance(event, AcceptConnection):
                self.accepted = True
            elif isinstance(event, RejectConnection):
                self.close_code = event.status_code
            elif isinstance(event, CloseConnection):
                self.close_code = event.code
            elif isinstance(event, Ping):
                self._socket.sendall(self._wire.send(event.response()))
            elif isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    self._messages.append(json.loads(self._text))
                    self._text = ""
        if not data and self.close_code is None:
            self.close_code = 1006

    def send(self, value: Any) -> None:
        """Send a JSON value, or a text as it is."""
        text = value if isinstance(value, str) else json.dumps(value)
        self._socket.sendall(self._wire.send(TextMessage(text)))

    def message(self) -> Any:
        """Return the next message; None when the connection is closed."""
        while not self._messages and self.close_code is None:
            self._receive()
        return self._messages.pop(0) if self._messages else None

    def call(self, method: str, **params: Any) -> Any:
        """Call a method and return its answer; events that come before it are passed over."""
        self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        while (found := self.message()) is not None:
            if "id" in found:
                return found
        return None
