"""sippy 2.5.0 made to fit: its timers on our loop, its transport ours, the slow spots and the faults it has mended.

Import sippy only through this module. What is changed, and why (each has a test with real sippy):
- sippy's dispatcher is never run: Timeout and its kin make timers of the Loop that runs in the calling thread. No
  polling at 100 Hz, no binding to the thread that imported it first.
- `;transport=UDP` in capitals raised RuntimeError at the next request in the dialog: BYE and ACK never left.
- SipURL.localStr and SipVia.localStr asked `dir()` of every host and port: half the time of writing a message.
- The clock was read through ctypes, ten times in a call.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

# sippy chooses where to log when it is imported; our journal and log say what there is to say.
os.environ.setdefault("SIPLOG_BEND", "none")

import sippy.Time.MonoTime as monotimes
import sippy.Time.Timeout as timeouts
from sippy.Time.MonoTime import MonoTime

from sems_apps.host.loop import Loop, Timer

_here = threading.local()


def use_loop(loop: Loop) -> None:
    """Let sippy's timers of this thread run on this loop."""
    _here.loop = loop


class _Repeating:
    """sippy's timer with nticks -1: again and again until it is cancelled."""

    def __init__(self, loop: Loop, seconds: float, callback: Callable[[], None]) -> None:
        self._loop, self._seconds, self._callback = loop, seconds, callback
        self._timer = loop.call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._timer = self._loop.call_later(self._seconds, self._fire)
        self._callback()

    def cancel(self) -> None:
        self._timer.cancel()


def _timeout(
    callback: Callable[..., None], seconds: float, nticks: int = 1, *params: Any
) -> Timer | _Repeating:
    def call() -> None:
        callback(*params)

    loop: Loop = _here.loop
    return loop.call_later(seconds, call) if nticks == 1 else _Repeating(loop, seconds, call)


def repeating(callback: Callable[[], None], seconds: float) -> _Repeating:
    """Run a callback every so often, on the loop of this thread."""
    loop: Loop = _here.loop
    return _Repeating(loop, seconds, callback)


def _timeout_at(callback: Callable[..., None], at: MonoTime, *params: Any) -> Timer:
    loop: Loop = _here.loop
    return loop.call_later(max(0.0, -at.offsetFromNow()), lambda: callback(*params))


monotimes.clock_getdtime = time.clock_gettime
# Before anything else of sippy is imported: its modules bind these names.
timeouts.Timeout = _timeout
timeouts.TimeoutAbsMono = _timeout_at

from sippy.SipConf import SipConf  # noqa: E402
from sippy.SipURL import USERNAME_SAFE, SipURL, quote  # noqa: E402
from sippy.SipVia import SipVia  # noqa: E402


def _transport_address(url: SipURL) -> tuple[tuple[str, int], str]:
    transport = url.transport
    return url.getAddr(), SipConf.default_transport if transport is None else str(transport).lower()


def _is_ours(value: object) -> bool:
    """Whether a host, port or transport stands for "whatever this message leaves from"."""
    return getattr(value, "my", False) is True


def _write_url(url: SipURL, local: tuple[tuple[str, int], str] | None = None) -> str:
    (local_host, local_port), local_transport = local if local is not None else ((None, None), None)
    parts = [url.scheme, ":"]
    if url.username is not None:
        parts.append(quote(url.username, USERNAME_SAFE))
        parts.extend(f";{item}" for item in url.userparams)
        if url.password is not None:
            parts.append(f":{url.password}")
        parts.append("@")
    parts.append(local_host if local_host is not None and _is_ours(url.host) else str(url.host))
    if url.port is not None:
        port = local_port if local_port is not None and _is_ours(url.port) else url.port
        if SipConf.port_needed(port, url.transport, local_transport):
            parts.append(f":{int(port)}")
    parts.extend(f";{item}" for item in _url_params(url, local_transport))
    if url.headers:
        parts.append("?" + "&".join(f"{name}={quote(value)}" for name, value in url.headers.items()))
    return "".join(parts)


def _url_params(url: SipURL, local_transport: str | None) -> list[str]:
    found = [f"user={url.usertype}"] if url.usertype is not None else []
    transport = url.transport
    if transport is not None and not (
        _is_ours(transport) and local_transport in (None, SipConf.default_transport)
    ):
        found.append(f"transport={local_transport if _is_ours(transport) else transport}")
    for name in ("ttl", "maddr", "method", "tag"):
        value = getattr(url, name)
        if value is not None:
            found.append(f"{name}={value}")
    found.extend(url.other)
    if url.lr:
        found.append("lr")
    return found


def _port_needed(port: Any, transport: Any, local_transport: str | None) -> bool:
    is_default = local_transport == SipConf.default_transport and int(port) == SipConf.default_port
    return not (_is_ours(transport) and is_default)


SipConf.port_needed = staticmethod(_port_needed)
SipConf.my_uaname = "Kalibri"


def _write_via(via: SipVia, local: tuple[tuple[str, int], str] | None = None) -> str:
    if not via.parsed:
        return str(via.body)
    (local_host, local_port), local_transport = local if local is not None else ((None, None), None)
    transport = via.transport
    if _is_ours(transport):
        transport = (str(transport) if local_transport is None else local_transport).upper()
    host = local_host if local_host is not None and _is_ours(via.hostname) else str(via.hostname)
    parts = [f"{via.sipver}/{transport} {host}"]
    if via.port is not None:
        if local_port is None or not _is_ours(via.port):
            parts.append(f":{via.port}")
        elif _port_needed(local_port, via.transport, local_transport):
            parts.append(f":{local_port}")
    parts.extend(f";{name}" if value is None else f";{name}={value}" for name, value in via.params.items())
    return "".join(parts)


SipVia.localStr = _write_via
SipURL.getTAddr = _transport_address
SipURL.localStr = _write_url

from sippy.CCEvents import (  # noqa: E402
    CCEventConnect,
    CCEventDisconnect,
    CCEventFail,
    CCEventPreConnect,
    CCEventRedirect,
    CCEventRing,
    CCEventTry,
    CCEventUpdate,
)
from sippy.MsgBody import MsgBody  # noqa: E402
from sippy.Network_server import Remote_address  # noqa: E402
from sippy.SipAddress import SipAddress  # noqa: E402
from sippy.SipCallId import SipCallId  # noqa: E402
from sippy.SipContact import SipContact  # noqa: E402
from sippy.SipContentType import SipContentType  # noqa: E402
from sippy.SipHeader import SipHeader  # noqa: E402
from sippy.SipReplaces import SipReplaces  # noqa: E402
from sippy.SipTransactionManager import SipTransactionManager  # noqa: E402
from sippy.UA import UA  # noqa: E402

__all__ = [
    "UA",
    "CCEventConnect",
    "CCEventDisconnect",
    "CCEventFail",
    "CCEventPreConnect",
    "CCEventRedirect",
    "CCEventRing",
    "CCEventTry",
    "CCEventUpdate",
    "MonoTime",
    "MsgBody",
    "Remote_address",
    "SipAddress",
    "SipCallId",
    "SipConf",
    "SipContact",
    "SipContentType",
    "SipHeader",
    "SipReplaces",
    "SipTransactionManager",
    "SipURL",
    "repeating",
    "use_loop",
]
