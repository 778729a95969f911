"""Recording of a call while it lasts: start, stop, pause, resume, asked of every RTP controller of this host.

The controller that has the call's media acts; the others remember a start for 180 seconds, in case the call comes
to them. Files and rows of recordings are the business of ks-rec and kalibri/services/recording.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from callcore.errors import KalibriError, NotFound, Unavailable
from kalibri.config import Config
from kalibri.rtp_rpc import call_controller

#: Asks one controller: (its name, method, params) → result; raises Unavailable, ControllerRefused.
Ask = Callable[[str, str, dict[str, Any]], Any]


class NotRecorded(NotFound):
    """This call is not being recorded."""

    error_id = "not-recorded"


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """What became of an order."""

    call: str
    #: Recordings that it concerned (UUIDv7).
    recordings: tuple[str, ...]
    #: The call has no media yet; recording begins with it.
    waiting: bool = False


def start(
    config: Config,
    *,
    call: str,
    by: str = "demand",
    tenant: int | None = None,
    a: str = "",
    b: str = "",
    ask: Ask | None = None,
) -> Ordered:
    """Record a call (X-KS-Call) from now on, or from its first media on.

    by: route, queue, account, demand or api. a, b: numbers of the parties, for the recording's row. Raises
    Unavailable when no controller answers, ControllerRefused for bad values.
    """
    params = {"call": call, "by": by, "tenant": tenant, "a": a, "b": b}
    recordings = _order(config, "record.start", params, ask)
    return Ordered(call=call, recordings=recordings, waiting=not recordings)


def stop(config: Config, *, call: str, by: str = "demand", ask: Ask | None = None) -> Ordered:
    """End the recording of a call; raises NotRecorded, Unavailable."""
    return _change(config, "record.stop", call, by, ask)


def pause(config: Config, *, call: str, by: str = "demand", ask: Ask | None = None) -> Ordered:
    """Write nothing from now on; the gap is marked. Raises NotRecorded, Unavailable."""
    return _change(config, "record.pause", call, by, ask)


def resume(config: Config, *, call: str, by: str = "demand", ask: Ask | None = None) -> Ordered:
    """Go on after a pause; raises NotRecorded, Unavailable."""
    return _change(config, "record.resume", call, by, ask)


def _change(config: Config, method: str, call: str, by: str, ask: Ask | None) -> Ordered:
    recordings = _order(config, method, {"call": call, "by": by}, ask)
    if not recordings:
        raise NotRecorded(f"the call {call} is not being recorded", call=call)
    return Ordered(call=call, recordings=recordings)


def _order(config: Config, method: str, params: dict[str, Any], ask: Ask | None) -> tuple[str, ...]:
    """Ask every controller; return the recordings of all that answer. One that is down hinders nothing."""
    ask = ask or _asker(config)
    recordings: list[str] = []
    trouble: list[KalibriError] = []
    for name in config.rtp_controllers:
        try:
            recordings += ask(name, method, params)["recordings"]
        except Unavailable as error:
            trouble.append(error)
    if len(trouble) == len(config.rtp_controllers):
        raise trouble[0]
    return tuple(dict.fromkeys(recordings))


def _asker(config: Config) -> Ask:
    return lambda name, method, params: call_controller(config.rtp_controller_socket(name), method, params)
