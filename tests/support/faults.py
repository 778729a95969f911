"""Faults for scenarios: what is killed, frozen or stopped in an instance, and how the switch comes back.

Processes are found through the instance's own supervisord and proxy, never by name on the machine.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from kalibri.rpc import KamailioRpc
from tests.support.kamailio_probe import ask_options
from tests.support.switch import Switch
from tools.instance.supervisord import Supervisor


def rpc(switch: Switch, method: str, *params: str | int) -> Any:
    """Call a method of the proxy."""
    with KamailioRpc(switch.config.run_directory / "kamailio_rpc.sock") as proxy:
        return proxy.call(method, *params)


def worker_pids(switch: Switch) -> list[int]:
    """Return the proxy's processes that serve SIP over UDP."""
    rows = rpc(switch, "core.psx")
    return [int(row["PID"]) for row in rows if str(row["DSC"]).startswith("udp receiver")]


@dataclass(frozen=True)
class Outage:
    """A time without a proxy, monotonic seconds."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.ended - self.began


def kill_proxy(switch: Switch, *, worker: int = 0, within: float = 20) -> Outage:
    """Kill one worker (the whole proxy ends with it) and wait until OPTIONS is answered by a new one."""
    old = switch.instance.pid("kamailio")
    pid = worker_pids(switch)[worker]
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    switch.wait(lambda: not _lives(old), 5, "the proxy ends with its worker")
    answer = ask_options(switch.address, within)
    assert answer is not None, f"no proxy after {within} s\n{switch.instance.log('kamailio')[-3000:]}"
    return Outage(began, time.monotonic())


def kill(switch: Switch, process: str) -> int:
    """Kill a supervised process and return its old pid."""
    pid = switch.instance.pid(process)
    os.kill(pid, signal.SIGKILL)
    return pid


def stop(switch: Switch, process: str) -> None:
    """Stop a supervised process on purpose: nobody starts it again but `start`."""
    Supervisor(switch.config).stop(process)


def start(switch: Switch, process: str) -> None:
    """Start a stopped process and wait until it is ready."""
    Supervisor(switch.config).start(process)
    switch.wait(lambda: switch.instance.statuses()[process].ready, 30, f"{process} is ready")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
