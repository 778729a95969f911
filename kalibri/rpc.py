"""JSON-RPC to a running Kamailio over its datagram socket (module jsonrpcs).

Decides which reply belongs to which request and what a missing reply means. It never starts or stops
Kamailio, and never waits longer than it is told.

What Kamailio 5.6 does, measured: a reply of more than about 128 KB is not sent at all (dlg.list fails beyond
some two hundred dialogs), so dialogs come as a file (dlg.dump_file), which has no limit; an unknown method
is an error with code 500; a request that is not JSON gets no reply.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from callcore.errors import KalibriError, Unavailable

MAX_REPLY_BYTES = 1024 * 1024
DEFAULT_TIMEOUT_SECONDS = 2.0


class ProxyDown(Unavailable):
    """The proxy does not answer."""

    error_id = "proxy-down"


class ReplyTooLong(KalibriError):
    """The proxy is there, but its reply does not fit into one datagram."""

    error_id = "rpc-reply-too-long"


class RpcRefused(KalibriError):
    """The proxy refuses the request."""

    error_id = "rpc-refused"


class KamailioRpc:
    """A conversation with one Kamailio; use it as a context manager.

    Raises ProxyDown when there is no socket, nobody behind it or no reply in time, RpcRefused when the proxy
    replies with an error, ReplyTooLong when it lives but cannot send what was asked for.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        self.path = Path(path)
        self._timeout_seconds = timeout_seconds
        self._last_id = 0
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back; the next call opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def call(self, method: str, *params: str | int) -> Any:
        """Call a method and return its result."""
        try:
            return self._ask(method, params)
        except TimeoutError as error:
            self.close()
            if method != "core.uptime" and self._lives():
                raise ReplyTooLong(f"{method}: the reply does not fit into one datagram") from error
            raise self._down("no reply in time") from error
        except OSError as error:
            self.close()
            if error.errno == errno.EMSGSIZE:
                raise RpcRefused(f"{method}: the request does not fit into one datagram") from error
            raise self._down(error.strerror or str(error)) from error

    def dialogs(self) -> list[dict[str, Any]]:
        """Return every dialog that the proxy holds, as dlg.list describes it, however many there are."""
        with self._reply_directory() as directory:
            file = directory / "dialogs.jsonl"
            self.call("dlg.dump_file", str(file))
            if not file.exists():  # Kamailio says 200 even when it could not open the file
                raise RpcRefused(f"dlg.dump_file: the proxy cannot write to {directory}")
            with file.open("rb") as lines:
                return [dialog for line in lines if (dialog := _object(line)) is not None]

    def _lives(self) -> bool:
        try:
            self._ask("core.uptime", ())
        except OSError:
            return False
        return True

    def _down(self, why: str) -> ProxyDown:
        return ProxyDown(f"the proxy does not answer at {self.path}: {why}", path=str(self.path))

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(self._timeout_seconds)
            # Linux gives an abstract address: no file to clean up, and no permission that stops the reply.
            self._socket.bind("")
            self._socket.connect(os.fspath(self.path))
        return self._socket

    def _ask(self, method: str, params: tuple[str | int, ...]) -> Any:
        self._last_id += 1
        request = {"jsonrpc": "2.0", "method": method, "params": list(params), "id": self._last_id}
        connection = self._connected()
        connection.send(json.dumps(request).encode())
        while True:
            # A reply to a request that was given up on carries another id.
            reply = _object(connection.recv(MAX_REPLY_BYTES))
            if reply is not None and reply.get("id") == self._last_id:
                return _result(method, reply)

    @contextmanager
    def _reply_directory(self) -> Iterator[Path]:
        """Make a directory beside the socket into which the proxy may write, and remove it again."""
        try:
            owner = self.path.stat()
            directory = Path(tempfile.mkdtemp(prefix="rpc-", dir=self.path.parent))
        except OSError as error:
            raise self._down(error.strerror or str(error)) from error
        try:
            if os.geteuid() == 0:  # an operator is root, the proxy is not
                os.chown(directory, owner.st_uid, owner.st_gid)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw.decode("utf-8", "replace"), strict=False)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _result(method: str, reply: dict[str, Any]) -> Any:
    error = reply.get("error")
    if error is not None:
        told = error if isinstance(error, dict) else {"message": str(error)}
        raise RpcRefused(f"{method}: {told.get('message')}", method=method, code=told.get("code"))
    return reply.get("result")
