"""The journal: what a writer leaves on disk, however it ends, is what a reader gets."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.event import Event
from callcore.ids import TICKS_PER_MS, uuid7_text, uuid7_time
from kalibri.journal import (
    BadLine,
    JournalWriter,
    file_name,
    lock_if_writer_gone,
    parse_line,
    read_chunk,
)

CALL = "0193aabb-ccdd-7eee-8fff-001122334455"


def events_of(path: str | Path | None) -> list[Event]:
    assert path is not None
    return [parse_line(raw) for raw in Path(path).read_bytes().splitlines()]


@contextmanager
def opened(path: str | Path | None) -> Iterator[int]:
    assert path is not None
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked process; return its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


class Clock:
    """Unix time in ns that moves only when told."""

    def __init__(self, start: datetime = datetime(2026, 11, 22, 10, 0, 0, 123456, UTC)) -> None:
        self.ns = (start - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000

    def __call__(self) -> int:
        return self.ns


def test_nothing_is_opened_before_the_first_event(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal", "n1", "kamailio")
    assert writer.path is None
    assert not (tmp_path / "journal").exists()


def test_an_event_is_one_json_line_with_all_its_fields(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "n1", "kamailio", clock=Clock(), boot="b007")
    writer.event("call.start", call=CALL, tenant=7, a="+74951234567", emergency=False, kind="extra")
    [line] = Path(writer.path or "").read_text().splitlines()
    told = json.loads(line)
    assert UUID(told.pop("id")).version == 7
    assert told == {
        "at": "2026-11-22T10:00:00.123456Z",
        "kind": "call.start",
        "call": CALL,
        "tenant": 7,
        "node": "n1",
        "process": f"kamailio:{os.getpid()}",
        "data": {"a": "+74951234567", "emergency": False, "kind": "extra"},
    }
    assert Path(writer.path or "").name.startswith(f"n1-kamailio-b007-{os.getpid()}-")


def test_events_that_belong_together_are_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(data) or write(fd, data))
    writer = JournalWriter(tmp_path, "n1", "kamailio")
    writer.event_with_next("one")
    writer.event_with_next("two", x=1)
    assert writer.path is None
    writer.event("three")
    writer.event_with_next("four")
    writer.flush()
    writer.flush()
    assert [event.kind for event in events_of(writer.path)] == ["one", "two", "three", "four"]
    assert [data.count(b"\n") for data in writes] == [3, 1]


def test_a_child_does_not_write_what_its_parent_holds(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "n1", "kamailio")
    writer.event_with_next("parents")
    assert in_child(lambda: (writer.flush(), writer.event("childs"))[0]) == 0
    [path] = tmp_path.iterdir()
    assert [event.kind for event in events_of(path)] == ["childs"]
    writer.flush()
    assert [event.kind for event in events_of(writer.path)] == ["parents"]


def test_of_a_torn_write_only_the_lines_that_are_not_whole_are_lost(tmp_path: Path) -> None:
    def fill_up() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = JournalWriter(tmp_path, "n1", "kamailio", report=lambda _: None)
        writer.event("before")
        size = os.path.getsize(writer.path or "")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size * 2 + 50, resource.RLIM_INFINITY))
        writer.event_with_next("second")
        writer.event_with_next("torn")
        writer.event("missed")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        writer.event("after")

    assert in_child(fill_up) == 0
    [path] = tmp_path.iterdir()
    lines = path.read_bytes().splitlines()
    assert [parse_line(lines[number]).kind for number in (0, 1, 3, 4)] == [
        "before",
        "second",
        "after",
        "journal.lost",
    ]
    assert parse_line(lines[4]).data == {"count": 2}


def test_ids_hold_the_time_and_sort_in_writing_order_even_when_the_clock_stands_still(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "n1", "kamailio", clock=Clock())
    for _ in range(1000):
        writer.event("x")
    events = events_of(writer.path)
    assert [e.id for e in events] == sorted({e.id for e in events})
    assert sorted(events, key=lambda e: e.order) == events
    for event in events:
        assert timedelta(0) <= event.at - uuid7_time(event.id) < timedelta(milliseconds=1)


def test_a_small_step_back_of_the_clock_keeps_the_order(tmp_path: Path) -> None:
    clock = Clock()
    writer = JournalWriter(tmp_path, "n1", "kamailio", clock=clock)
    writer.event("first")
    clock.ns -= 500_000_000
    writer.event("second")
    first, second = events_of(writer.path)
    assert first.order < second.order


def test_a_large_step_back_of_the_clock_is_followed(tmp_path: Path) -> None:
    clock = Clock()
    writer = JournalWriter(tmp_path, "n1", "kamailio", clock=clock)
    writer.event("first")
    clock.ns -= 3600 * 10**9
    writer.event("second")
    first, second = events_of(writer.path)
    assert first.at - second.at == timedelta(hours=1)


def test_a_forked_process_writes_a_file_of_its_own(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "n1", "kamailio")
    writer.event("parent")
    for n in range(3):
        in_child(lambda n=n: writer.event("child", n=n))  # type: ignore[misc]
    writer.event("parent again")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    assert [e.kind for e in events_of(writer.path)] == ["parent", "parent again"]
    assert {e.data["n"] for f in files if str(f) != writer.path for e in events_of(f)} == {0, 1, 2}
    assert len({e.process for f in files for e in events_of(f)}) == 4


def test_the_lock_is_free_only_when_the_writer_is_gone(tmp_path: Path) -> None:
    ready, go = os.pipe(), os.pipe()

    pid = os.fork()
    if pid == 0:
        try:
            # The writer must stay referenced while the process lives.
            writer = JournalWriter(tmp_path, "n1", "kamailio")
            writer.event("x")
            os.write(ready[1], b"r")
            os.read(go[0], 1)
        finally:
            os._exit(0)
    os.read(ready[0], 1)
    [path] = tmp_path.iterdir()
    with opened(path) as fd:
        assert not lock_if_writer_gone(fd)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with opened(path) as fd:
        assert lock_if_writer_gone(fd)
    for end in (*ready, *go):
        os.close(end)


def test_a_full_file_is_left_unlocked_and_a_new_one_begun(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "n1", "kamailio", max_file_bytes=1000)
    for n in range(20):
        writer.event("x", n=n)
    files = sorted(tmp_path.iterdir())
    assert len(files) > 2
    assert [e.data["n"] for f in files for e in events_of(f)] == list(range(20))
    for path in files:
        with opened(path) as fd:
            assert lock_if_writer_gone(fd) is (str(path) != writer.path)


def test_a_name_that_exists_is_not_used_again(tmp_path: Path) -> None:
    clock = Clock()
    for _ in range(3):
        JournalWriter(tmp_path, "n1", "kamailio", clock=clock).event("x")
    assert len(list(tmp_path.iterdir())) == 3


def test_names_are_safe_for_the_file_system() -> None:
    assert file_name("../n 1", "../../etc/x", "b", 1, 2) == "_n_1-_.._etc_x-b-1-2.jsonl"


def test_losses_are_counted_reported_once_and_told_when_writing_works_again(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the directory should be")
    reports: list[str] = []
    clock = Clock()
    writer = JournalWriter(tmp_path / "journal", "n1", "kamailio", clock=clock, report=reports.append)
    for _ in range(5):
        writer.event("x")
    assert writer.lost == 5
    assert len(reports) == 1
    (tmp_path / "journal").unlink()
    writer.event("still waiting for the next try to open")
    clock.ns += 2_000_000_000
    writer.event("y")
    told = events_of(writer.path)
    assert [e.kind for e in told] == ["y", "journal.lost"]
    assert told[1].data == {"count": 6}


def test_a_file_system_without_locks_loses_events_but_leaves_no_heap_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    writer = JournalWriter(tmp_path, "n1", "kamailio", report=lambda _: None)
    writer.event("x")
    assert writer.lost == 1
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_tears_one_line_and_no_other(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes a real short write: the kernel takes what fits and refuses the rest."""

    def fill_up() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = JournalWriter(tmp_path, "n1", "kamailio", report=lambda _: None)
        writer.event("before")
        size = os.path.getsize(writer.path or "")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, resource.RLIM_INFINITY))
        writer.event("torn")
        writer.event("refused")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        writer.event("after")

    assert in_child(fill_up) == 0
    [path] = tmp_path.iterdir()
    lines = path.read_bytes().splitlines()
    kinds = []
    for line in lines:
        try:
            kinds.append(parse_line(line).kind)
        except BadLine:
            kinds.append("bad")
    assert kinds == ["before", "bad", "after", "journal.lost"]
    assert parse_line(lines[-1]).data == {"count": 2}


def test_nothing_that_is_handed_over_raises(tmp_path: Path) -> None:
    class Awkward:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    looped: list[object] = []
    looped.append(looped)
    writer = JournalWriter(tmp_path, "n1", "kamailio", report=lambda _: None)
    writer.event("bytes", value=b"\xff\x00abc")
    writer.event("surrogate", value="a\udc80b\x00")
    writer.event("nan", value=float("nan"), huge=10**5000)
    writer.event("loop", value=looped)
    writer.event("keys", value={(1, 2): 3, b"k": 4})
    writer.event("uuid", value=UUID(CALL), call=UUID(CALL))
    writer.event("awkward", value=Awkward())
    writer.event("tenant", tenant="seven")  # type: ignore[arg-type]
    events = {e.kind: e for e in events_of(writer.path)}
    assert events["bytes"].data == {"value": "\\xff\\u0000abc"}
    assert events["surrogate"].data == {"value": "a\\udc80b\\u0000"}
    assert events["keys"].data == {"value": {"(1, 2)": 3, "b'k'": 4}}
    assert str(events["uuid"].call) == events["uuid"].data["value"] == CALL
    assert events["tenant"].tenant is None
    assert set(events) == {"bytes", "surrogate", "nan", "loop", "keys", "uuid", "tenant", "journal.lost"}


def test_an_oversized_event_is_cut_and_keeps_its_short_fields(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "n1", "kamailio", max_line_bytes=2000)
    writer.event("x", call=CALL, code=486, reason="r" * 100_000, many=list(range(50_000)))
    [event] = events_of(writer.path)
    assert len(Path(writer.path or "").read_bytes()) <= 2000
    assert event.data["code"] == 486
    assert event.data["cut_from_bytes"] > 300_000
    assert event.data["reason"].endswith("more]")


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.text(st.characters(categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(
    data=st.dictionaries(st.text(), json_like), limit=st.integers(600, 3000), kind=st.text(), call=st.text()
)
def test_whatever_is_written_is_a_bounded_line_that_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object], limit: int, kind: str, call: str
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(directory, "n1", "kamailio", max_line_bytes=limit)
    for key in ("call", "tenant", "self"):
        data.pop(key, None)
    writer.event(kind, call=CALL, **data)  # type: ignore[arg-type]
    writer.event(kind, call=call)
    first, second = Path(writer.path or "").read_bytes().splitlines()
    writer.close()
    assert len(first) < limit
    assert b"\x00" not in first
    assert parse_line(first).call == UUID(CALL)
    json.loads(second)


def test_the_reader_takes_whole_lines_and_leaves_a_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\n\ntwo\nthr")
    with opened(path) as fd:
        chunk = read_chunk(fd, 0)
        assert chunk.lines == ((0, b"one"), (5, b"two"))
        assert chunk.end == 9
        assert read_chunk(fd, 9).lines == ()
        assert read_chunk(fd, 9).end == 9


def test_the_reader_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"".join(b"line %d\n" % n for n in range(500)))
    got: list[tuple[int, bytes]] = []
    offset = 0
    with opened(path) as fd:
        while (chunk := read_chunk(fd, offset, 100)).end > offset:
            got += chunk.lines
            offset = chunk.end
    assert [raw for _, raw in got] == [b"line %d" % n for n in range(500)]
    assert all(path.read_bytes()[at : at + len(raw)] == raw for at, raw in got)


def test_a_stretch_without_newline_is_returned_as_a_line_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 5_000_000 + b"\nnext\n")
    with opened(path) as fd:
        chunk = read_chunk(fd, 0)
        assert [(at, len(raw)) for at, raw in chunk.lines] == [(0, 4 * 1024 * 1024)]
        assert read_chunk(fd, chunk.end).lines[1][1] == b"next"


def line(**changes: object) -> bytes:
    told: dict[str, object] = {
        "id": CALL, "at": "2026-11-22T10:00:00.5Z", "kind": "x", "call": None, "tenant": None,
        "node": "n", "process": "p", "data": {},
    }  # fmt: skip
    return json.dumps(told | changes).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        line(id="nonsense"),
        line(id=str(UUID(int=5))),
        line(call="'; DROP TABLE call"),
        line(call="0193aabb-ccdd-4eee-8fff-001122334455"),
        line(at="yesterday"),
        line(at="2026-11-22T10:00:00"),
        line(at=5),
        line(tenant="7"),
        line(tenant=True),
        line(tenant=1 << 31),
        line(kind=None),
        line(data=[]),
        line(data={"x": float("nan")}),
        line(data={"x": 1}).replace(b"1}", b"1e999}"),
    ],
)
def test_a_bad_line_is_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(BadLine):
        parse_line(raw)


@given(st.binary())
def test_no_bytes_make_the_reader_fail_otherwise(raw: bytes) -> None:
    with pytest.raises(BadLine):
        parse_line(raw)


@given(st.integers(0, (1 << 60) - 1), st.integers(0, (1 << 62) - 1))
def test_the_short_way_to_a_uuid7_text_gives_a_uuid7(ticks: int, random62: int) -> None:
    value = UUID(uuid7_text(ticks, random62))
    assert value.version == 7
    assert value.int >> 80 == ticks // TICKS_PER_MS
    assert str(value) == uuid7_text(ticks, random62)


def test_a_writer_that_meets_a_reader_at_its_new_file_takes_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between creating a file and locking it: a reader deletes the file, or holds its lock."""
    real = fcntl.flock
    met: list[int] = []

    def reader_comes_between(fd: int, operation: int) -> None:
        if len(met) == 0:
            met.append(fd)
            os.unlink(os.readlink(f"/proc/self/fd/{fd}"))
        elif len(met) == 1:
            met.append(os.open(os.readlink(f"/proc/self/fd/{fd}"), os.O_RDONLY))
            real(met[1], fcntl.LOCK_EX)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", reader_comes_between)
    writer = JournalWriter(tmp_path, "n1", "kamailio", clock=time.time_ns)
    writer.event("x")
    assert writer.lost == 0
    assert [e.kind for e in events_of(writer.path)] == ["x"]
    os.close(met[1])
