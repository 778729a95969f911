"""The machine: clock, disk, memory, limits of the kernel. Reads only; the judging functions are pure."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.doctor.facts import Facts
from tools.doctor.finding import Finding, graded, size, warn
from tools.instance.processes import rtp_ports

MB = 1024 * 1024
#: Free part and free bytes below which a file system is in trouble.
DISK_FAIL, DISK_WARN = (0.02, 200 * MB), (0.10, 1024 * MB)
MEMORY_WARN, MEMORY_FAIL = 0.10, 0.03
#: Bits of timex.status and results of adjtimex(2).
STA_UNSYNC, TIME_ERROR = 0x0040, 5
#: A burst of SIP messages must find room while the workers are busy.
RECEIVE_BUFFER_BYTES = 1024 * 1024
BACKLOG = 1024
#: Each TCP and TLS phone is an open file of the proxy.
PROXY_FILES = 16_384
#: Logs, sockets, modules of any process.
OTHER_FILES = 64


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>; what follows the fields that are read is room only."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def clock(facts: Facts) -> Iterator[Finding]:
    """Ask the kernel whether somebody keeps its clock right."""
    timex = _Timex()
    result = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    yield judge_clock(synchronised=result != TIME_ERROR and not timex.status & STA_UNSYNC)


def judge_clock(*, synchronised: bool) -> Finding:
    """Judge what the kernel says of its clock."""
    return graded(
        "clock",
        "kept right by NTP" if synchronised else "nobody keeps the clock right",
        failed=False,
        warned=not synchronised,
        todo="install chrony (apt install chrony): times of calls come from this clock",
    )


def disk(facts: Facts) -> Iterator[Finding]:
    """Look at every file system that the instance writes to."""
    config = facts.config
    folders = [
        config.home,
        config.journal_directory,
        config.index_directory,
        config.rtp_recording_directory,
        config.log_directory,
    ]
    if config.private_database:
        folders.append(config.pg_directory)
    seen: dict[int, Path] = {}
    for folder in folders:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        seen.setdefault(existing.stat().st_dev, existing)
    for folder in seen.values():
        usage, inodes = shutil.disk_usage(folder), os.statvfs(folder)
        yield judge_disk(folder, total=usage.total, free=usage.free)
        if inodes.f_files and inodes.f_favail < inodes.f_files * DISK_FAIL[0]:
            yield warn("disk", f"{folder}: {inodes.f_favail} files more and it is full", "remove old files")


def judge_disk(folder: Path, *, total: int, free: int) -> Finding:
    """Judge a file system by its free bytes and their part of the whole."""

    def below(limit: tuple[float, int]) -> bool:
        # A tenth of a huge disk is plenty.
        return free < limit[1] or (free < total * limit[0] and free < 20 * limit[1])

    return graded(
        "disk",
        f"{folder}: {size(free)} of {size(total)} free",
        failed=below(DISK_FAIL),
        warned=below(DISK_WARN),
        todo="make room: old logs, recordings, journals that ks-cdr could not store",
    )


def memory(facts: Facts) -> Iterator[Finding]:
    """Look at the machine's memory."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {words[0].rstrip(":"): int(words[1]) for words in lines}
    yield judge_memory(total=kilobytes["MemTotal"] * 1024, available=kilobytes["MemAvailable"] * 1024)


def judge_memory(*, total: int, available: int) -> Finding:
    """Judge memory by what programs can still get without swapping."""
    return graded(
        "memory",
        f"{size(available)} of {size(total)} available",
        failed=available < total * MEMORY_FAIL,
        warned=available < total * MEMORY_WARN,
        todo="see what takes it (top), or give the machine more",
    )


# ------------------------------------------------------------------------------------------------ limits


@dataclass(frozen=True)
class KernelLimits:
    """What the kernel allows."""

    receive_buffer_bytes: int
    backlog: int
    #: Open files, by process; those of this shell for processes that cannot be seen.
    open_files: Mapping[str, int]


def limits(facts: Facts) -> Iterator[Finding]:
    """Look at the limits that calls meet under load."""
    needed = {"kamailio": PROXY_FILES + OTHER_FILES}
    for number in range(1, facts.config.rtp_nodes + 1):
        first, last = rtp_ports(facts.config, number)
        needed[f"rtp-{number}"] = last - first + 1 + OTHER_FILES
    found = KernelLimits(
        receive_buffer_bytes=_sysctl("net/core/rmem_max"),
        backlog=_sysctl("net/core/somaxconn"),
        open_files={name: _open_files(facts.pids.get(name)) for name in needed},
    )
    yield from judge_limits(found, needed)


def judge_limits(found: KernelLimits, needed: Mapping[str, int]) -> Iterator[Finding]:
    """Judge limits; needed: open files, by process."""
    yield graded(
        "limits",
        f"net.core.rmem_max is {size(found.receive_buffer_bytes)}",
        failed=False,
        warned=found.receive_buffer_bytes < RECEIVE_BUFFER_BYTES,
        todo=f"sysctl -w net.core.rmem_max={4 * RECEIVE_BUFFER_BYTES} (and in /etc/sysctl.d), else bursts are lost",
    )
    yield graded(
        "limits",
        f"net.core.somaxconn is {found.backlog}",
        failed=False,
        warned=found.backlog < BACKLOG,
        todo=f"sysctl -w net.core.somaxconn={4 * BACKLOG}, else many phones cannot connect at once",
    )
    short = [name for name, count in needed.items() if found.open_files[name] < count]
    told = ", ".join(f"{name} {found.open_files[name]} (needs {needed[name]})" for name in short)
    yield graded(
        "limits",
        f"open files: {told or f'at least {min(found.open_files.values())}'}",
        failed=False,
        warned=bool(short),
        todo="ulimit -n 65536 before ksinit up; LimitNOFILE=65536 in the systemd unit",
    )


def _sysctl(name: str) -> int:
    return int((Path("/proc/sys") / name).read_text())


def _open_files(pid: int | None) -> int:
    try:
        if pid is not None:
            return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    except OSError:  # another user's
        pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
