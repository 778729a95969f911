"""The journal: each process appends what happened to a file of its own; ks_cdr reads it from there.

Decides the form of a line, the life of a file, and when a file will never grow again. It never raises into
its caller (an event that cannot be written is counted and reported, the call goes on), never waits for
another process, and never touches the database.

A file belongs to one process: <node>-<process>-<boot>-<pid>-<seq>.jsonl. The writer holds an exclusive flock
on it for as long as it may write; the kernel lets go when the process dies, however it dies. So "the writer
is gone" is "the lock is free", which a reused process id or another PID namespace cannot fool. seq is the
time of opening in ms: a name is never used twice, even when its file was deleted and the process id came
round again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import random
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quote
from pathlib import Path
from typing import Any
from uuid import UUID

from callcore.errors import KalibriError
from callcore.event import Event
from callcore.ids import TICKS_PER_MS, uuid7_text

SUFFIX = ".jsonl"
MAX_LINE_BYTES = 65536
#: A file that has reached this size is left for the reader and a new one begun.
MAX_FILE_BYTES = 64 * 1024 * 1024
#: A clock stepped back by less than this keeps counting up: the order of a process's events is worth more.
SMALL_STEP_TICKS = 1000 * TICKS_PER_MS
#: After a failed open the next try waits this long: a full disk must not cost every call an open().
REOPEN_TICKS = 1000 * TICKS_PER_MS
#: Lengths to which long texts and lists of an oversized event are cut, until the line fits.
CUTS = (4096, 1024, 256, 64, 16)
#: No line of ours is longer; what is longer without a newline is quarantined in pieces.
MAX_READ_BYTES = 4 * 1024 * 1024


class BadLine(KalibriError):
    """A journal line cannot be read."""

    error_id = "bad-journal-line"


class _ShortWrite(OSError):
    """Only a part of what was to be written found room on the disk."""

    def __init__(self, written: int, lines: bytes) -> None:
        super().__init__(f"short write of {written} of {len(lines)} bytes")
        #: Lines that are not whole.
        self.events = lines.count(b"\n", written)


def boot_id() -> str:
    """Return 8 hex digits that change with every boot of the machine."""
    try:
        seed = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        seed = str(time.time_ns()).encode()
    return hashlib.sha256(seed).hexdigest()[:8]


def _report_to_stderr(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _other_types(value: object) -> object:
    """Turn what JSON does not know into something that it does."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    return str(value)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_other_types)


def _fast_encoder() -> Callable[[object], str]:
    """Return the encoder of JSON; the standard library makes a new one in C for each value that it encodes."""
    make = json.encoder.c_make_encoder  # type: ignore[attr-defined]
    if make is None:  # an interpreter without it
        return _ENCODER.encode
    in_c = make(None, _other_types, quote, None, ":", ",", False, False, False)
    return lambda value: "".join(in_c(value, 0))


_encode = _fast_encoder()


def _plain(value: object, limit: int, depth: int = 0) -> Any:
    """Return a copy of `value` that JSON can hold, long texts and lists cut to `limit` with a marker."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else "[cut: a huge number]"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth > 8:
        return "[cut: too deep]"
    if isinstance(value, dict):
        cut = {str(key)[:limit]: _plain(item, limit, depth + 1) for key, item in list(value.items())[:limit]}
        return cut if len(value) <= limit else cut | {"cut": f"{len(value) - limit} keys"}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_plain(item, limit, depth + 1) for item in list(value)[:limit]]
        return items if len(value) <= limit else [*items, f"[cut: {len(value) - limit} more]"]
    text = value if isinstance(value, str) else str(_other_types(value))
    return text if len(text) <= limit else f"{text[:limit]}[cut: {len(text) - limit} more]"


class JournalWriter:
    """Append events of this process to its journal file.

    The file is opened at the first event, and again in a process that was forked since: a parent may make
    the writer before it forks. `clock` returns Unix time in ns. `report` gets one line when writing begins
    to fail.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        node: str,
        process: str,
        *,
        clock: Callable[[], int] = time.time_ns,
        boot: str | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
        max_file_bytes: int = MAX_FILE_BYTES,
        report: Callable[[str], None] = _report_to_stderr,
    ) -> None:
        self._directory = os.fspath(directory)
        self._node = node
        self._process = process
        self._clock = clock
        self._boot = boot or boot_id()
        self._max_line_bytes = max_line_bytes
        self._max_file_bytes = max_file_bytes
        self._report = report
        self._kinds: dict[str, str] = {}
        self._fd = -1
        self._begin_process()

    @property
    def path(self) -> str | None:
        """Return the path of the file that this process writes; None before its first event."""
        return self._path if self._fd >= 0 and self._pid == os.getpid() else None

    def event(
        self, kind: str, /, *, call: UUID | str | None = None, tenant: int | None = None, **data: object
    ) -> None:
        """Write one event; never raises.

        What does not fit into a line is cut and marked. An event that cannot be written at all is counted in
        `lost`, and told by a journal.lost event as soon as writing works again.
        """
        line = b""
        try:
            if os.getpid() != self._pid:
                self._begin_process()
            with self._lock:
                line = self._line(kind, call, tenant, data)
                if self._held:
                    line = b"".join((*self._held, line))
                    self._held.clear()
                self._write(line)
                if self._unreported:
                    self._tell_losses()
        # The SIP path must not pay for whatever is wrong here: that is the contract of this method.
        except Exception as error:
            self._lose(error, error.events if isinstance(error, _ShortWrite) else line.count(b"\n") or 1)

    def event_with_next(
        self, kind: str, /, *, call: UUID | str | None = None, tenant: int | None = None, **data: object
    ) -> None:
        """Write one event together with the next one of this process, or at `flush`; never raises.

        For events that follow each other at once: one write(2) of several whole lines is as atomic as one of a single
        line, and costs a third of three.
        """
        try:
            if os.getpid() != self._pid:
                self._begin_process()
            with self._lock:
                self._held.append(self._line(kind, call, tenant, data))
        # As in event.
        except Exception as error:
            self._lose(error, 1)

    def flush(self) -> None:
        """Write what waits for the next event; never raises."""
        if not self._held:
            return
        lines = b""
        try:
            if os.getpid() != self._pid:
                self._begin_process()  # what waited was the parent's
            with self._lock:
                lines = b"".join(self._held)
                self._held.clear()
                if lines:
                    self._write(lines)
        # As in event.
        except Exception as error:
            self._lose(error, error.events if isinstance(error, _ShortWrite) else lines.count(b"\n"))

    def close(self) -> None:
        """Let go of the file; the next event opens a new one."""
        if self._fd >= 0 and self._pid == os.getpid():
            # A forked child may still hold the description open: unlock it for all.
            with suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
        self._fd = -1

    def _begin_process(self) -> None:
        """Start from nothing, in the process that made the writer and in each that was forked since."""
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)  # the parent's: it keeps its lock through its own descriptor
        self._fd = -1
        self._path: str | None = None
        self._pid = os.getpid()
        self._random = random.Random(os.urandom(16))
        self._tail = (
            f',"node":{quote(self._node[:80])},"process":{quote(f"{self._process[:80]}:{self._pid}")},"data":'
        )
        self._second = -1
        self._second_text = ""
        self._held: list[bytes] = []
        self._lock = threading.RLock()  # a signal handler may write while its own thread is writing
        self._size = 0
        self._torn = False
        self._last_ticks = 0
        self._retry_at_ticks = 0
        self._failing = False
        self._unreported = 0
        #: Events that this process could not write.
        self.lost = 0

    def _ticks(self) -> int:
        """Return the time in ticks, always later than the event before unless the clock was set back far."""
        ticks = self._clock() * TICKS_PER_MS // 1_000_000
        if ticks <= self._last_ticks and self._last_ticks - ticks < SMALL_STEP_TICKS:
            ticks = self._last_ticks + 1
        self._last_ticks = ticks
        return ticks

    def _time_text(self, ticks: int) -> str:
        # 999 gives back every microsecond that went into ticks, and never reaches the next millisecond.
        second, microsecond = divmod((ticks * 1000 + 999) >> 12, 1_000_000)
        if second != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._second_text}.{microsecond:06d}Z"

    def _line(self, kind: str, call: UUID | str | None, tenant: int | None, data: dict[str, object]) -> bytes:
        ticks = self._ticks()
        known = self._kinds.get(kind) or self._kinds.setdefault(kind, quote(str(kind)[:64]))
        head = (
            f'{{"id":"{uuid7_text(ticks, self._random.getrandbits(62))}","at":"{self._time_text(ticks)}",'
            f'"kind":{known},"call":{"null" if call is None else quote(str(call)[:64])},'
            f'"tenant":{int(tenant) if isinstance(tenant, int) else "null"}{self._tail}'
        )
        try:
            line = f"{head}{_encode(data)}}}\n"
        except (TypeError, ValueError, RecursionError):
            line = f"{head}{_encode(_plain(data, CUTS[0]))}}}\n"
        # Pure ASCII by construction, so characters are bytes.
        return (line if len(line) <= self._max_line_bytes else self._cut_line(head, data, len(line))).encode()

    def _cut_line(self, head: str, data: dict[str, object], length: int) -> str:
        for limit in CUTS:
            line = f"{head}{_encode(_plain(data, limit) | {'cut_from_bytes': length})}}}\n"
            if len(line) <= self._max_line_bytes:
                return line
        return f'{head}{{"cut_from_bytes":{length}}}}}\n'

    def _write(self, line: bytes) -> None:
        """Append whole lines by one write(2)."""
        if self._size >= self._max_file_bytes:
            self.close()
        if self._fd < 0:
            self._open()
        if self._torn:
            line = b"\n" + line  # what a full disk cut short must not swallow this line too
        written = os.write(self._fd, line)
        self._size += written
        self._torn = written != len(line)
        if self._torn:
            raise _ShortWrite(written, line)
        self._failing = False

    def _open(self) -> None:
        if self._last_ticks < self._retry_at_ticks <= self._last_ticks + REOPEN_TICKS:
            raise OSError("the journal could not be opened a moment ago")
        self._retry_at_ticks = self._last_ticks + REOPEN_TICKS
        os.makedirs(self._directory, exist_ok=True)
        seq = self._last_ticks // TICKS_PER_MS
        while self._fd < 0:
            path = f"{self._directory}/{file_name(self._node, self._process, self._boot, self._pid, seq)}"
            self._fd = _create_locked(path)
            self._path = path
            seq += 1
        self._retry_at_ticks = 0
        self._size = 0
        self._torn = False

    def _lose(self, error: Exception, events: int) -> None:
        self.lost += events
        self._unreported += events
        if not self._failing:
            self._failing = True
            with suppress(Exception):
                self._report(f"journal: events of {self._process}:{self._pid} are being lost: {error!r}")

    def _tell_losses(self) -> None:
        count, self._unreported = self._unreported, 0
        self._write(self._line("journal.lost", None, None, {"count": count}))


def file_name(node: str, process: str, boot: str, pid: int, seq: int) -> str:
    """Return the name of a journal file; characters that a file name should not hold become "_"."""
    safe = [re.sub(r"[^A-Za-z0-9_.-]", "_", text).lstrip(".")[:80] or "_" for text in (node, process, boot)]
    return f"{'-'.join(safe)}-{pid}-{seq}{SUFFIX}"


def _create_locked(path: str) -> int:
    """Create a file and lock it; return its descriptor, or -1 when another name has to be tried."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
    except FileExistsError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # a reader came between and is looking whether it may delete the file
        os.close(fd)
        return -1
    except OSError:  # a file system without locks: nothing may be written that nobody could finish
        os.close(fd)
        os.unlink(path)
        raise
    if os.fstat(fd).st_nlink == 0:  # a reader came between and has deleted it
        os.close(fd)
        return -1
    return fd


# ------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of a file, from one offset to another."""

    #: (offset, line without its newline), empty lines left out.
    lines: tuple[tuple[int, bytes], ...]
    #: Offset after the last whole line.
    end: int


def read_chunk(fd: int, offset: int, limit_bytes: int = 1024 * 1024) -> Chunk:
    """Read whole lines from `offset` on, about `limit_bytes` of them; a torn tail is left where it is.

    A stretch of MAX_READ_BYTES without a newline is no line of ours: it is returned as if it were one.
    """
    raw = os.pread(fd, limit_bytes, offset)
    while b"\n" not in raw and len(raw) == limit_bytes and limit_bytes < MAX_READ_BYTES:
        limit_bytes = min(limit_bytes * 4, MAX_READ_BYTES)
        raw = os.pread(fd, limit_bytes, offset)
    whole = raw.rfind(b"\n") + 1
    if not whole and len(raw) >= MAX_READ_BYTES:
        return Chunk(((offset, raw),), offset + len(raw))
    lines = []
    start = offset
    for line in raw[:whole].split(b"\n")[:-1]:
        if line:
            lines.append((start, line))
        start += len(line) + 1
    return Chunk(tuple(lines), offset + whole)


def lock_if_writer_gone(fd: int) -> bool:
    """Take the lock of a journal file; False when its writer still holds it.

    The lock is held until `fd` is closed: a writer that has just created the file and not yet locked it
    notices and takes another name, so a file that was locked here may be deleted.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def parse_line(raw: bytes) -> Event:
    """Read one line; raises BadLine with the reason.

    Characters that PostgreSQL cannot store (NUL, unpaired surrogates) come out as visible escapes.
    """
    try:
        line = _decode(raw.decode())
    except (ValueError, RecursionError) as error:
        raise BadLine(f"no JSON: {error}") from error
    if not isinstance(line, dict):
        raise BadLine("not an object")
    if b"\\u0000" in raw or b"\\ud" in raw or b"\\uD" in raw:
        line = _storable(line)
    try:
        return _event(line)
    except (KeyError, TypeError, ValueError) as error:
        raise BadLine(f"not an event: {error!r}") from error


def _event(line: dict[str, Any]) -> Event:
    data = line["data"]
    kind, node, process, tenant = line["kind"], line["node"], line["process"], line["tenant"]
    if not (
        isinstance(data, dict)
        and isinstance(kind, str)
        and isinstance(node, str)
        and isinstance(process, str)
    ):
        raise TypeError("wrong type of data, kind, node or process")
    if tenant is not None and (type(tenant) is not int or not 0 <= tenant < 1 << 31):
        raise ValueError("tenant out of range")
    at = datetime.fromisoformat(line["at"])
    if at.tzinfo is None:
        raise ValueError("time without zone")
    return Event(
        id=_uuid7(line["id"]),
        at=at.astimezone(UTC),
        kind=kind,
        call=None if line["call"] is None else _uuid7(line["call"]),
        tenant=tenant,
        node=node,
        process=process,
        data=data,
    )


def _uuid7(text: str) -> UUID:
    value = UUID(text)
    if value.version != 7:
        raise ValueError(f"not a UUIDv7: {text}")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number out of range: {text}")
    return value


_decode = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite).decode
#: NUL and unpaired surrogates; a pair has become one character when this is asked.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value
