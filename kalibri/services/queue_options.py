"""Options of a queue that are objects: what its media host must know, and where callers go who are not served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from callcore.call_queue import EntryEnd
from callcore.errors import BadInput
from kalibri.db import Conn
from kalibri.services.queue_target import require_target

#: Fields of sems_apps.settings.QueueSettings that a person may set, and their types.
MEDIA_FIELDS: Mapping[str, type] = {
    "language": str,
    "music": str,
    "greeting": str,
    "answer_at_once": bool,
    "announce_position": bool,
    "announce_wait": bool,
    "announce_every_seconds": float,
    "periodic_prompt": str,
    "periodic_every_seconds": float,
    "comfort_prompt": str,
    "comfort_every_seconds": float,
    "position_key": str,
    "callback_key": str,
    "exit_key": str,
    "exit_target": str,
    "while_ringing": str,
    "whisper": str,
    "after_agent": str,
    "survey_prompt": str,
}
_WORDS: Mapping[str, tuple[str, ...]] = {
    "while_ringing": ("music", "ringback"),
    "after_agent": ("end", "survey", "queue"),
}
_KEYS = ("position_key", "callback_key", "exit_key")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

#: Reasons for which a caller leaves unserved and may be sent somewhere.
OVERFLOW_REASONS = frozenset(
    {EntryEnd.TIMEOUT, EntryEnd.FULL, EntryEnd.EMPTY, EntryEnd.CLOSED, EntryEnd.EXIT_KEY, EntryEnd.FAILED}
)


class BadQueueOption(BadInput):
    """An option of a queue is not valid."""

    error_id = "bad-queue-option"


def media_value(name: str, text: str) -> Any:
    """Return a media option as it is stored, from what a person wrote; raises BadQueueOption."""
    kind = MEDIA_FIELDS.get(name)
    if kind is None:
        raise BadQueueOption(f'there is no option "{name}": {", ".join(MEDIA_FIELDS)}')
    if kind is bool:
        if text.lower() not in (*_TRUE, *_FALSE):
            raise BadQueueOption(f"{name}: yes or no")
        return text.lower() in _TRUE
    if kind is float:
        try:
            return float(text)
        except ValueError:
            raise BadQueueOption(f'{name}: "{text}" is no number of seconds') from None
    return text


def check_media(media: Mapping[str, Any]) -> None:
    """Refuse options that a media host would not understand; raises BadQueueOption."""
    for name, value in media.items():
        kind = MEDIA_FIELDS.get(name)
        if kind is None:
            raise BadQueueOption(f'there is no option "{name}": {", ".join(MEDIA_FIELDS)}')
        numeric = kind is float and isinstance(value, int | float) and not isinstance(value, bool)
        if not (numeric or isinstance(value, kind)):
            raise BadQueueOption(f"{name} cannot be {value!r}")
        if kind is float and not 0 <= value <= 3600:
            raise BadQueueOption(f"{name}: 0 to 3600 seconds")
        if name in _WORDS and value not in _WORDS[name]:
            raise BadQueueOption(f"{name}: {' or '.join(_WORDS[name])}")
        if name in _KEYS and not re.fullmatch(r"[0-9*#]?", value):
            raise BadQueueOption(f"{name}: one key of 0-9 * #, or nothing")
    keys = [(media[name], name) for name in _KEYS if media.get(name)]
    for (key, name), (other, another) in combinations(keys, 2):
        if key == other:
            raise BadQueueOption(f"key {key} cannot be both {name} and {another}")


def parse_overflow(text: str) -> tuple[str, dict[str, str] | None]:
    """Return reason and target of `timeout=queue:second`, None for `timeout=none`; raises BadQueueOption.

    A prompt may follow that is said before: `closed=account:101:closed-now`.
    """
    reason, equals, target = text.partition("=")
    if not equals:
        raise BadQueueOption(f'"{text}": write REASON=KIND:VALUE, as timeout=queue:second')
    if target == "none":
        return reason, None
    kind, colon, value = target.partition(":")
    value, _, announcement = value.partition(":") if kind not in ("uri", "redirect") else (value, "", "")
    if not colon:
        raise BadQueueOption(f'"{target}": write KIND:VALUE, as queue:second')
    return reason, {"kind": kind, "value": value, "announcement": announcement}


def check_overflow(conn: Conn, *, tenant_id: int, overflow: Mapping[str, Any]) -> None:
    """Refuse unknown reasons and targets that do not exist; raises BadInput, NotFound."""
    for reason, target in overflow.items():
        if reason not in tuple(OVERFLOW_REASONS):
            known = ", ".join(sorted(OVERFLOW_REASONS))
            raise BadQueueOption(f'nobody leaves a queue for the reason "{reason}": {known}')
        if not isinstance(target, Mapping) or not {"kind", "value"} <= target.keys():
            raise BadQueueOption(f"{reason}: kind and value are needed")
        kind, value = str(target["kind"]), str(target["value"])
        require_target(conn, tenant_id=tenant_id, kind=kind, value=value, responses=True)
