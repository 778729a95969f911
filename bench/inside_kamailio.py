"""What runs in the Kamailio worker of bench/route_dialplan.py: asks our table and dialplan the same calls.

Loaded by app_python3, which imports KSR; an OPTIONS that comes when calls.json is there starts the measurement.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from kemi.ks_route.model import Direction, RouteRequest
from kemi.ks_route.table import RouteTable

PASSES = 5


def ask(number: str) -> RouteRequest:
    """Return a call to this number."""
    return RouteRequest(
        tenant_id=1,
        direction=Direction.ACCOUNT,
        a_number="101",
        a_host="a.example",
        b_number=number,
        b_host="a.example",
    )


class Bench:
    """The handler object of Kamailio."""

    def __init__(self) -> None:
        import KSR

        self._ksr: Any = KSR
        self._folder = Path(os.environ["KALIBRI_BENCH_FOLDER"])

    def child_init(self, rank: int) -> int:
        """Begin a process."""
        return 0

    def ksr_request_route(self, msg: Any) -> int:
        """Measure once when there are calls; answer."""
        calls_file = self._folder / "calls.json"
        if calls_file.exists():
            calls = json.loads(calls_file.read_text())
            calls_file.unlink()
            (self._folder / "result.json").write_text(json.dumps(self._measure(calls)))
        self._ksr.sl.send_reply(200, "OK")
        return 1

    def _measure(self, calls: list[tuple[str, int]]) -> dict[str, Any]:
        table = RouteTable.open(self._folder / "routes.ksr", None)
        for number, _rule in calls:  # the first look is not counted: matchers are made when first needed
            next(iter(table.candidates(ask(number))), None)
        rules, dialplan_us, ks_route_us = [], [], []
        for number, _rule in calls * PASSES:
            began = time.thread_time_ns()
            next(iter(table.candidates(ask(number))), None)
            ks_route_us.append((time.thread_time_ns() - began) / 1000)
        for number, _rule in calls:
            began = time.thread_time_ns()
            self._ksr.dialplan.dp_replace(1, number, "$var(rule)")
            dialplan_us.append((time.thread_time_ns() - began) / 1000)
            rules.append(str(self._ksr.pv.get("$var(rule)")))
        return {"rules": rules, "dialplan_us": dialplan_us, "ks_route_us": ks_route_us}


def mod_init() -> Bench:
    """Make the handler."""
    return Bench()
