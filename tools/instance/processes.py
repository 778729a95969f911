"""The processes of one instance: name, command, order, and how each is stopped. It starts nothing.

The names are those of docs/contracts.md. Every process is started through runner.py, which waits until the
ones it needs are ready, so the order here only says in which order they are shown and stopped.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kalibri.config import CONTROL_ADDRESS, PROJECT_ROOT, Config
from kalibri.services.node import server_id

#: Where servers of Debian look for programs. Kamailio's embedded Python takes its prefix from the first
#: python3 of PATH, so nobody else's may come first.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: What a process may need besides processes: PostgreSQL answers and has the schema; there is a route index
#: on disk (whether or not its builder runs at this moment).
DATABASE = "database"
INDEX = "index"

#: The module that becomes each process.
RUNNER = "tools.instance.runner"


@dataclass(frozen=True, kw_only=True)
class Process:
    """One supervised process."""

    name: str
    argv: tuple[str, ...]
    #: Must be ready before this one is started: DATABASE, INDEX.
    needs: tuple[str, ...] = ()
    #: Added to (or put in place of) the environment of an ordinary process.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Asks it to end, and how long it may take before it is killed.
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    #: Starts it without the database, when that stays away and nothing else is missing; empty: it waits.
    alone_argv: tuple[str, ...] = ()
    #: How long it may be unready, at its start and later, before the watch restarts it.
    patience_seconds: int = 30


def processes(config: Config) -> list[Process]:
    """Return every process of the instance, in the order in which they start."""
    return [make(config, name) for name, make in _makers(config).items()]


def process(config: Config, name: str) -> Process:
    """Return one process by name; KeyError if the instance has none of that name."""
    return _makers(config)[name](config, name)


def _makers(config: Config) -> dict[str, Callable[[Config, str], Process]]:
    nodes = {f"rtp-{number}": _rtp_node for number in range(1, config.rtp_nodes + 1)}
    return {
        **({"postgres": _postgres} if config.private_database else {}),
        **nodes,
        **dict.fromkeys(config.rtp_controllers, _rtp_controller),
        **dict.fromkeys(config.media_hosts, _media_host),
        **({"stun": _stun} if config.stun.enabled else {}),
        "ks-index": _daemon,
        "kamailio": _kamailio,
        "ks-cdr": _daemon,
        "ks-acd": _daemon,
        **({"ks-dial": _daemon} if config.media_hosts else {}),
        "ks-rec": _recorder,
        **({"ks-ears": _ears} if config.ears.enabled else {}),
        **({"ks-api": _daemon} if config.api.enabled else {}),
        "ks-worker": _daemon,
        "watch": _watch,
    }


def reachable(address: str) -> str:
    """Return where a server that listens on this address can be asked: a wildcard means any, so loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def python_path() -> str:
    """Return where Python code of ours lies: installed packages first, then the project."""
    return f"{sysconfig.get_path('purelib')}:{PROJECT_ROOT}"


def rtp_control(config: Config, number: int) -> tuple[str, int]:
    """Return the control socket of a node; the first has number 1."""
    return CONTROL_ADDRESS, config.rtp.control_base_port + number - 1


def rtp_ports(config: Config, number: int) -> tuple[int, int]:
    """Return the first and the last media port of a node."""
    return config.rtp_ports(number)


def rtp_spool(config: Config, name: str) -> Path:
    """Return the spool of a node: its own, because a start moves everything out of it."""
    return config.rtp_spool_directory / name


def rtp_recordings(config: Config, name: str) -> Path:
    """Return where a node puts finished recordings, on the file system of its spool."""
    return config.rtp_recording_directory / name


def _postgres(config: Config, name: str) -> Process:
    from kalibri.pg_cluster import PgCluster  # here: psycopg takes long to load, and few processes need it

    return Process(
        name=name,
        argv=tuple(PgCluster.of(config).arguments()),
        stop_signal="INT",  # ends connections, writes a checkpoint
        stop_seconds=60,
        patience_seconds=60,  # recovery after a kill
    )


def _rtp_node(config: Config, name: str) -> Process:
    number = int(name.removeprefix("rtp-"))
    host, port = rtp_control(config, number)
    first, last = rtp_ports(config, number)
    listen = (
        "--control",
        f"{host}:{port}",
        "--listen",
        config.rtp.listen_address,
        "--ports",
        f"{first}-{last}",
    )
    folders = ("--spool", str(rtp_spool(config, name)), "--recordings", str(rtp_recordings(config, name)))
    controllers = [config.rtp_controller_ports(number + 1) for number in range(config.rtp.controllers)]
    notify = [word for ports in controllers for word in ("--notify", f"tcp:{ports.address}:{ports.notify}")]
    return Process(name=name, argv=_module("rtpproxy_ctl.node", *listen, *folders, *notify))


def _rtp_controller(config: Config, name: str) -> Process:
    # Without a database it begins with the nodes that it saw last: calls come first.
    return Process(
        name=name, argv=_module("rtpproxy_ctl.controller", "--home", str(config.home), "--name", name)
    )


def _media_host(config: Config, name: str) -> Process:
    # Without a database it plays music; entries are made when there is one.
    return Process(
        name=name,
        argv=_module("sems_apps.host.main", "--home", str(config.home), "--name", name),
        stop_seconds=config.media.stop_seconds + 10,
    )


def _stun(config: Config, name: str) -> Process:
    return Process(
        name=name, argv=("/usr/bin/turnserver", "-c", str(config.etc_directory / "turnserver.conf"))
    )


def _daemon(config: Config, name: str) -> Process:
    module = f"tools.{name.replace('-', '_')}"
    return Process(name=name, argv=_module(module, "--home", str(config.home)), needs=(DATABASE,))


def _recorder(config: Config, name: str) -> Process:
    """Build ks-rec: it takes the disk only when nobody else wants it; its workers are nice besides."""
    daemon = _daemon(config, name)
    return replace(daemon, argv=("/usr/bin/ionice", "-c", "3", *daemon.argv), patience_seconds=120)


def _ears(config: Config, name: str) -> Process:
    # Without a database it knows the recordings that it knew last.
    return Process(name=name, argv=_module("tools.ks_ears", "--home", str(config.home)))


def _watch(config: Config, name: str) -> Process:
    return Process(name=name, argv=_module("tools.instance.watch"))


def _kamailio(config: Config, name: str) -> Process:
    return Process(
        name=name,
        argv=_kamailio_argv(config, config.etc_directory / "kamailio.cfg"),
        alone_argv=_kamailio_argv(config, config.etc_directory / "kamailio_alone.cfg"),
        needs=(DATABASE, INDEX),
        environment={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": python_path(),
            # Which dialogs are its own (schema/30_kamailio.sql); its driver takes no such option from the URL.
            "PGOPTIONS": f"-c kalibri.server_id={server_id(config.node_name)}",
        },
    )


def _kamailio_argv(config: Config, configuration: Path) -> tuple[str, ...]:
    run = str(config.run_directory)
    return (
        "/usr/sbin/kamailio",
        *("-DD", "-E"),  # foreground, log to stderr
        # The allocator that Kamailio takes by itself spends a sixth of a call on searching its free lists.
        *("-x", "fm", "-X", "fm"),
        *("-f", str(configuration)),
        *("-P", str(config.run_directory / "kamailio.pid"), "-Y", run, "-w", run),
        *("-m", str(config.proxy.shared_memory_mb), "-M", str(config.proxy.private_memory_mb)),
    )


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)
