"""What a session has counted, read from its node just before it is deleted, as the event call.media. Pure.

Packets, loss and jitter are those of what arrived from each side. A side that never sent is named: one-way audio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rtpproxy_ctl.commands import Query, parse_counters
from rtpproxy_ctl.controller.nodes import Done
from rtpproxy_ctl.controller.sessions import Session
from rtpproxy_ctl.errors import BadReply
from rtpproxy_ctl.protocol import SESSION_COUNTERS, is_error

#: All that a session tells, but the packets that came twice.
COUNTERS = SESSION_COUNTERS[:-1]
#: Payload types below have a clock of 8 kHz (RFC 3551 section 6; G.722's too); jitter is in its units.
FIRST_DYNAMIC_TYPE, UNITS_PER_MS = 96, 8.0


class Collector:
    """Asks about both sides of a session and journals what was answered."""

    def __init__(self, session: Session, event: Callable[..., None], node: str) -> None:
        self._session, self._event, self._node = session, event, node
        self._answers: dict[str, Mapping[str, float]] = {}
        self._waiting = 0

    def questions(self) -> Iterator[tuple[str, Done]]:
        """Yield the commands, each with what takes its reply."""
        first, second = self._session.node_tags()
        sides = [("a", first, second)] + ([("b", second, first)] if second else [])
        self._waiting = len(sides)
        for name, own, other in sides:
            # Without the other tag RTPProxy takes the first counter for it.
            query = Query(self._session.handle, own, other or "-", COUNTERS, verbose=True)
            yield query.encode(), self._taker(name)

    def _taker(self, name: str) -> Done:
        def take(text: str | None) -> None:
            self._waiting -= 1
            if text is not None and is_error(text) is None:
                try:
                    self._answers[name] = parse_counters(text)
                except BadReply:
                    self._answers.pop(name, None)
            if self._waiting == 0 and self._answers:
                self._tell()

        return take

    def _tell(self) -> None:
        session = self._session
        data = report(self._answers, joined=session.joined)
        for name, side in (("a", session.caller), ("b", session.callee)):
            static = bool(side.codecs) and side.codecs[0] < FIRST_DYNAMIC_TYPE
            for kind in ("jitter_max", "jitter_avg"):
                units = data.pop(f"{name}_{kind}_units", None)
                if units is not None and static:
                    data[f"{name}_{kind}_ms"] = round(units / UNITS_PER_MS, 2)
        self._event("call.media", call=session.call or None, node=self._node, **data)


def report(answers: Mapping[str, Mapping[str, float]], *, joined: bool) -> dict[str, Any]:
    """Turn the counters of both sides into the data of call.media."""
    data: dict[str, Any] = {}
    for name, counters in answers.items():
        data |= _side(name, counters)
    one = answers.get("a") or answers.get("b") or {}
    data |= {"relayed": int(one.get("nrelayed", 0)), "dropped": int(one.get("ndropped", 0))}
    packets = {"caller": data.get("a_packets", 0), "callee": data.get("b_packets", 0)}
    silent = [side for side, count in packets.items() if count == 0]
    if joined and silent:
        data["silent"] = silent[0] if len(silent) == 1 else "both"
    return data


def _side(name: str, counters: Mapping[str, float]) -> dict[str, Any]:
    received, lost = int(counters.get("rtpa_nrcvd", 0)), int(counters.get("rtpa_nlost", 0))
    data: dict[str, Any] = {
        f"{name}_packets": int(counters.get("npkts_ina", 0)),
        f"{name}_lost": lost,
        f"{name}_longest_gap_ms": round(counters.get("longest_ipi", 0.0) * 1000),
        f"{name}_jitter_max_units": counters.get("rtpa_jmax", 0.0),
        f"{name}_jitter_avg_units": counters.get("rtpa_javg", 0.0),
    }
    if received + lost:
        data[f"{name}_loss_percent"] = round(100 * lost / (received + lost), 2)
    return data
