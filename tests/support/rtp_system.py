"""RTP nodes and controllers as real processes, without database and Kamailio.

    with RtpSystem(nodes=2, controllers=2) as system:
        port = system.ports("U call@x 127.0.0.1 4000 F;1")

The commands are those of the instance (tools/instance/processes.py). The controllers find no database, so they begin
with the host's own nodes, or with what `nodes` wrote into their copies of the table.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from callcore.errors import Unavailable
from kalibri.config import PROJECT_ROOT, Config, load_config
from kalibri.journal import parse_line
from kalibri.remembered import setting_name
from kalibri.rtp_rpc import call_controller
from kalibri.services.node import own_nodes
from rtpproxy_ctl.ask import ask_version
from rtpproxy_ctl.commands import Ports, parse_ports
from rtpproxy_ctl.controller.node_table import spec_of
from rtpproxy_ctl.controller.nodes import NodeSpec
from rtpproxy_ctl.protocol import split_datagram, to_datagram
from tests.support.fix_instance import PortBlock
from tests.support.waiting import wait_until
from tools.instance.files import make_folders
from tools.instance.processes import process, rtp_control

READY_SECONDS = 30.0
#: As Kamailio's rtpproxy module: sent again after a second, given up after two.
REPEAT_SECONDS, GIVE_UP_SECONDS = 1.0, 2.0


class RtpSystem:
    """Nodes rtp-1 … and controllers rtpc-1 … with a home and ports of their own."""

    def __init__(
        self,
        *,
        nodes: int = 2,
        controllers: int = 1,
        settings: Mapping[str, object] | None = None,
        others: Sequence[NodeSpec] = (),
    ) -> None:
        """others: nodes that something else plays; the controllers know them beside the real ones."""
        self.home = Path(tempfile.mkdtemp(prefix=f"ksrtp-{os.getpid()}-", dir="/tmp"))
        self._block = PortBlock()
        chosen: dict[str, object] = {**self._block.settings()}
        chosen |= {"rtp.nodes": nodes, "rtp.controllers": controllers}
        chosen |= {"database.dsn": "host=127.0.0.1 port=1 dbname=none", **(settings or {})}
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KALIBRI_")},
            **{setting_name(key): str(value) for key, value in chosen.items()},
            "KALIBRI_HOME": str(self.home),
        }
        self.config: Config = load_config(environ=self._environ)
        make_folders(self.config)
        self._others = others
        if others:
            self._write_table()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.names = [*(f"rtp-{number + 1}" for number in range(nodes)), *self.config.rtp_controllers]

    def __enter__(self) -> RtpSystem:
        for name in self.names:
            self.start(name)
        for name in self.names:
            self.wait_ready(name)
        for number, _ in enumerate(self.config.rtp_controllers, 1):
            self.wait(lambda number=number: self._all_up(number), f"rtpc-{number} finds all nodes up")  # type: ignore[misc]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self.processes.values():
            child.kill()
        for child in self.processes.values():
            child.wait()
        self._block.release()
        shutil.rmtree(self.home, ignore_errors=True)

    # ---- processes

    def start(self, name: str) -> None:
        """Start a process; its log is <home>/log/<name>."""
        with (self.config.log_directory / name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                process(self.config, name).argv,
                cwd=PROJECT_ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _write_table(self) -> None:
        """Write the copy of the node table that controllers begin with."""
        own = [
            {**row, "enabled": True, "draining": False}
            for row in own_nodes(self.config)
            if row["kind"] == "rtp"
        ]
        specs = [*(spec for row in own if (spec := spec_of(self.config, row))), *self._others]
        self.config.rtp_state_directory.mkdir(parents=True)
        for name in self.config.rtp_controllers:
            path = self.config.rtp_state_directory / f"{name}.nodes.json"
            path.write_text(json.dumps([spec.to_json() for spec in specs]))

    def wait_ready(self, name: str) -> None:
        """Wait until a process answers V."""

        def ready() -> bool:
            assert self.processes[name].poll() is None, self.log(name)
            try:
                return ask_version(self.address(name), 1.0) > 0
            except Unavailable:
                return False

        self.wait(ready, f"{name} answers")

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; after one that ends it, wait for its end."""
        self.processes[name].send_signal(how)
        if how in (signal.SIGKILL, signal.SIGTERM):
            self.processes[name].wait(20)

    def address(self, name: str) -> tuple[str, int]:
        """Return the control address of a process."""
        number = int(name.rpartition("-")[2])
        if name.startswith("rtpc-"):
            ports = self.config.rtp_controller_ports(number)
            return ports.address, ports.control
        return rtp_control(self.config, number)

    def log(self, name: str) -> str:
        """Return what a process has written."""
        return (self.config.log_directory / name).read_text(errors="replace")

    # ---- asking

    def ask(self, line: str, controller: int = 1) -> str:
        """Send a command as Kamailio does and return the text of the answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(self.address(f"rtpc-{controller}"))
            cookie = secrets.token_hex(6)
            deadline = time.monotonic() + GIVE_UP_SECONDS
            while time.monotonic() < deadline:
                sock.settimeout(REPEAT_SECONDS)
                try:
                    sock.send(to_datagram(cookie, line))
                    told, text = split_datagram(sock.recv(65536))
                except (TimeoutError, ConnectionRefusedError):
                    continue
                if told == cookie:
                    return text.rstrip("\n")
        raise AssertionError(f"no answer to {line!r}")

    def ports(self, line: str, controller: int = 1) -> Ports:
        """Send U or L and return the ports."""
        return parse_ports(self.ask(line, controller))

    def rpc(self, method: str, controller: int = 1, **params: Any) -> Any:
        """Call a JSON-RPC method over the stream socket."""
        path = self.config.rtp_controller_socket(f"rtpc-{controller}")
        return call_controller(path, method, params, timeout_seconds=5.0)

    def health(self, controller: int = 1) -> dict[str, str]:
        """Return the health of each node as a controller sees it."""
        return {row["name"]: row["health"] for row in self.rpc("node.list", controller)}

    def _all_up(self, controller: int) -> bool:
        health = self.health(controller)
        return len(health) == self.config.rtp_nodes + len(self._others) and set(health.values()) == {"up"}

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the journalled events of a kind, as {call, **data}."""
        lines = [
            line
            for path in sorted(self.config.journal_directory.glob("*.jsonl"))
            for line in path.read_bytes().splitlines()
        ]
        events = [parse_line(line) for line in lines]
        return [{"call": str(event.call), **event.data} for event in events if event.kind == kind]

    def manifests(self) -> dict[str, list[dict[str, Any]]]:
        """Return the lines of every manifest by recording id."""
        folder = self.config.rtp_manifest_directory
        return {
            path.stem: [json.loads(line) for line in path.read_text().splitlines()]
            for path in folder.glob("*.jsonl")
        }

    @staticmethod
    def wait(condition: Callable[[], object], what: str, seconds: float = READY_SECONDS) -> Any:
        """Wait for a condition to be true and return its value."""
        return wait_until(condition, what, seconds)
