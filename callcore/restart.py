"""A proxy has come back: which of its calls are gone.

Decides from what the proxy says of itself. A proxy tells in proxy.start which calls it still has as dialogs;
a call of that node that began before, has not ended and is not among them is over. Never closes a call on a
list that is incomplete, and never one that shows life after the restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from callcore.cdr import PROXY_RESTART, Cdr, id_of, last_sign_of_life, list_of
from callcore.event import Event
from callcore.ids import uuid7

#: Call ids in one proxy.start event: 39 bytes each, well below the longest journal line.
DIALOGS_PER_EVENT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A start of a proxy, and the calls that it still has."""

    event_id: UUID
    node: str
    process: str
    at: datetime
    #: Calls that live on, as texts.
    dialogs: frozenset[str]


def start_parts(
    dialogs: Sequence[UUID | str], run: str, began_at: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the data of the proxy.start events that tell `dialogs`; `run` names this start of the proxy.

    began_at: when the proxy began, if that is earlier than the telling: calls that it took meanwhile are its own.
    As in: for part in start_parts(dialogs, run): journal.event("proxy.start", **part)
    """
    told = {} if began_at is None else {"began_at": began_at.isoformat()}
    texts = [str(dialog) for dialog in dialogs]
    count = max(1, -(-len(texts) // DIALOGS_PER_EVENT))
    for n in range(count):
        part = texts[n * DIALOGS_PER_EVENT : (n + 1) * DIALOGS_PER_EVENT]
        yield {"dialogs": part, "run": run, "part": n + 1, "parts": count, **told}


def restarts(events: Iterable[Event]) -> list[Restart]:
    """Return the starts of a node's proxy whose lists are complete, from its proxy.start events, in order."""
    runs: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        if event.kind == "proxy.start":
            runs.setdefault((event.process, str(event.data.get("run", event.id))), []).append(event)
    complete = [restart for parts in runs.values() if (restart := _restart(parts)) is not None]
    return sorted(complete, key=lambda restart: (restart.at, restart.event_id))


def _restart(parts: Sequence[Event]) -> Restart | None:
    wanted = id_of(parts[0].data.get("parts", 1))
    seen = {id_of(event.data.get("part", 1)) for event in parts}
    if wanted is None or seen != set(range(1, wanted + 1)) or not all(_is_whole(event) for event in parts):
        return None
    first = min(parts, key=lambda event: event.order)
    dialogs = frozenset(str(dialog).lower() for event in parts for dialog in list_of(event.data["dialogs"]))
    at = min(first.at, _began_at(first))
    return Restart(event_id=first.id, node=first.node, process=first.process, at=at, dialogs=dialogs)


def _began_at(event: Event) -> datetime:
    """Return when the proxy began; the time of the telling if it does not say, or says nonsense."""
    try:
        began = datetime.fromisoformat(str(event.data.get("began_at")))
    except ValueError:
        return event.at
    return began if began.tzinfo is not None else event.at


def _is_whole(event: Event) -> bool:
    return isinstance(event.data.get("dialogs"), list) and "cut_from_bytes" not in event.data


def is_gone(cdr: Cdr, events: Iterable[Event], restart: Restart) -> bool:
    """Tell whether this call, folded from `events`, died with the proxy that ran before the restart."""
    life = last_sign_of_life(events)
    return (
        cdr.ended_at is None
        and cdr.node == restart.node
        and cdr.started_at < restart.at
        and (life is None or life.at < restart.at)
        and str(cdr.call_id) not in restart.dialogs
    )


def restart_end(call_id: UUID, tenant_id: int | None, restart: Restart) -> Event:
    """Return the end of a call that is gone: the same event however often it is concluded."""
    since_epoch = (restart.at - datetime.fromtimestamp(0, restart.at.tzinfo)) // timedelta(milliseconds=1)
    seed = hashlib.sha256(call_id.bytes + restart.event_id.bytes).digest()
    return Event(
        id=uuid7(since_epoch, seed[:10]),
        at=restart.at,
        kind="call.end",
        call=call_id,
        tenant=tenant_id,
        node=restart.node,
        process=restart.process,
        data={"by": "system", "code": None, "cause": PROXY_RESTART, "method": "restart"},
    )
