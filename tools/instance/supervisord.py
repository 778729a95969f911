"""supervisord of one instance: its configuration, how it is started, and what can be asked of it.

It starts again whatever ends, at once, and later and later while a process ends right after its start.
Whether a process that lives is of any use is not its business but the watch's.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supervisor.xmlrpc import SupervisorTransport

from callcore.errors import KalibriError, Unavailable
from kalibri.config import PROJECT_ROOT, Config
from tools.instance.processes import RUNNER, Process, processes, python_path

HEAD = """\
; Written by ksinit from the configuration of the instance: changes here are lost.
[supervisord]
logfile={log}/supervisord.log
logfile_maxbytes=10MB
logfile_backups=3
pidfile={pidfile}
childlogdir={log}
directory={run}
umask=027

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

PROGRAM = """
[program:{name}]
command={command}
environment={environment}
priority={priority}
autorestart=true
startsecs=3
startretries=10
stopsignal={item.stop_signal}
stopwaitsecs={item.stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}/{name}.log
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=4
"""


#: Of supervisord: there is no process, and it will not start one by itself.
DOWN_STATES = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")


class SupervisorRefused(KalibriError):
    """supervisord refused a command."""

    error_id = "supervisor-refused"


@dataclass(frozen=True)
class State:
    """What supervisord knows of a process."""

    #: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN.
    name: str
    #: None while there is none.
    pid: int | None
    #: Since its last start; None while it does not run.
    uptime_seconds: int | None
    #: Unix time of its last start, 0 before the first: a new number is a new life.
    started_at: int


def configuration(config: Config) -> str:
    """Return the text of supervisord.conf."""
    head = HEAD.format(
        log=config.log_directory,
        run=config.run_directory,
        pidfile=pid_file(config),
        socket=config.supervisor_socket,
    )
    return head + "".join(
        _program(config, item, 100 + number) for number, item in enumerate(processes(config))
    )


def _program(config: Config, item: Process, priority: int) -> str:
    """Everything starts at once, in this order.

    Runner.py does the waiting. The end comes in reverse order.
    """
    command = shlex.join([sys.executable, "-m", RUNNER, item.name])
    environment = {
        "KALIBRI_HOME": str(config.home),
        "KALIBRI_PROCESS": item.name,
        "PYTHONPATH": python_path(),
    }
    return PROGRAM.format(
        name=item.name,
        item=item,
        command=_literal(command),
        environment=",".join(f'{key}="{_literal(value)}"' for key, value in environment.items()),
        priority=priority,
        log=config.log_directory,
    )


def _literal(text: str) -> str:
    """supervisord expands %(name)s."""
    return text.replace("%", "%%")


def pid_file(config: Config) -> Path:
    """Return where supervisord writes its pid."""
    return config.run_directory / "supervisord.pid"


def configuration_file(config: Config) -> Path:
    """Return where supervisord's configuration lies."""
    return config.etc_directory / "supervisord.conf"


def spawn(config: Config, environment: Mapping[str, str]) -> None:
    """Start supervisord in the background; raises Unavailable with its reason if it does not start."""
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration_file(config))]
    done = subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Unavailable(f"supervisord did not start: {done.stderr.strip() or done.stdout.strip()}")


class Supervisor:
    """Commands to a running supervisord; each raises Unavailable when it does not answer."""

    def __init__(self, config: Config) -> None:
        self._socket = config.supervisor_socket

    def pid(self) -> int:
        """Return supervisord's own pid."""
        return int(str(self._call("supervisor.getPID")))

    def is_running(self) -> bool:
        """Tell whether supervisord answers."""
        try:
            self.pid()
        except Unavailable:
            return False
        return True

    def states(self) -> dict[str, State]:
        """Return the state of every process, by name."""
        infos = self._call("supervisor.getAllProcessInfo")
        assert isinstance(infos, list)
        return {info["name"]: _state(info) for info in infos}

    def start(self, name: str) -> None:
        """Start a process that does not run; returns at once."""
        self._call("supervisor.startProcess", name, False)

    def ended(self) -> set[str]:
        """Return the names of the processes that do not run and are not about to."""
        return {name for name, state in self.states().items() if state.name in DOWN_STATES}

    def stop(self, name: str, *, wait: bool = True) -> None:
        """Stop a process (kill it, if it takes longer than allowed); one that is down already stays down."""
        with contextlib.suppress(SupervisorRefused):  # it ended, or was stopped, just now
            self._call("supervisor.stopProcess", name, wait)

    def shutdown(self) -> None:
        """Stop all processes in reverse order, then supervisord itself; returns at once."""
        self._call("supervisor.shutdown")

    def reload_configuration(self) -> None:
        """Read supervisord.conf again: stop processes that are gone, start new and changed ones."""
        changes = self._call("supervisor.reloadConfig")
        assert isinstance(changes, list)
        added, changed, removed = changes[0]
        for name in [*removed, *changed]:
            self._call("supervisor.stopProcessGroup", name, True)
            self._call("supervisor.removeProcessGroup", name)
        for name in [*added, *changed]:
            self._call("supervisor.addProcessGroup", name)

    def _call(self, method: str, *arguments: object) -> object:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            # The host in the address is a matter of form: the transport goes to the socket.
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
                return getattr(proxy, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise SupervisorRefused(f"supervisord refused {method}: {fault.faultString}") from fault
        except (OSError, xmlrpc.client.Error) as error:
            raise Unavailable(f"supervisord does not answer: {error}") from error


def _state(info: Mapping[str, int | str]) -> State:
    runs = info["statename"] in ("RUNNING", "STARTING", "STOPPING")
    return State(
        name=str(info["statename"]),
        pid=int(info["pid"]) or None,
        uptime_seconds=max(0, int(info["now"]) - int(info["start"])) if runs else None,
        started_at=int(info["start"]),
    )
