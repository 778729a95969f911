"""From what a node wrote (pcap) to one stereo WAV: left the caller, right the callee.

The samples are those of the codec: G.711 by table, G.722 by its decoder; both at 16 kHz if G.722 occurs, else
at 8 kHz. Where each packet belongs, callcore/rtp_placement.py decides; what was not recorded (loss, hold, pause)
is silence. Works through the call minute by minute, so an hour costs no more memory than a minute.
Never touches the database and never deletes what it reads.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from G722 import G722
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from callcore.g711 import ALAW_DECODED, ULAW_DECODED
from callcore.recording_manifest import Manifest, Mark, Side, WindowKind, marks
from callcore.resample import REACH, double
from callcore.rtp_placement import TICKS_PER_SECOND, Packets, Placement, place
from kalibri.files import replacing
from kalibri.pcap import PcapFile, RtpPackets, read_pcap

Samples = NDArray[np.int16]
Ints = NDArray[np.int64]

PCMU, PCMA, G722_PAYLOAD = 0, 8, 9
#: Static payload types (RFC 3551 table 4) that can be decoded, by name.
CODECS: Final = {PCMU: "PCMU", PCMA: "PCMA", G722_PAYLOAD: "G722"}
_TABLES: Final = {PCMU: ULAW_DECODED, PCMA: ALAW_DECODED}
BLOCK_TICKS: Final = 60 * TICKS_PER_SECOND
#: Nothing is longer.
LONGEST_TICKS: Final = 24 * 3600 * TICKS_PER_SECOND
#: How far a clock may be wrong while the manifest and the files are written.
CLOCK_ERROR_US: Final = 3600 * 1_000_000
NARROW, WIDE = 8000, 16000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """What is known of a recording once its audio is placed."""

    #: Time of the first sample.
    origin: datetime
    duration_ms: int
    #: Samples per second and side.
    rate: int
    marks: tuple[Mark, ...]
    #: Per side: packets, lost, repeated, reordered, streams, restarts, codecs, other payload types.
    quality: dict[str, dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return what is stored beside the WAV."""
        return {
            "origin": self.origin.isoformat(),
            "duration_ms": self.duration_ms,
            "rate": self.rate,
            "marks": [mark.to_json() for mark in self.marks],
            "quality": self.quality,
        }


@dataclass(frozen=True, slots=True)
class _Track:
    """One side: its packets in the order of the time line."""

    files: Sequence[PcapFile]
    #: Which file each packet is in.
    file: Ints
    packets: RtpPackets
    placement: Placement

    @property
    def position(self) -> Ints:
        return self.placement.position

    @property
    def end(self) -> int:
        return int((self.position + self.packets.length).max(initial=0))

    def only(self, rows: NDArray[np.bool_]) -> _Track:
        kept = replace(
            self.placement,
            rows=self.placement.rows[rows],
            position=self.position[rows],
            stream=self.placement.stream[rows],
        )
        return _Track(self.files, self.file[rows], self.packets.select(rows), kept)

    def moved(self, ticks: int) -> _Track:
        return replace(self, placement=replace(self.placement, position=self.position + ticks))


def mix(manifest: Manifest, files: Sequence[Path], wav: Path) -> Mixed:
    """Write the WAV of a recording (whole or not at all); without any audio it has no samples.

    files: in the order of the segments. Raises BadPcap, OSError.
    """
    opened = _in_time(manifest, [read_pcap(path) for path in files])
    tracks, origin, quality = _tracks(manifest, opened)
    end = min(max([track.end for track in tracks] + [_pauses_end(manifest, origin)]), LONGEST_TICKS)
    duration_ms = end * 1000 // TICKS_PER_SECOND
    wide = any(np.any(track.packets.payload_type == G722_PAYLOAD) for track in tracks)
    rate = WIDE if wide else NARROW
    _write(wav, [_Renderer(track, rate) for track in tracks], end, rate)
    return Mixed(
        origin=origin,
        duration_ms=duration_ms,
        rate=rate,
        marks=marks(manifest.windows, origin=origin, duration_ms=duration_ms),
        quality=quality,
    )


# --------------------------------------------------------------------------------------------------- place


def _in_time(manifest: Manifest, files: list[PcapFile]) -> list[PcapFile]:
    """Drop packets whose time cannot be true: a damaged file must not make a recording of a day."""
    times = np.concatenate([file.packets.at_us for file in files]) if files else np.zeros(0)
    if not len(times) or manifest.stopped_at is None:
        return files
    middle = float(np.median(times))
    length_us = (manifest.stopped_at - manifest.started_at).total_seconds() * 1_000_000
    span = max(length_us, 0) + CLOCK_ERROR_US
    return [
        replace(file, packets=file.packets.select(np.abs(file.packets.at_us - middle) <= span))
        for file in files
    ]


def _tracks(
    manifest: Manifest, files: Sequence[PcapFile]
) -> tuple[list[_Track], datetime, dict[str, dict[str, Any]]]:
    """Place both sides on one time line; return also the time of its first sample."""
    first_us = min((int(file.packets.at_us.min()) for file in files if len(file.packets)), default=None)
    if first_us is None:
        start = manifest.started_at
        first_us = int(start.timestamp()) * 1_000_000 + start.microsecond
    ports = _sides(manifest, files)
    tracks, quality = [], {}
    for side in Side:
        track, told = _track(files, [port for port, owner in ports.items() if owner is side], first_us)
        tracks.append(track)
        quality[side.value] = told
    base = min((int(track.position.min()) for track in tracks if len(track.position)), default=0)
    origin = datetime.fromtimestamp(first_us / 1_000_000, UTC) + timedelta(seconds=base / TICKS_PER_SECOND)
    tracks = [_without_pauses(track.moved(-base), manifest, origin) for track in tracks]
    return tracks, origin, quality


def _sides(manifest: Manifest, files: Sequence[PcapFile]) -> dict[int, Side]:
    """Return whose packets arrive on each port.

    A port that the manifest does not name (its controller died early) belongs to the side that has none.
    """
    sides = dict(manifest.ports)
    seen = [int(port) for file in files for port in file.packets.port[np.sort(_first(file.packets.port))]]
    for port in seen:
        if port not in sides:
            missing = [side for side in Side if side not in sides.values()]
            if missing:
                sides[port] = missing[0]
    return sides


def _first(values: Ints) -> NDArray[np.intp]:
    return np.asarray(np.unique(values, return_index=True)[1], np.intp)


def _track(files: Sequence[PcapFile], ports: Sequence[int], first_us: int) -> tuple[_Track, dict[str, Any]]:
    """Collect and place the audio of one side from all files."""
    chosen = [np.flatnonzero(np.isin(file.packets.port, ports)) for file in files]
    everything = _joined([file.packets.select(rows) for file, rows in zip(files, chosen, strict=True)])
    number = np.repeat(np.arange(len(files)), [len(rows) for rows in chosen])
    audible = np.isin(everything.payload_type, list(CODECS)) & (everything.length > 0)
    arrival = (everything.at_us - first_us) * TICKS_PER_SECOND // 1_000_000
    audible &= arrival < LONGEST_TICKS
    packets, arrival, number = everything.select(audible), arrival[audible], number[audible]
    placement = place(Packets(arrival, packets.sequence, packets.timestamp, packets.ssrc, packets.length))
    track = _Track(files, number[placement.rows], packets.select(placement.rows), placement)
    return track, _quality(placement, packets, len(everything) - len(packets))


def _joined(parts: Sequence[RtpPackets]) -> RtpPackets:
    names = RtpPackets.__slots__
    empty = np.zeros(0, np.int64)
    return RtpPackets(*(np.concatenate([empty, *(getattr(part, name) for part in parts)]) for name in names))


def _quality(placement: Placement, packets: RtpPackets, other: int) -> dict[str, Any]:
    types, counts = np.unique(packets.payload_type, return_counts=True)
    return {
        "packets": placement.received,
        "lost": placement.lost,
        "repeated": placement.repeated,
        "reordered": placement.reordered,
        "streams": placement.streams,
        "restarts": placement.restarts,
        "codecs": {CODECS[int(kind)]: int(count) for kind, count in zip(types, counts, strict=True)},
        "other": other,
    }


def _ticks(at: datetime, origin: datetime) -> int:
    return round((at - origin).total_seconds() * TICKS_PER_SECOND)


def _without_pauses(track: _Track, manifest: Manifest, origin: datetime) -> _Track:
    """Drop what was recorded inside a pause: the node may stop some packets after it was told to."""
    keep = np.ones(len(track.position), bool)
    for window in manifest.windows:
        if window.kind is WindowKind.PAUSE:
            after = track.position + track.packets.length > _ticks(window.start, origin)
            before = True if window.end is None else track.position < _ticks(window.end, origin)
            keep &= ~(after & before)
    return track.only(keep)


def _pauses_end(manifest: Manifest, origin: datetime) -> int:
    """Return where the last pause ends: a call that ends in a pause is not shorter for it."""
    ends = [
        window.end or manifest.stopped_at for window in manifest.windows if window.kind is WindowKind.PAUSE
    ]
    return max((_ticks(end, origin) for end in ends if end is not None), default=0)


# -------------------------------------------------------------------------------------------------- render


class _Renderer:
    """Makes the samples of one side, block after block."""

    def __init__(self, track: _Track, rate: int) -> None:
        self._track = track.only(track.packets.payload_type != G722_PAYLOAD)
        self._longest = int(self._track.packets.length.max(initial=1))
        self._wide = _WideRenderer(track.only(track.packets.payload_type == G722_PAYLOAD))
        self._rate = rate

    def block(self, start: int, end: int) -> Samples:
        """Return the samples of the ticks from `start` to `end`; blocks follow each other."""
        if self._rate == NARROW:
            return self._narrow(start, end)
        samples = double(self._narrow(start - REACH, end + REACH))
        wide, filled = self._wide.block(start, end)
        np.copyto(samples, wide, where=np.repeat(filled, 2))
        return samples

    def _narrow(self, start: int, end: int) -> Samples:
        track, margin = self._track, self._longest
        out = np.zeros(end - start + 2 * margin, np.int16)
        low, high = np.searchsorted(track.position, [start - margin + 1, end])
        rows = np.arange(low, high)
        packets, file = track.packets, track.file[rows]
        # Packets of one file, codec and length are copied at once; a call has one such group, or a few.
        kinds = np.stack((file, packets.payload_type[rows], packets.length[rows]))
        for number, payload_type, length in np.unique(kinds, axis=1).T.tolist():
            same = rows[np.all(kinds == [[number], [payload_type], [length]], axis=0)]
            octets = sliding_window_view(track.files[number].data, length)[packets.offset[same]]
            places = sliding_window_view(out, length, writeable=True)
            places[track.position[same] - start + margin] = _TABLES[payload_type][octets]
        return out[margin : margin + end - start]


class _WideRenderer:
    """G.722: its decoder has a memory, so the packets of a stream go through it in order, each once."""

    def __init__(self, track: _Track) -> None:
        self._track = track
        self._next = 0
        self._stream = -1
        self._decoder: Any = None
        self._longest = int(track.packets.length.max(initial=0))
        #: What was decoded beyond the end of the last block.
        self._ahead = np.zeros(2 * self._longest, np.int16)
        self._ahead_filled = np.zeros(self._longest, bool)

    def block(self, start: int, end: int) -> tuple[Samples, NDArray[np.bool_]]:
        """Return the samples of a block and which of its ticks have any."""
        ticks = end - start + self._longest
        samples, filled = np.zeros(2 * ticks, np.int16), np.zeros(ticks, bool)
        samples[: len(self._ahead)], filled[: len(self._ahead_filled)] = self._ahead, self._ahead_filled
        for position, decoded in self._decoded_until(end):
            # A packet that overlaps what a block before has given away loses its beginning.
            skip = max(start - position, 0)
            at = position + skip - start
            count = len(decoded) // 2 - skip
            if count > 0:
                samples[2 * at : 2 * (at + count)] = decoded[2 * skip :]
                filled[at : at + count] = True
        inside = end - start
        self._ahead, self._ahead_filled = samples[2 * inside :], filled[inside:]
        return samples[: 2 * inside], filled[:inside]

    def _decoded_until(self, end: int) -> Iterator[tuple[int, Samples]]:
        """Decode the packets that begin before `end`, and yield them with their places."""
        position, packets = self._track.position, self._track.packets
        stop = int(np.searchsorted(position, end))
        for row in range(self._next, stop):
            if int(self._track.placement.stream[row]) != self._stream:
                self._stream = int(self._track.placement.stream[row])
                self._decoder = G722(WIDE, 64_000)
            offset = int(packets.offset[row])
            octets = self._track.files[int(self._track.file[row])].data[
                offset : offset + int(packets.length[row])
            ]
            yield int(position[row]), np.frombuffer(self._decoder.decode(octets.tobytes()), np.int16)
        self._next = stop


def _write(wav: Path, sides: Sequence[_Renderer], end: int, rate: int) -> None:
    with replacing(wav) as file, wave.open(file, "wb") as out:
        out.setnchannels(len(sides))
        out.setsampwidth(2)
        out.setframerate(rate)
        for start in range(0, end, BLOCK_TICKS):
            blocks = [side.block(start, min(start + BLOCK_TICKS, end)) for side in sides]
            out.writeframesraw(np.stack(blocks, axis=1).astype("<i2").tobytes())
