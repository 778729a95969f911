"""What the RTP controller tells of a recording: one JSON line for each thing that happened (docs/contracts.md 11).

Reads lines into one `Manifest`, whatever is missing, torn or unknown in them, and turns the windows in it
(pause, hold, music) into marks on the time line of the audio. Never opens a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from callcore.errors import BadInput
from callcore.recording import RecordingReason


class Side(StrEnum):
    """Who speaks; the caller is on the left channel, the callee on the right."""

    CALLER = "caller"
    CALLEE = "callee"


class WindowKind(StrEnum):
    """Why something is not to be heard."""

    #: Somebody paused the recording: nothing was written.
    PAUSE = "pause"
    #: The side was put on hold.
    HOLD = "hold"
    #: A prompt was played to the side; what the other side said meanwhile is not recorded.
    MUSIC = "music"


class BadManifest(BadInput):
    """The manifest of a recording does not say what it belongs to."""

    error_id = "bad-manifest"


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the node."""

    n: int
    #: Name inside the final folder.
    file: str


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when something held; end None: until the end of the recording."""

    kind: WindowKind
    #: None: both sides.
    side: Side | None
    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A recording as its controller told it."""

    recording_id: UUID
    call_id: UUID
    tenant_id: int | None
    node: str
    host: str
    reason: RecordingReason
    a_number: str
    b_number: str
    spool_dir: str
    final_dir: str
    started_at: datetime
    segments: tuple[Segment, ...] = ()
    #: Port of the node on which a side's packets arrive → the side.
    ports: Mapping[int, Side] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    #: None: the controller has not ended it (yet).
    stopped_at: datetime | None = None
    stop_reason: str = ""
    #: Lines that could not be read.
    bad_lines: int = 0


def parse_manifest(text: bytes) -> Manifest:
    """Read a manifest; raises BadManifest if its start is missing.

    A torn last line (the controller was killed while writing it) and lines of unknown kinds are passed over.
    """
    lines, bad = [], 0
    for raw in text.split(b"\n"):
        if raw.strip():
            line = _line(raw)
            bad += line is None
            lines += [] if line is None else [line]
    start = next((line for line in lines if line["kind"] == "start"), None)
    if start is None:
        raise BadManifest("the manifest has no start")
    try:
        return _manifest(start, lines, bad)
    except (KeyError, TypeError, ValueError) as error:
        raise BadManifest(f"the manifest cannot be read: {error!r}") from error


def _line(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
        line["at"] = datetime.fromisoformat(line["at"]).astimezone(UTC)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return line if isinstance(line.get("kind"), str) else None


def _manifest(start: dict[str, Any], lines: Sequence[dict[str, Any]], bad: int) -> Manifest:
    stop = next((line for line in lines if line["kind"] == "stop"), None)
    tenant = start.get("tenant")
    return Manifest(
        recording_id=UUID(start["recording_id"]),
        call_id=UUID(start["call"]),
        tenant_id=None if tenant is None else int(tenant),
        node=str(start.get("node", "")),
        host=str(start.get("host", "")),
        reason=RecordingReason(start.get("by", RecordingReason.DEMAND)),
        a_number=_printable(start.get("a")),
        b_number=_printable(start.get("b")),
        spool_dir=str(start["spool_dir"]),
        final_dir=str(start["final_dir"]),
        started_at=start["at"],
        segments=_segments(lines),
        ports=_ports(lines),
        windows=tuple(_windows(lines)),
        stopped_at=None if stop is None else stop["at"],
        stop_reason="" if stop is None else str(stop.get("reason", "")),
        bad_lines=bad,
    )


def _printable(value: object) -> str:
    """Return text that a database can hold: numbers come from phones."""
    text = "" if value is None else str(value)[:128]
    return "".join(char if char.isprintable() else "?" for char in text)


def _segments(lines: Iterable[dict[str, Any]]) -> tuple[Segment, ...]:
    found: dict[str, Segment] = {}
    for line in lines:
        if line["kind"] == "segment":
            name = str(line["file"])
            if "/" in name or name in ("", ".", "..") or "\0" in name:
                raise ValueError(f"segment file {name!r}")
            found.setdefault(name, Segment(int(line.get("n", len(found) + 1)), name))
    return tuple(sorted(found.values(), key=lambda segment: segment.n))


def _ports(lines: Iterable[dict[str, Any]]) -> dict[int, Side]:
    """Collect the ports of both sides; a re-INVITE may add one."""
    return {int(line["local_port"]): Side(line["side"]) for line in lines if line["kind"] == "side"}


#: Kind of line → (what it begins or ends, whether it begins).
_TURNS: Mapping[str, tuple[WindowKind, bool]] = {
    "pause": (WindowKind.PAUSE, True),
    "resume": (WindowKind.PAUSE, False),
    "hold": (WindowKind.HOLD, True),
    "unhold": (WindowKind.HOLD, False),
}


def _windows(lines: Iterable[dict[str, Any]]) -> list[Window]:
    """Pair beginnings with ends; a repeated beginning changes nothing."""
    open_: dict[tuple[WindowKind, Side | None], datetime] = {}
    windows = []
    for line in lines:
        turn = _TURNS.get(line["kind"])
        if line["kind"] == "music":
            turn = (WindowKind.MUSIC, bool(line.get("on")))
        if turn is None:
            continue
        kind, begins = turn
        key = kind, None if kind is WindowKind.PAUSE else Side(line["side"])
        if begins:
            open_.setdefault(key, line["at"])
        elif key in open_:
            windows.append(Window(*key, open_.pop(key), line["at"]))
    windows += [Window(*key, start, None) for key, start in open_.items()]
    return sorted(windows, key=lambda window: window.start)


# ------------------------------------------------------------------------------------------------- marks


@dataclass(frozen=True, slots=True)
class Mark:
    """A window on the time line of the audio, in milliseconds from its beginning."""

    kind: WindowKind
    side: Side | None
    from_ms: int
    to_ms: int

    def to_json(self) -> dict[str, object]:
        """Return what the database and the file beside the audio hold."""
        return {"kind": self.kind.value, "side": self.side, "from_ms": self.from_ms, "to_ms": self.to_ms}


def marks(windows: Iterable[Window], *, origin: datetime, duration_ms: int) -> tuple[Mark, ...]:
    """Return the windows that overlap the audio; origin: the time of its first sample."""
    found = []
    for window in windows:
        start = max(_ms(window.start, origin), 0)
        end = duration_ms if window.end is None else min(_ms(window.end, origin), duration_ms)
        if start < end:
            found.append(Mark(window.kind, window.side, start, end))
    return tuple(found)


def _ms(at: datetime, origin: datetime) -> int:
    return round((at - origin).total_seconds() * 1000)
