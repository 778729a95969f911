"""A virtual office from a short YAML file: what is wanted, and the scenario that its callers go through.

Decides the form of the file, each mistake with its line, and how callers are led. Whether number, names and prompts are
to be had, and making it all: kalibri/services/office.py. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import date
from typing import Any

import yaml

from callcore.ivr_lines import Fields, Item, Problem, read_yaml
from callcore.schedule import BadSchedule, parse_hours, time_zone
from callcore.value import value

LANGUAGES = ("ru", "en")
#: Value of a menu key that lets the caller dial the name of any extension.
DIAL = "extension"
MOST_EXTENSIONS = 200
MOST_RECIPIENTS = 20
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}", re.ASCII)
_EXTENSION = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_KEY = re.compile(r"[0-9*#]", re.ASCII)
_QUEUE = re.compile(r"queue:([A-Za-z0-9][A-Za-z0-9_.-]{0,39})", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{2,14}", re.ASCII)
#: Prompts of the system where the file names none.
_GREETING, _CLOSED = "ivr-welcome", "closed"
_LEAVE, _SAVED, _ENTER = "ivr-leave-message", "ivr-message-saved", "ivr-enter-extension"
_NOBODY, _INVALID = "voicemail-greeting", "invalid"


@value(kw_only=True)
class Speech:
    """What is heard: a prompt that is there, or a text to be spoken as a new one."""

    line: int
    #: Name of the prompt.
    prompt: str
    #: "": the prompt is there.
    text: str = ""


@value(kw_only=True)
class Extension:
    """One person of the office."""

    line: int
    #: User name of the account, and what callers dial.
    name: str
    display_name: str = ""
    #: Addresses for voice mail; none: it stays in the mailbox.
    mail: tuple[str, ...] = ()
    #: The phones ring so long before a message is taken.
    ring_seconds: int = 20
    #: "": one is made.
    password: str = ""
    #: The account is there already, and stays as it is.
    exists: bool = False


@value(kw_only=True)
class Office:
    """A virtual office as the file wants it."""

    name: str
    #: Public number, E.164 digits.
    number: str
    language: str
    greeting: Speech
    extensions: tuple[Extension, ...]
    #: What is heard before a key is awaited; None: there is no menu.
    menu: Speech | None = None
    #: Key → name of an extension, "queue:NAME" or DIAL.
    keys: Mapping[str, str] = field(default_factory=dict)
    #: Extension that rings when nothing, or only nonsense, is pressed.
    operator: str = ""
    #: As of a schedule; "": always open.
    hours: str = ""
    holidays: tuple[date, ...] = ()
    #: "": the tenant's.
    time_zone: str = ""
    closed: Speech | None = None
    #: Where messages are left out of hours, and where they go from there.
    mailbox: str = ""
    mail: tuple[str, ...] = ()
    #: Field of the file → its line.
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def speeches(self) -> tuple[Speech, ...]:
        """Everything of its own that is heard."""
        return tuple(one for one in (self.greeting, self.menu, self.closed) if one is not None)


# ------------------------------------------------------------------------------------------------ reading


def read(source: str) -> tuple[Office | None, list[Problem]]:
    """Return the office that a file describes, or None and every mistake by its line."""
    root, problems = read_yaml(source)
    if root is None:
        return None, problems
    if not isinstance(root.value, Mapping):
        return None, [*problems, Problem(root.line, "an office is a mapping: name, number, extensions, …")]
    office = _office(Fields(problems, root))
    return (None if problems else office), sorted(set(problems))


def _office(fields: Fields) -> Office:
    name = fields.text("name", None)
    if name and not _NAME.fullmatch(name):
        fields.complain(fields.line_of("name"), '"name": 1 to 31 small letters, digits and -, a letter first')
    number = fields.text("number", None).removeprefix("+")
    if number and not _NUMBER.fullmatch(number):
        fields.complain(
            fields.line_of("number"), '"number" is a public number: country code first, digits only'
        )
    extensions = _extensions(fields)
    names = [one.name for one in extensions]
    first = names[0] if names else ""
    menu, keys = _menu(fields, name, names)
    operator = _one_of(fields, "operator", names, first)
    hours, holidays, zone = _hours(fields)
    mailbox, mail = _voicemail(fields, first)
    office = Office(
        name=name,
        number=number,
        language=fields.one_of("language", LANGUAGES, "ru"),
        greeting=_speech(fields, "greeting", name, _GREETING),
        extensions=extensions,
        menu=menu,
        keys=keys,
        operator=operator,
        hours=hours,
        holidays=holidays,
        time_zone=zone,
        closed=_speech(fields, "closed", name, _CLOSED) if hours else None,
        mailbox=mailbox,
        mail=mail,
        lines={word: fields.line_of(word) for word in ("name", "number", "hours", "menu", "voicemail")},
    )
    fields.done()
    return office


def _speech(fields: Fields, word: str, office: str, default: str) -> Speech:
    """Read a prompt's name, or {text: what is to be spoken}."""
    line = fields.line_of(word)
    item = fields.get(word)
    if item is None or isinstance(item.value, str):
        return Speech(line=line, prompt=fields.text(word, default, longest=63))
    inner = fields.fields(word)
    if inner is None:
        return Speech(line=line, prompt=default)
    text = inner.text("text", None)
    inner.done()
    return Speech(line=line, prompt=f"office-{office}-{word}", text=text)


def _extensions(fields: Fields) -> tuple[Extension, ...]:
    items = fields.list_of("extensions")
    if not items or len(items) > MOST_EXTENSIONS:
        fields.complain(fields.line_of("extensions"), f"an office has 1 to {MOST_EXTENSIONS} extensions")
        return ()
    found: dict[str, Extension] = {}
    for item in items:
        one = _extension(Fields(fields.problems, item), item)
        if one.name in found:
            fields.complain(item.line, f'extension "{one.name}" is given twice')
        found[one.name] = one
    return tuple(found.values())


def _extension(fields: Fields, item: Item) -> Extension:
    if not isinstance(item.value, Mapping):
        fields.complain(item.line, "an extension is a mapping: {name: 101, mail: anna@example.org}")
        return Extension(line=item.line, name="")
    name = fields.text("name", None)
    if name and (not _EXTENSION.fullmatch(name) or name == DIAL):
        fields.complain(fields.line_of("name"), '"name": 1 to 32 letters, digits, _ and -')
    one = Extension(
        line=item.line,
        name=name,
        display_name=fields.text("display_name", longest=128),
        mail=_mail(fields),
        ring_seconds=fields.whole("ring_seconds", 20, 1, 300),
        password=fields.text("password", longest=256),
        exists=fields.flag("exists", False),
    )
    if one.exists and (one.password or one.display_name):
        fields.complain(item.line, "an account that exists keeps its password and its name")
    fields.done()
    return one


def _mail(fields: Fields) -> tuple[str, ...]:
    found = fields.words("mail")
    if len(found) > MOST_RECIPIENTS:
        fields.complain(fields.line_of("mail"), f"more than {MOST_RECIPIENTS} addresses")
    return found


def _menu(fields: Fields, office: str, names: list[str]) -> tuple[Speech | None, Mapping[str, str]]:
    inner = fields.fields("menu")
    if inner is None:
        return None, {}
    say = _speech(inner, "say", f"{office}-menu", _GREETING)
    if inner.get("say") is None:
        inner.complain(inner.item.line, '"say" is missing: callers must hear which keys there are')
    keys: dict[str, str] = {}
    for key, (to, line) in inner.texts("keys").items():
        if not _KEY.fullmatch(key):
            inner.complain(line, f'"{key}" is no key: 0-9 * #')
        elif to not in names and to != DIAL and not _QUEUE.fullmatch(to):
            inner.complain(line, f'key {key}: there is no extension "{to}" (or queue:NAME, or {DIAL})')
        elif to == DIAL and not all(one.isdigit() for one in names):
            inner.complain(line, f"key {key}: only extensions of digits alone can be dialled")
        keys[key] = to
    if not keys:
        inner.complain(inner.line_of("keys"), "a menu has at least one key")
    inner.done()
    return say, keys


def _one_of(fields: Fields, word: str, names: list[str], default: str) -> str:
    found = fields.text(word, default)
    if names and found not in names:
        fields.complain(fields.line_of(word), f'"{word}": there is no extension "{found}"')
    return found


def _hours(fields: Fields) -> tuple[str, tuple[date, ...], str]:
    hours, zone = fields.text("hours"), fields.text("time_zone")
    for word, check in (("hours", parse_hours), ("time_zone", time_zone)):
        text = hours if word == "hours" else zone
        try:
            if text:
                check(text)
        except BadSchedule as error:
            fields.complain(fields.line_of(word), error.message)
    holidays = []
    for item in fields.list_of("holidays"):
        try:
            holidays.append(date.fromisoformat(str(item.value)))
        except ValueError:
            fields.complain(item.line, f'"{item.value}" is no day: write 2027-01-01')
    if not hours and (holidays or fields.get("closed") is not None):
        fields.complain(fields.line_of("hours"), 'without "hours" it is always open')
    return hours, tuple(sorted(set(holidays))), zone


def _voicemail(fields: Fields, default: str) -> tuple[str, tuple[str, ...]]:
    """Return the mailbox of who calls out of hours, and addresses if it has some of its own."""
    inner = fields.fields("voicemail")
    if inner is None:
        return default, ()
    mailbox = inner.text("mailbox", default)
    if not _EXTENSION.fullmatch(mailbox or "x"):
        inner.complain(inner.line_of("mailbox"), '"mailbox": 1 to 32 letters, digits, _ and -')
    mail = _mail(inner)
    inner.done()
    return mailbox, mail


def recipients(office: Office) -> dict[str, tuple[tuple[str, ...], int]]:
    """Return the addresses of each mailbox that has some, with the line that gives them."""
    found = {one.name: (one.mail, one.line) for one in office.extensions if one.mail}
    if office.mail:
        known = found.get(office.mailbox, ((), 0))[0]
        merged = tuple(dict.fromkeys((*known, *office.mail)))
        found[office.mailbox] = (merged, office.lines["voicemail"])
    return found


# ----------------------------------------------------------------------------------------------- scenario


def scenario(office: Office) -> str:
    """Return the YAML of the scenario behind the number."""
    nodes: dict[str, dict[str, Any]] = {}
    greeted = "menu" if office.menu else f"ring-{office.operator}"
    if office.hours:
        open_ = {"if": {"schedule": office.name}, "next": "hello"}
        nodes["hours"] = {"kind": "branch", "when": [open_], "otherwise": "closed"}
    nodes["hello"] = {"kind": "play", "say": [office.greeting.prompt], "barge_in": "yes", "next": greeted}
    if office.menu:
        nodes |= _menu_nodes(office, office.menu)
    ringing = {office.operator, *office.keys.values()}
    everybody = DIAL in ringing
    for one in office.extensions:
        if everybody or one.name in ringing:
            nodes |= _extension_nodes(one)
    if office.closed:
        nodes["closed"] = _record([office.closed.prompt, _LEAVE], office.mailbox)
    nodes["saved"] = {"kind": "play", "say": [_SAVED], "next": "bye"}
    nodes["bye"] = {"kind": "hangup"}
    made: dict[str, Any] = {"about": f"Virtual office {office.name}", "language": office.language}
    if office.time_zone:
        made["time_zone"] = office.time_zone
    return yaml.safe_dump({**made, "nodes": nodes}, sort_keys=False, allow_unicode=True, width=120)


def _menu_nodes(office: Office, say: Speech) -> dict[str, dict[str, Any]]:
    operator = f"ring-{office.operator}"
    made: dict[str, dict[str, Any]] = {
        "menu": {
            "kind": "menu",
            "say": [say.prompt],
            "keys": {key: _node_of(to) for key, to in office.keys.items()},
            "say_invalid": [_INVALID],
            "on_failure": operator,
        }
    }
    for to in dict.fromkeys(office.keys.values()):
        if queue := _QUEUE.fullmatch(to):
            failed = f"message-{office.operator}"
            made[_node_of(to)] = {"kind": "queue", "queue": queue[1], "on_failure": failed}
    if DIAL in office.keys.values():
        made[DIAL] = {
            "kind": "collect",
            "say": [_ENTER],
            "into": "extension",
            "max_digits": max(len(one.name) for one in office.extensions),
            "next": "who",
            "on_failure": operator,
        }
        ways = [
            {"if": {"variable": "extension", "equals": one.name}, "next": f"ring-{one.name}"}
            for one in office.extensions
        ]
        made["who"] = {"kind": "branch", "when": ways, "otherwise": "nobody-there"}
        made["nobody-there"] = {"kind": "play", "say": [_INVALID], "next": operator}
    return made


def _node_of(to: str) -> str:
    if to == DIAL:
        return DIAL
    queue = _QUEUE.fullmatch(to)
    return f"queue-{queue[1]}" if queue else f"ring-{to}"


def _extension_nodes(one: Extension) -> dict[str, dict[str, Any]]:
    return {
        f"ring-{one.name}": {
            "kind": "transfer",
            "to": f"account:{one.name}",
            "ring_seconds": one.ring_seconds,
            "next": "bye",
            "on_failure": f"message-{one.name}",
        },
        f"message-{one.name}": _record([_NOBODY, _LEAVE], one.name),
    }


def _record(say: list[str], mailbox: str) -> dict[str, Any]:
    return {
        "kind": "record",
        "say": say,
        "mailbox": mailbox,
        "max_seconds": 180,
        "next": "saved",
        "on_failure": "bye",
    }
