"""The processes of the instance: does each run and answer, and what does the proxy say of itself?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from callcore.errors import KalibriError
from kalibri.rpc import KamailioRpc
from tools.doctor.facts import Facts
from tools.doctor.finding import Finding, fail, graded, ok, size
from tools.instance.lifecycle import Status

#: Part of the proxy's shared memory that is free.
SHARED_WARN, SHARED_FAIL = 0.15, 0.03


def examine(facts: Facts) -> Iterator[Finding]:
    """Report what each process answered: OPTIONS, V, SQL, a heartbeat."""
    if not facts.runs:
        yield fail("processes", "the instance does not run", "ksinit up")
        return
    for status in facts.processes.values():
        yield judge_process(status)


def judge_process(status: Status) -> Finding:
    """Judge one line of ksinit status."""
    name = status.process
    if status.pid is None:
        return fail(name, f"does not run ({status.state})", f"ksinit restart {name}; ksinit logs {name}")
    if not status.ready:
        return fail(name, f"runs, but: {status.detail}", f"ksinit logs {name}; ksinit restart {name}")
    return ok(name, status.detail or "answers")


def proxy(facts: Facts) -> Iterator[Finding]:
    """Ask the proxy by RPC for its memory."""
    if "kamailio" not in facts.pids:
        return
    try:
        with KamailioRpc(facts.config.kamailio_rpc_socket) as rpc:
            version, memory = rpc.call("core.version"), rpc.call("core.shmmem")
    except KalibriError as error:
        yield fail("kamailio", error.message, "ksinit logs kamailio; ksinit restart kamailio")
        return
    yield judge_memory(str(version), memory)


def judge_memory(version: str, memory: Any) -> Finding:
    """Judge what core.shmmem says."""
    total, free = int(memory["total"]), int(memory["free"])
    return graded(
        "kamailio",
        f"RPC answers: {version.split(' (')[0]}, shared memory {size(free)} of {size(total)} free",
        failed=free < total * SHARED_FAIL,
        warned=free < total * SHARED_WARN,
        todo="raise proxy.shared_memory_mb, then ksinit restart kamailio",
    )
