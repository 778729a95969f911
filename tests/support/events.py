"""Builders of journal events for tests: calls as the proxy tells them, and the files they come in."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from callcore.event import Event
from callcore.ids import uuid7
from kalibri.config import Config

START = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


class CallBuilder:
    """One call; each method adds an event at `ms` after its start."""

    def __init__(self, seed: int = 1, *, start: datetime = START, node: str = "n1", tenant: int = 7) -> None:
        self._random = random.Random(seed)
        self.start_time = start
        self.node = node
        self.tenant = tenant
        self.call_id = self._uuid(0)
        self.events: list[Event] = []

    def _uuid(self, ms: float) -> UUID:
        moment = self.start_time + timedelta(milliseconds=ms)
        return uuid7(int(moment.timestamp() * 1000), self._random.randbytes(10))

    def add(self, ms: float, kind: str, **data: Any) -> Event:
        """Add any event."""
        event = Event(
            id=self._uuid(ms),
            at=self.start_time + timedelta(milliseconds=ms),
            kind=kind,
            call=self.call_id,
            tenant=self.tenant,
            node=self.node,
            process="kamailio:100",
            data=data,
        )
        self.events.append(event)
        return event

    def start(self, ms: float = 0, **data: Any) -> Event:
        """Add call.start of an account."""
        told = {
            "a": "alice",
            "a_host": "acme.example",
            "b": "88121234567",
            "b_host": "acme.example",
            "direction": "account",
            "account": "alice",
            "gateway": None,
            "src": "127.0.0.1:5070",
            "transport": "udp",
            "sip_call_id": "1-1@127.0.0.1",
            "from_tag": "t1",
            "cseq": 1,
            "emergency": False,
        }
        return self.add(ms, "call.start", **(told | data))

    def route(self, ms: float = 1, **data: Any) -> Event:
        """Add call.route to two gateways."""
        told: dict[str, Any] = {
            "route_ids": [12, 15],
            "decision": "relay_to_gateways",
            "a_sent": "+74951234567",
            "b_sent": "+78121234567",
            "region": "Санкт-Петербург",
            "operator": "МТС",
            "options": {},
            "targets": [{"gateway_id": 5, "cost": "1.50"}, {"gateway_id": 6, "cost": "2.00"}],
        }
        return self.add(ms, "call.route", **(told | data))

    def attempt(self, ms: float, n: int = 1, gateway_id: int = 5) -> Event:
        """Add call.attempt at a gateway."""
        uri = f"sip:+78121234567@192.0.2.{gateway_id}"
        return self.add(ms, "call.attempt", n=n, gateway_id=gateway_id, uri=uri)

    def attempt_end(self, ms: float, n: int = 1, code: int = 408, **data: Any) -> Event:
        """Add call.attempt_end."""
        told = {"reason": "Request Timeout", "cause": "timeout", "failover": True}
        return self.add(ms, "call.attempt_end", n=n, code=code, **(told | data))

    def ring(self, ms: float, n: int = 1, code: int = 180) -> Event:
        """Add call.ring."""
        return self.add(ms, "call.ring", n=n, code=code)

    def answer(self, ms: float, n: int = 1) -> Event:
        """Add call.answer."""
        return self.add(ms, "call.answer", n=n, code=200)

    def end(self, ms: float, by: str = "callee", **data: Any) -> Event:
        """Add call.end, by BYE if nothing else is said."""
        return self.add(
            ms, "call.end", **({"by": by, "code": 200, "cause": "normal", "method": "BYE"} | data)
        )


def talked_call(seed: int = 1, **where: Any) -> CallBuilder:
    """Return a call whose first gateway is dead and whose second answers: rang 3 s, talked 60 s."""
    call = CallBuilder(seed, **where)
    call.start()
    call.route()
    call.attempt(2, 1, 5)
    call.attempt_end(2002, 1)
    call.attempt(2003, 2, 6)
    call.ring(2103, 2)
    call.answer(5103, 2)
    call.end(65103)
    return call


def line_of(event: Event) -> bytes:
    """Return the journal line of an event."""
    told = {
        "id": str(event.id),
        "at": event.at.isoformat(),
        "kind": event.kind,
        "call": None if event.call is None else str(event.call),
        "tenant": event.tenant,
        "node": event.node,
        "process": event.process,
        "data": event.data,
    }
    return json.dumps(told).encode() + b"\n"


class Journals:
    """The journal directory of an instance, written by hand."""

    def __init__(self, config: Config) -> None:
        self.directory = config.journal_directory
        self.directory.mkdir(parents=True)

    def append(self, name: str, *events: Event | bytes) -> Path:
        """Append events, or raw bytes, to a file that no writer holds."""
        path = self.directory / f"{name}.jsonl"
        with path.open("ab") as file:
            file.write(b"".join(e if isinstance(e, bytes) else line_of(e) for e in events))
        return path
