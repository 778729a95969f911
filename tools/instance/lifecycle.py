"""Bring an instance up, see it become ready, and take it down; the steps behind the commands of ksinit.

It prints nothing: what happens is told by return values and by what the generators yield.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from callcore.errors import NotFound, Refused, Unavailable
from kalibri import remembered
from kalibri.config import Config
from tools.instance import database, files, orphans, supervisord
from tools.instance.ports import WantedPort, wanted_ports
from tools.instance.probes import Answer, is_being_started, probe
from tools.instance.processes import processes
from tools.instance.supervisord import State, Supervisor

#: The first start makes a database; the slowest machine of interest does it in a minute.
READY_SECONDS = 120.0
ASK_AGAIN_SECONDS = 0.2
#: A process that ended right after its start in so many lives will not come up by itself.
FAILED_LIVES = 3
DOWN_SECONDS = 120.0
LOG_TAIL_LINES = 15

#: What `status` calls a process that runs, but not under supervisord: under systemd, or left by a killed supervisord.
OUTSIDE = "OUTSIDE"

STOPPED = State(name="STOPPED", pid=None, uptime_seconds=None, started_at=0)


class NotReady(Unavailable):
    """A process does not become ready."""

    error_id = "not-ready"


class PortInUse(Refused):
    """A port that the instance needs is in use."""

    error_id = "port-in-use"


class UnderSystemd(Refused):
    """systemd runs this instance: use systemctl start|stop|restart kalibri.target."""

    error_id = "under-systemd"


@dataclass(frozen=True)
class Ready:
    """A process that has become ready."""

    name: str
    #: Since the waiting began.
    seconds: float
    detail: str


@dataclass(frozen=True)
class Status:
    """One line of `ksinit status`."""

    process: str
    state: str
    pid: int | None
    uptime_seconds: int | None
    ready: bool
    detail: str


def bring_up(config: Config, environ: Mapping[str, str]) -> Iterator[Ready]:
    """Start what does not run and yield each process when it is ready.

    `environ` is remembered as what the instance was told. Safe to repeat. Raises NotReady with the end of
    the log of a process that does not come up, PortInUse, and what files.write_files raises.
    """
    files.make_folders(config)
    with files.locked(config.run_directory / "ksinit.lock"):
        files.write(remembered.remembered_file(config.home), remembered.to_text(environ))
        files.write_files(config)
        supervisor = Supervisor(config)
        if supervisor.is_running():
            _start_stopped(supervisor)
        else:
            _refuse_under_systemd(config)
            orphans.end(config)
            check_ports(config)
            supervisord.spawn(config, environ)
        names = names_of(config)
        if config.private_database:
            yield from become_ready(config, ["postgres"])
            names.remove("postgres")
        database.make_ready(config)
        yield from become_ready(config, names)


def _refuse_under_systemd(config: Config) -> None:
    if orphans.is_under_systemd(config):
        raise UnderSystemd()


def _start_stopped(supervisor: Supervisor) -> None:
    supervisor.reload_configuration()
    for name, state in supervisor.states().items():
        if state.name in ("STOPPED", "EXITED", "FATAL"):
            supervisor.start(name)


def states_of(config: Config) -> dict[str, State]:
    """Return what supervisord knows of each process; where it does not run, the processes that do."""
    try:
        return Supervisor(config).states()
    except Unavailable:
        found = {name: orphans.find(config, name) for name in names_of(config)}
    return {name: State(OUTSIDE, min(pids), None, 0) for name, pids in found.items() if pids}


def names_of(config: Config) -> list[str]:
    """Return the names of the instance's processes in the order of their start."""
    return [item.name for item in processes(config)]


def restart(config: Config, names: list[str]) -> Iterator[Ready]:
    """Stop and start processes in this order, and yield each when it is ready.

    Raises NotFound for a name that is none, Unavailable when the instance does not run, NotReady.
    """
    for name in names:
        if name not in names_of(config):
            raise NotFound(f"no process {name}; there are {', '.join(names_of(config))}")
    supervisor = Supervisor(config)
    files.write_files(config)
    supervisor.reload_configuration()
    states = supervisor.states()
    for name in names:
        if states.get(name, STOPPED).name in ("RUNNING", "STARTING", "BACKOFF"):
            supervisor.stop(name)
        supervisor.start(name)
        yield from become_ready(config, [name])


def become_ready(config: Config, names: list[str], seconds: float = READY_SECONDS) -> Iterator[Ready]:
    """Yield each of these processes when it has become ready, in whatever order; raises NotReady."""
    began = time.monotonic()
    waiting = dict.fromkeys(names, Answer(False, "not asked yet"))
    lives = Lives()
    while waiting:
        states = states_of(config)
        waiting |= answers_of(config, states, list(waiting))
        for name in [name for name, answer in waiting.items() if answer.ready]:
            yield Ready(name, time.monotonic() - began, waiting.pop(name).detail)
        failed = lives.failed(states)
        hopeless = [name for name in waiting if name in failed] or list(waiting)
        if waiting and (failed or time.monotonic() - began > seconds):
            raise _not_ready(config, hopeless[0], waiting[hopeless[0]])
        if waiting:
            time.sleep(ASK_AGAIN_SECONDS)


@dataclass
class Lives:
    """Counts how often each process ended right after its start."""

    _ended: dict[str, set[int]] = field(default_factory=dict)

    def failed(self, states: Mapping[str, State]) -> set[str]:
        """Take note of these states and return the processes that will not come up."""
        for name, state in states.items():
            if state.name == "BACKOFF":
                self._ended.setdefault(name, set()).add(state.started_at)
        often = {name for name, lives in self._ended.items() if len(lives) >= FAILED_LIVES}
        return often | {name for name, state in states.items() if state.name == "FATAL"}


def _not_ready(config: Config, name: str, answer: Answer) -> NotReady:
    path = log_file(config, name)
    return NotReady(f"{name} is not ready: {answer.detail}\nThe end of {path}:\n{_tail(path)}")


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return "  (no log)"
    return "\n".join(f"  {line[:300]}" for line in lines[-LOG_TAIL_LINES:])


def existing_log(config: Config, name: str) -> Path:
    """Return the log of a process; raises NotFound where there is none, and says where else to look."""
    path = log_file(config, name)
    if not path.exists():
        raise NotFound(f"there is no {path}; under systemd: journalctl -u 'kalibri*{name}'")
    return path


def log_file(config: Config, name: str) -> Path:
    """Return where the output of a process goes."""
    return config.log_directory / f"{name}.log"


def answers_of(config: Config, states: Mapping[str, State], names: Iterable[str]) -> dict[str, Answer]:
    """Ask several processes at once whether they are ready; DATABASE and INDEX can be asked for too."""
    chosen = list(names)
    with ThreadPoolExecutor(len(chosen) or 1) as pool:
        answers = pool.map(lambda name: _answer(config, states.get(name), name), chosen)
        return dict(zip(chosen, answers, strict=True))


def _answer(config: Config, state: State | None, name: str) -> Answer:
    if state is not None and state.pid is not None and is_being_started(state.pid):
        return Answer(False, "waits for what it needs")
    return probe(config, name)


def statuses(config: Config) -> list[Status]:
    """Return what `ksinit status` shows; a process of an instance that does not run is STOPPED."""
    states = states_of(config)
    names = names_of(config)
    if orphans.is_under_systemd(config):  # there the watch is Monit's part
        names.remove("watch")
    answers = answers_of(config, states, [name for name in names if states.get(name, STOPPED).pid])
    return [_status(name, states.get(name, STOPPED), answers.get(name, Answer(False, ""))) for name in names]


def _status(name: str, state: State, answer: Answer) -> Status:
    return Status(name, state.name, state.pid, state.uptime_seconds, answer.ready, answer.detail)


def bring_down(config: Config) -> list[int]:
    """Stop all processes and supervisord; return the pids of those that were left behind and had to be ended.

    Raises Unavailable when supervisord does not end in time (and ends the rest all the same).
    """
    if not config.run_directory.exists():
        return []
    with files.locked(config.run_directory / "ksinit.lock"):
        supervisor = Supervisor(config)
        in_time = True
        if supervisor.is_running():
            pid = supervisor.pid()
            _stop_all(supervisor)
            supervisor.shutdown()
            in_time = orphans.wait_gone(pid, DOWN_SECONDS)
        else:
            _refuse_under_systemd(config)
        left_behind = orphans.end(config)
    if not in_time:
        raise Unavailable(f"supervisord did not end within {DOWN_SECONDS:.0f} seconds")
    return left_behind


def _stop_all(supervisor: Supervisor) -> None:
    """Stop everything at once but the database, which the others use to their end, and then that."""
    everybody = set(supervisor.states())
    for wave in (everybody - {"postgres"}, everybody & {"postgres"}):
        for name in wave:
            supervisor.stop(name, wait=False)
        deadline = time.monotonic() + DOWN_SECONDS
        while time.monotonic() < deadline and not wave <= supervisor.ended():
            time.sleep(ASK_AGAIN_SECONDS)


def check_ports(config: Config) -> None:
    """Raise PortInUse naming the first port of the configuration that somebody else has."""
    for wanted in wanted_ports(config):
        _check_port(wanted)


def _check_port(wanted: WantedPort) -> None:
    family = socket.AF_INET6 if ":" in wanted.address else socket.AF_INET
    is_tcp = wanted.protocol == "tcp"
    with socket.socket(family, socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM) as sock:
        if is_tcp:  # connections of an earlier life that are still timing out do no harm
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((wanted.address, wanted.port))
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else (error.strerror or "cannot be bound")
            hint = f"another instance? Set another port in the configuration, or --set {wanted.key}=NUMBER"
            raise PortInUse(f"{wanted} {reason} ({hint})") from error
