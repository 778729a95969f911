"""One RTPProxy node as a process of its own: RTPProxy from the `rtp.io` wheel, one process per core.

    python -m rtpproxy_ctl.node --control 127.0.0.1:22000 --ports 20000-24999 --spool DIR --recordings DIR

No packet passes through Python. RTPProxy traps no signal by itself: on SIGTERM the object is deleted,
which closes recordings properly and moves them from the spool to the final folder. What a killed node
left in its spool is moved there by the next start. Spool and final folder must be on one file system
(RTPProxy renames), and no two nodes may share a spool. It never chooses which call goes where: that is
the client's business.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import click

#: A session in which neither side has sent a packet for so long is forgotten. Sessions are deleted by the
#: proxy at the end of the call; this only frees the ports of a call whose deletion was lost. Two phones
#: that hold each other in silence send nothing at all, so it must outlast any hold that people endure.
SESSION_SECONDS = 4 * 3600

#: The same before the first packet: longer than a call may ring.
SETUP_SECONDS = 900

#: catch_dtmf reports key presses. Without an explicit list rtp.io also loads acct_csv, which writes a
#: file into the current folder and chokes on bursts; dtls_gw and ice_lite belong to the browsers' edge,
#: not to the core.
MODULES = ["catch_dtmf"]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class NodeOptions:
    """What distinguishes one node from another."""

    #: Control socket (UDP): host and port.
    control: tuple[str, int]
    #: Address on which RTP is received.
    listen_address: str
    #: Address that is written into SDP instead of the listen address; empty: the same.
    advertised_address: str
    #: Ports for RTP (even) and RTCP (odd), both ends inclusive.
    port_min: int
    port_max: int
    #: Recordings in progress.
    spool: Path
    #: Finished recordings.
    recordings: Path
    #: RTPProxy's own log level: dbug, info, warn, err, crit.
    log_level: str = "warn"
    #: Sockets of controllers that want to hear of key presses and silence, as tcp:host:port.
    notify: tuple[str, ...] = ()

    def extra_args(self, *, is_root: bool) -> list[str]:
        """Return the command-line flags that rtp.io has no keyword for."""
        args = ["-s", f"udp:{self.control[0]}:{self.control[1]}", "-l", self.listen_address]
        if self.advertised_address:
            args += ["-A", self.advertised_address]
        if is_root:  # RTPProxy refuses a UDP control socket as root otherwise
            args.append("-F")
        for socket in self.notify:
            args += ["-n", socket]
        return [*args, "-P", "-W", str(SETUP_SECONDS)]


def sweep_spool(spool: Path, recordings: Path) -> list[Path]:
    """Move what an earlier life left in the spool to the final folder; return where each file went.

    Nothing is deleted or overwritten: a name that exists already gets a number.
    """
    return [_move(file, recordings) for file in sorted(spool.iterdir()) if file.is_file()]


def _move(file: Path, folder: Path) -> Path:
    target = folder / file.name
    number = 0
    while target.exists():
        number += 1
        target = folder / f"{file.stem}.{number}{file.suffix}"
    return file.rename(target)


def check_file_system(spool: Path, recordings: Path) -> None:
    """Raise click.UsageError where finished recordings could not be renamed to the final folder."""
    if spool.stat().st_dev != recordings.stat().st_dev:
        raise click.UsageError(f"{spool} and {recordings} must be on one file system")


def run(options: NodeOptions) -> None:
    """Run the node until SIGTERM or SIGINT; raises RuntimeError if RTPProxy does not start."""
    # Blocked before RTPProxy makes its threads: they inherit it, and only sigwait() below gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))  # four sockets per call
    from rtp.io import rtpproxy  # here, so that the rest can be used where the wheel is not installed

    node = rtpproxy(
        ttl=SESSION_SECONDS,
        setup_ttl=SETUP_SECONDS,
        debug_level=options.log_level,
        port_min=options.port_min,
        port_max=options.port_max,
        rec_spool_dir=str(options.spool),
        rec_final_dir=str(options.recordings),
        modules=MODULES,
        extra_args=options.extra_args(is_root=os.geteuid() == 0),
    )
    signal.sigwait(STOP_SIGNALS)
    del node


class _Endpoint(click.ParamType[tuple[str, int]]):
    """`host:port` on the command line."""

    name = "host:port"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit():
            self.fail(f"{value!r} is not host:port", param, ctx)
        return host, int(port)


class _PortRange(click.ParamType[tuple[int, int]]):
    """`first-last` on the command line."""

    name = "first-last"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        first, _, last = value.partition("-")
        if not (first.isdigit() and last.isdigit() and 0 < int(first) < int(last) < 65536):
            self.fail(f"{value!r} is not a range of ports", param, ctx)
        return int(first), int(last)


@click.command(help="Run one RTPProxy node until SIGTERM.")
@click.option("--control", type=_Endpoint(), required=True, help="UDP control socket.")
@click.option("--listen", "listen_address", default="127.0.0.1", show_default=True, help="Address for RTP.")
@click.option("--advertise", default="", help="Address to write into SDP instead.")
@click.option("--ports", type=_PortRange(), required=True, help="Ports for RTP and RTCP.")
@click.option("--spool", type=click.Path(path_type=Path), required=True, help="Folder of running recordings.")
@click.option("--recordings", type=click.Path(path_type=Path), required=True, help="Folder of finished ones.")
@click.option("--notify", multiple=True, help="Socket for notifications, as tcp:127.0.0.1:22101; repeatable.")
@click.option("--log-level", default="warn", show_default=True, help="dbug, info, warn, err or crit.")
def main(
    control: tuple[str, int],
    listen_address: str,
    advertise: str,
    ports: tuple[int, int],
    spool: Path,
    recordings: Path,
    notify: tuple[str, ...],
    log_level: str,
) -> None:
    for folder in (spool, recordings):
        folder.mkdir(parents=True, exist_ok=True)
    check_file_system(spool, recordings)
    for file in sweep_spool(spool, recordings):
        click.echo(f"recovered a recording that was cut short: {file}", err=True)
    options = NodeOptions(control, listen_address, advertise, *ports, spool, recordings, log_level, notify)
    try:
        run(options)
    except RuntimeError as error:  # RTPProxy has written the reason to stderr before this
        click.echo(f"RTPProxy did not start ({error}): is {control[0]}:{control[1]} in use?", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
