"""Texts with places for the variables of a call: {caller}, {lead.name}; and addresses made of them.

Decides which names may stand in a text, what a name stands for, and how a value gets into an address without
changing its meaning. Never opens an address and knows no call.

In an address a place may stand only behind the host: whoever chooses his own number or name must not choose
where an agent's browser goes. Each value is percent-encoded whole, and one that would make a step of the path
`.` or `..` (browsers understand their encoded forms, too) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from callcore.errors import BadInput

#: What is known of every call that an agent is offered.
NAMES = (
    "agent",
    "agent_name",
    "call_id",
    "called",
    "caller",
    "caller_name",
    "campaign",
    "crm_id",
    "entry_id",
    "offer_id",
    "queue",
    "tenant",
    "waited_seconds",
)
#: `lead.city`: a variable of the lead; `var.x`: any other variable of the call; `info.x`: what the look-up said.
GROUPS = ("lead", "var", "info")
#: Where a CRM's id of the caller is looked for, in this order.
CRM_ID_IN = ("lead.crm_id", "var.crm_id", "info.crm_id")

MAX_VALUE_CHARACTERS = 500
MAX_URL_CHARACTERS = 2000
MAX_PLACES = 50

_PLACE = re.compile(r"\{([^{}]*)\}")
_GROUPED = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,4}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CUT_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
#: The authority ends here; what is before is fixed.
_HOST = re.compile(r"https?://[^/?#]+", re.ASCII | re.IGNORECASE)


class BadTemplate(BadInput):
    """A text has places that nothing can fill, or an address cannot be opened."""

    error_id = "bad-template"


@dataclass(frozen=True)
class Template:
    """A text, cut at its places."""

    text: str
    #: Fixed texts and names in turn, beginning and ending with a fixed text.
    parts: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names that stand in it."""
        return frozenset(self.parts[1::2])

    def uses(self, group: str) -> bool:
        """Tell whether a value comes from a group: `info` for what only the look-up knows."""
        return any(_is_of(name, group) for name in self.names)

    def fill(self, values: Mapping[str, Any], write: Callable[[str], str] = str) -> str:
        """Put values into the places, each as `write` writes it; what is not known is empty."""
        told = [part if at % 2 == 0 else write(value_of(values, part)) for at, part in enumerate(self.parts)]
        return "".join(told)


def _is_of(name: str, group: str) -> bool:
    return name.startswith(f"{group}.") or (name == "crm_id" and f"{group}.crm_id" in CRM_ID_IN)


def parse(text: str, *, names: tuple[str, ...] = NAMES, groups: tuple[str, ...] = GROUPS) -> Template:
    """Cut a text at its places; raises BadTemplate for a name that no call has, and for a lone brace."""
    parts = _PLACE.split(text)
    for fixed in parts[0::2]:
        if "{" in fixed or "}" in fixed:
            raise BadTemplate("a brace stands alone: write {caller}")
    if len(parts) // 2 > MAX_PLACES:
        raise BadTemplate(f"at most {MAX_PLACES} variables")
    for name in parts[1::2]:
        group, _, rest = name.partition(".")
        known = name in names or (group in groups and _GROUPED.fullmatch(rest))
        if not known:
            more = "".join(f", {group}.NAME" for group in groups)
            raise BadTemplate(f'there is no variable "{name[:100]}": {", ".join(names)}{more}')
    return Template(text, tuple(parts))


def parse_url(text: str, *, names: tuple[str, ...] = NAMES, groups: tuple[str, ...] = GROUPS) -> Template:
    """Check an address with places; raises BadTemplate.

    Only http and https, no user, no place in the scheme or the host, ASCII, at most MAX_URL_CHARACTERS.
    """
    if len(text) > MAX_URL_CHARACTERS:
        raise BadTemplate(f"address: at most {MAX_URL_CHARACTERS} characters")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise BadTemplate("address: printable ASCII without blanks and backslashes; %XX for everything else")
    host = _HOST.match(text)
    if host is None:
        raise BadTemplate("address: it must begin with http:// or https:// and a host")
    if "{" in host[0] or "}" in host[0]:
        raise BadTemplate("address: no variable in the host, it could lead anywhere")
    try:
        parts = urlsplit(text)
        bad = not parts.hostname or parts.port == 0
    except ValueError as error:
        raise BadTemplate(f"address: {error}") from error
    if bad:
        raise BadTemplate("address: it has no host")
    if "@" in parts.netloc:
        raise BadTemplate("address: no user and no password, everybody who gets the call would see them")
    made = parse(text, names=names, groups=groups)
    if any(_CUT_ESCAPE.search(fixed) for fixed in made.parts[0::2]):
        raise BadTemplate("address: % must be followed by two hexadecimal digits")
    if _climbs(made.fill({})):
        raise BadTemplate("address: no step of the path may be . or ..")
    return made


def url_of(template: Template, values: Mapping[str, Any]) -> str:
    """Return the address for a call: values percent-encoded, none of them able to climb in the path."""
    text = template.fill(values, lambda value: quote(value, safe=""))
    if _climbs(text):  # without dots no value can, for parse_url has made sure that the fixed texts do not
        text = template.fill(values, lambda value: quote(value.replace(".", ""), safe=""))
    return text


def _climbs(url: str) -> bool:
    """Tell whether a step of the path is `.` or `..`, in any of the forms that browsers understand."""
    path = re.split(r"[?#]", url, maxsplit=1)[0]
    steps = path.split("/")[3:]
    return any(re.fullmatch(r"(?:\.|%2e){1,2}", step, re.IGNORECASE) for step in steps)


def value_of(values: Mapping[str, Any], name: str) -> str:
    """Return a variable as text, bounded, without control characters; empty if it is no single value."""
    if name == "crm_id" and not values.get("crm_id"):
        return next((text for text in (value_of(values, place) for place in CRM_ID_IN) if text), "")
    found: Any = values
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    if isinstance(found, bool):
        return "true" if found else "false"
    if not isinstance(found, str | int | float):
        return ""
    return _CONTROL.sub(" ", str(found))[:MAX_VALUE_CHARACTERS]
