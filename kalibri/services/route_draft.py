"""A route as somebody wants to save it: fields as text or as values, and what is wrong with them.

Decides what may be saved, as far as the route alone can tell: patterns are classified and refused with a
plain reason, masks, options and the form of the destination are checked. Whether names exist (folder,
schedule, gateway ...) only the database knows; see route_staging.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any, get_args, get_origin, get_type_hints

from callcore.errors import BadInput, KalibriError
from callcore.region import normalise_region
from kalibri.services.destination import BadDestination, parse_destination
from kemi.ks_route.decide import FROM_THE_TOP
from kemi.ks_route.masks import compile_mask
from kemi.ks_route.model import PRIORITY_STEPS, DestinationKind, Direction, PatternClass
from kemi.ks_route.options import RouteOptions, parse_options
from kemi.ks_route.patterns import check

#: The four patterns, in the order of route.pattern_classes.
PATTERNS = ("a_pattern", "a_host_pattern", "b_pattern", "b_host_pattern")
#: numeric(12,4)
MAX_PRIORITY = Decimal(10) ** 8
_MAX_TEXT = 200
_MAX_NOTE = 2000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FOLDER = re.compile(r"[^/]+(/[^/]+)*")


class RouteRefused(BadInput):
    """The route cannot be saved."""

    error_id = "route-refused"

    def __init__(self, problems: list[str]) -> None:
        #: Everything that is wrong, a line each.
        self.problems = problems
        super().__init__("; ".join(problems), problems=problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDraft:
    """What a route says, with names instead of ids; the fields are the columns of a CSV file."""

    #: None: a new route.
    route_id: int | None = None
    #: Path of the folder; empty: none. It is made when it is missing.
    folder: str = ""
    name: str = ""
    #: Small first, at most four decimals.
    priority: Decimal
    enabled: bool = True
    #: account, gateway, application; empty: from anywhere.
    directions: tuple[str, ...] = ()
    a_pattern: str | None = None
    a_host_pattern: str | None = None
    b_pattern: str | None = None
    b_host_pattern: str | None = None
    b_region: str | None = None
    b_operator: str | None = None
    #: Name of a schedule of the tenant.
    schedule: str | None = None
    a_mask_pattern: str | None = None
    a_mask_replacement: str | None = None
    b_mask_pattern: str | None = None
    b_mask_replacement: str | None = None
    destination_kind: str
    destination: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


#: The columns of an export, in this order.
COLUMNS = tuple(entry.name for entry in fields(RouteDraft))
REQUIRED_COLUMNS = ("priority", "destination_kind")

#: Kinds of values that a field may have besides text that may be absent.
_TEXTS = frozenset({"folder", "name", "destination_kind", "destination", "note"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRoute:
    """A draft that may be saved if all its names exist."""

    draft: RouteDraft
    #: Classes of the four patterns.
    pattern_classes: tuple[PatternClass, ...]
    #: Names in the options that must exist; None: not used.
    caller_id_set: str | None
    prefer_gateway: str | None


# ------------------------------------------------------------------------------------------ from and to text


def draft_from_text(values: Mapping[str, str]) -> RouteDraft:
    """Read a draft from text fields by column name; raises RouteRefused with every field that is wrong."""
    problems = [f"{column}: is missing" for column in REQUIRED_COLUMNS if not values.get(column)]
    parsed: dict[str, Any] = {}
    for column, text in values.items():
        try:
            if text or column not in REQUIRED_COLUMNS:
                parsed[column] = _parse_field(column, text)
        except BadInput as error:
            problems.append(f"{column}: {error.message}")
    if problems:
        raise RouteRefused(problems)
    return _masks_paired(RouteDraft(**parsed))


def _masks_paired(draft: RouteDraft) -> RouteDraft:
    """An empty replacement belongs to its pattern: with one it deletes, without one there is no mask."""
    changes: dict[str, Any] = {}
    for side in ("a", "b"):
        pattern = getattr(draft, f"{side}_mask_pattern")
        replacement = getattr(draft, f"{side}_mask_replacement")
        if pattern is not None and replacement is None:
            changes[f"{side}_mask_replacement"] = ""
    return replace(draft, **changes) if changes else draft


def _parse_field(column: str, text: str) -> Any:
    parser = _PARSERS.get(column)
    if parser is not None:
        return parser(text)
    return text if column in _TEXTS else (text or None)


def _parse_id(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII):
        raise BadInput(f"{text!r} is not a route id")
    return int(text)


def parse_priority(text: str) -> Decimal:
    """Read a priority; raises BadInput."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise BadInput(f"{text!r} is not a number") from None
    if not value.is_finite() or abs(value) >= MAX_PRIORITY or (value * PRIORITY_STEPS) % 1:
        raise BadInput(f"{text!r} is not a number below 100000000 with at most four decimals")
    return value


def _parse_bool(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise BadInput(f"{text!r} is not true or false")
    return words[text.lower()]


def _parse_directions(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def parse_options_text(text: str) -> Mapping[str, Any]:
    """Read options as a JSON object; raises BadInput."""
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise BadInput(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{text!r} is not a JSON object")
    return value


def option_from_text(key: str, text: str) -> Any:
    """Read one option as a person writes it: record=true, codecs=PCMA,PCMU, max_calls=5, caller_id=7495…

    Raises BadInput for a key that is no option; whether the value is allowed, check_draft decides.
    """
    hints = get_type_hints(RouteOptions)
    if key not in hints or key == "flags":
        raise BadInput(f"{key!r} is no option; options: {', '.join(hints)} (flags as flags.NAME=VALUE)")
    kinds = get_args(hints[key]) or (hints[key],)
    if bool in kinds:
        return _parse_bool(text)
    if int in kinds and re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        return int(text)
    if get_origin(hints[key]) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def options_from_words(words: Iterable[str], before: Mapping[str, Any]) -> dict[str, Any]:
    """Apply KEY=VALUE words to options; KEY=none takes one away. Raises BadInput."""
    options = dict(before)
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise BadInput(f"{word!r}: write KEY=VALUE, as record=true")
        if key.startswith("flags."):
            flags = dict(options.get("flags", {}))
            flags[key.removeprefix("flags.")] = text
            options["flags"] = {name: value for name, value in flags.items() if value != "none"}
        elif text == "none":
            options.pop(key, None)
        else:
            options[key] = option_from_text(key, text)
    return options


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "route_id": _parse_id,
    "priority": parse_priority,
    "enabled": _parse_bool,
    "directions": _parse_directions,
    "options": parse_options_text,
}


def draft_to_text(draft: RouteDraft) -> list[str]:
    """Return the fields of a CSV row; draft_from_text reads them back to the same draft."""
    return [_field_to_text(getattr(draft, column)) for column in COLUMNS]


def _field_to_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return priority_text(value)
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
    return str(value)


def priority_text(value: Decimal) -> str:
    """Return a priority without zeros that say nothing: 10, 10.5."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# --------------------------------------------------------------------------------------------------- check


def check_draft(draft: RouteDraft) -> CheckedRoute:
    """Return the draft in its saved form, with the classes of its patterns; raises RouteRefused."""
    problems: list[str] = []
    draft = _tidied(draft)
    classes = tuple(_pattern_class(name, getattr(draft, name), problems) for name in PATTERNS)
    for side in ("a", "b"):
        _check_mask(side, draft, problems)
    problems += _text_problems(draft)
    problems += _destination_problems(draft)
    options = None
    try:
        options = parse_options(draft.options)
        draft = replace(draft, options=options.to_json())
    except KalibriError as error:
        problems.append(error.message)
    if problems or options is None:
        raise RouteRefused(problems)
    return CheckedRoute(
        draft=draft,
        pattern_classes=classes,
        caller_id_set=options.caller_id_set,
        prefer_gateway=options.prefer_gateway,
    )


def _tidied(draft: RouteDraft) -> RouteDraft:
    """Empty conditions are none, texts have no blanks around them, regions have their one name."""
    changes: dict[str, Any] = {
        entry: (getattr(draft, entry) or "").strip()
        for entry in ("folder", "name", "destination", "note", "b_region", "b_operator")
    }
    changes["b_region"] = normalise_region(changes["b_region"]).name or None
    changes["b_operator"] = changes["b_operator"] or None
    changes["directions"] = tuple(word for word in Direction if word in draft.directions) + tuple(
        word for word in draft.directions if word not in tuple(Direction)
    )
    for entry in (*PATTERNS, "a_mask_pattern", "b_mask_pattern", "schedule"):
        changes[entry] = getattr(draft, entry) or None
    return replace(draft, **changes)


def _pattern_class(name: str, pattern: str | None, problems: list[str]) -> PatternClass:
    try:
        return check(pattern)
    except KalibriError as error:
        problems.append(f"{name}: {error.message}")
        return PatternClass.NONE


def _check_mask(side: str, draft: RouteDraft, problems: list[str]) -> None:
    pattern = getattr(draft, f"{side}_mask_pattern")
    replacement = getattr(draft, f"{side}_mask_replacement")
    if (pattern is None) != (replacement is None):
        problems.append(f"{side}_mask: a mask needs both a pattern and a replacement")
    elif pattern is not None and replacement is not None:
        try:
            compile_mask(pattern, replacement)
        except KalibriError as error:
            problems.append(f"{side}_mask: {error.message}")


def _text_problems(draft: RouteDraft) -> list[str]:
    problems = []
    for entry in fields(draft):
        text = getattr(draft, entry.name)
        if isinstance(text, str) and not _writable(text, many_lines=entry.name == "note"):
            problems.append(f"{entry.name}: holds characters that are no text")
    for name in ("name", "b_region", "b_operator", "folder", "destination"):
        if len(getattr(draft, name) or "") > _MAX_TEXT:
            problems.append(f"{name}: is longer than {_MAX_TEXT} characters")
    if len(draft.note) > _MAX_NOTE:
        problems.append(f"note: is longer than {_MAX_NOTE} characters")
    if draft.folder and not _FOLDER.fullmatch(draft.folder):
        problems.append(f"folder: {draft.folder!r} is not names with / between them")
    if len(set(draft.directions)) < len(draft.directions) or not set(draft.directions) <= set(Direction):
        problems.append(f"directions: {' '.join(draft.directions)!r} is not some of {' '.join(Direction)}")
    return problems


def _writable(text: str, *, many_lines: bool) -> bool:
    """Tell whether PostgreSQL and a terminal can take the text: no control characters, no lost bytes."""
    if many_lines:
        text = text.replace("\n", "").replace("\r", "").replace("\t", "")
    return _encodable(text) and not _CONTROL.search(text)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _destination_problems(draft: RouteDraft) -> list[str]:
    """Check the form of the destination; whether it exists is asked later."""
    try:
        kind = DestinationKind(draft.destination_kind)
    except ValueError:
        return [f"destination_kind: {draft.destination_kind!r} is not one of {' '.join(DestinationKind)}"]
    text = draft.destination
    if kind is DestinationKind.NEXT:
        ways = (
            f"empty (the search goes on behind this route) or {FROM_THE_TOP} (it starts again at the first)"
        )
        return [] if text in ("", FROM_THE_TOP) else [f"destination next: {text!r} is not {ways}"]
    if kind is DestinationKind.ACCOUNT and not text:  # the called number itself
        return []
    try:
        parse_destination(kind, text)
    except BadDestination as error:
        return [error.message]
    return []
