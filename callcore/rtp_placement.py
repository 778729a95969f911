"""Where each RTP packet of one side belongs on the time line of a recording.

RTP timestamps place audio to the sample; arrival times only anchor them, because a stream's first timestamp is
random (RFC 3550 section 5.1). One stream (SSRC) keeps its anchor as long as its timestamps and the clock agree
within TOLERANCE_TICKS, so reordered, repeated, late and lost packets move nothing. Where they part (a phone that
begins its timestamps anew, or stands still on hold; clocks that drift for an hour) a new run is anchored by the
packet that came with the least delay. A run that begins where the one before ended is joined to it without
gap or overlap, so a change of SSRC costs no sample.

Pure and vectorised: an hour of a call is 180 000 packets a side. Times are ticks of 8 kHz, the RTP clock of
G.711 and of G.722 alike (RFC 3551 section 4.5.2).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

TICKS_PER_SECOND = 8000
#: How far timestamps and arrival may part before a stream is anchored anew: more than any jitter that a phone
#: plays, less than anybody would call in step.
TOLERANCE_TICKS = TICKS_PER_SECOND // 4
#: A run that begins this close to the end of the one before is its continuation.
JOIN_TICKS = TICKS_PER_SECOND * 60 // 1000
#: The anchor is looked at again after so long: clocks drift.
CHUNK_TICKS = 60 * TICKS_PER_SECOND
#: Packets that come late and alone are late, not a new beginning.
STRAY_PACKETS = 5
LATE_TICKS = 5 * TICKS_PER_SECOND
#: Anchors of a stream that a late packet may still belong to.
REMEMBERED_ANCHORS = 8
#: A greater step of the sequence number is a new beginning, not a loss (RFC 3550 appendix A.1: MAX_DROPOUT).
RESTART_STEP = 3000
#: Streams of one side that are looked at, the longest ones: a flood of random SSRCs is no conversation.
MAX_STREAMS = 256


@dataclass(frozen=True, slots=True)
class Packets:
    """RTP packets of one side in the order of arrival; arrays of one length."""

    #: Time of arrival in ticks from the beginning of the recording.
    arrival: Ints
    sequence: Ints
    timestamp: Ints
    ssrc: Ints
    #: Length of the payload in ticks.
    ticks: Ints

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Packets:
        """Return some of the packets."""
        return Packets(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True, slots=True)
class Placement:
    """Where packets belong, in the order of the time line, each place once."""

    #: Index into the packets.
    rows: NDArray[np.intp]
    #: Ticks from the beginning of the recording; the first may be before it.
    position: Ints
    #: Which stream (0, 1, …) a packet is of: a decoder with memory begins anew with each.
    stream: Ints
    received: int
    #: Packets that the sequence numbers miss.
    lost: int
    repeated: int
    reordered: int
    streams: int
    #: How often a stream had to be anchored anew.
    restarts: int


def place(packets: Packets) -> Placement:
    """Place the packets of one side."""
    position = packets.arrival.copy()
    stream = np.full(len(position), -1, np.int64)
    runs: list[_Run] = []
    lost = reordered = 0
    for number, ssrc in enumerate(_streams(packets.ssrc)):
        rows = np.flatnonzero(packets.ssrc == ssrc)
        one = packets.select(rows)
        stream[rows] = number
        runs += _runs_of(one, rows)
        steps = _signed(np.diff(one.sequence), 16)
        reordered += int(np.count_nonzero(steps < 0))
        lost += _lost(steps)
    for run in runs:
        position[run.rows] = run.positions
    _join(runs, position, packets.ticks)
    kept, repeated = _in_order(position, stream)
    return Placement(
        rows=kept,
        position=position[kept],
        stream=stream[kept],
        received=len(position),
        lost=lost,
        repeated=repeated,
        reordered=reordered,
        streams=int(stream.max(initial=-1)) + 1,
        restarts=max(len(runs) - 1, 0),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """Packets of one stream with one anchor."""

    rows: NDArray[np.intp]
    positions: Ints


def _streams(ssrc: Ints) -> list[int]:
    """Return the SSRCs in the order of their first packet; of too many, the longest ones."""
    values, first, counts = np.unique(ssrc, return_index=True, return_counts=True)
    longest = np.argsort(-counts, kind="stable")[:MAX_STREAMS]
    return [int(values[i]) for i in sorted(longest, key=lambda i: first[i])]


def _signed(values: Ints, bits: int) -> Ints:
    """Return differences of counters that wrap, as the signed number of so many bits."""
    half = 1 << bits - 1
    return ((values + half) & (1 << bits) - 1) - half


def _lost(steps: Ints) -> int:
    """Count sequence numbers that never came; steps between packets in the order of arrival."""
    beginnings = np.flatnonzero(np.abs(steps) >= RESTART_STEP) + 1
    numbers = np.concatenate(([0], np.cumsum(steps)))
    return sum(
        int(part.max() - part.min()) + 1 - len(np.unique(part)) for part in np.split(numbers, beginnings)
    )


def _runs_of(packets: Packets, rows: NDArray[np.intp]) -> list[_Run]:
    """Split one stream into runs that keep one anchor."""
    extended = np.concatenate(([0], np.cumsum(_signed(np.diff(packets.timestamp), 32))))
    deviation = packets.arrival - extended
    starts = _chunk_starts(deviation, packets.arrival)
    floors = np.minimum.reduceat(deviation, starts)
    sizes = np.diff(np.append(starts, len(rows)))
    anchors = np.repeat(_anchors(floors.tolist(), sizes.tolist()), sizes)
    positions = extended + anchors
    return [_Run(rows[anchors == anchor], positions[anchors == anchor]) for anchor in _unique(anchors)]


def _unique(values: Ints) -> list[int]:
    """Return different values in the order of their first appearance."""
    found, first = np.unique(values, return_index=True)
    return [int(value) for value in found[np.argsort(first)]]


def _chunk_starts(deviation: Ints, arrival: Ints) -> NDArray[np.intp]:
    """Return where the anchor is looked at: at the beginning, at jumps, and each minute."""
    jump = np.abs(np.diff(deviation)) > TOLERANCE_TICKS
    minute = np.diff((arrival - arrival[0]) // CHUNK_TICKS) > 0
    return np.concatenate(([0], np.flatnonzero(jump | minute) + 1)).astype(np.intp)


def _anchors(floors: list[int], sizes: list[int]) -> list[int]:
    """Choose the anchor of each chunk: one that the stream had lately, or its own least delay."""
    known: list[int] = []
    chosen = []
    for floor, size in zip(floors, sizes, strict=True):
        anchor = next((old for old in reversed(known) if abs(floor - old) <= TOLERANCE_TICKS), None)
        if anchor is None and known and size <= STRAY_PACKETS and 0 < floor - known[-1] <= LATE_TICKS:
            anchor = known[-1]
        if anchor is None:
            anchor = floor
        if anchor not in known:
            known = [*known[1 - REMEMBERED_ANCHORS :], anchor]
        chosen.append(anchor)
    return chosen


def _join(runs: list[_Run], position: Ints, ticks: Ints) -> None:
    """Move runs that begin about where the one before ended exactly there, in `position`."""
    ended: int | None = None
    for run in sorted(runs, key=lambda run: int(run.positions.min())):
        first = int(run.positions.min())
        if ended is not None and 0 < abs(first - ended) <= JOIN_TICKS:
            position[run.rows] += ended - first
        end = int((position[run.rows] + ticks[run.rows]).max())
        ended = end if ended is None else max(ended, end)


def _in_order(position: Ints, stream: Ints) -> tuple[NDArray[np.intp], int]:
    """Return the packets in the order of the time line, and how many came twice.

    Of several for one place the last that arrived counts.
    """
    order = np.argsort(position, kind="stable")
    order = order[stream[order] >= 0]
    last = np.append(np.diff(position[order]) > 0, True) if len(order) else np.zeros(0, bool)
    return order[last], int(np.count_nonzero(~last))
