"""RTPProxy's control protocol: text to commands and replies, and datagrams. Pure: no socket, no time.

A command over UDP is `cookie command`, its reply `cookie text`; the same cookie sent again is answered from
RTPProxy's memory without running the command twice, so a client may repeat a datagram safely. Over a stream a
command is a line without cookie.

A command that cannot be understood is refused with the number that RTPProxy itself answers (found by asking
rtp.io 1.1.1). Bytes that are not UTF-8 survive (surrogateescape): ids come from strangers' SIP.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rtpproxy_ctl.commands import (
    NO_MEDIA,
    PROTOCOL_VERSION,
    SESSION_COUNTERS,
    SINGLE_SHOT_CAPABILITY,
    AnyCommand,
    Command,
    Copy,
    Counters,
    Delete,
    DeleteAll,
    HasCapability,
    Info,
    Lookup,
    Media,
    ModuleCall,
    Notify,
    OtherSide,
    Play,
    Ports,
    Query,
    Record,
    SessionCommand,
    StopPlay,
    StopRecord,
    SubCommand,
    Update,
    Version,
    parse_counters,
    parse_ports,
)
from rtpproxy_ctl.errors import BadCommand, BadReply, ErrorCode, RtpError, is_known

#: Longest command line that is looked at.
MAX_COMMAND_BYTES = 8192

_words = re.compile(r"[^ \t\r\n\0]+").findall
_MODIFIER = re.compile(
    r"(?P<flags>[aeiswn6])|c(?P<codecs>[0-9,]+)|z(?P<ptime>[0-9]{1,4})"
    r"|(?P<which>[lr])(?P<address>\{[^{}]*\}|\[[0-9a-f:.]*\]|[0-9][0-9.]*)",
    re.IGNORECASE,
)
#: What RTPProxy answers to a modifier of U or L that it cannot read.
_BAD_MEDIA = {"z": 13, "c": 14, "l": 15, "r": 16}


def parse_command(line: str) -> AnyCommand:
    """Read a command line; raises BadCommand."""
    if len(line) > MAX_COMMAND_BYTES:
        raise BadCommand(ErrorCode.ARGUMENT_COUNT, "the command is too long")
    first, *subs = line.split("&&") if "&&" in line else (line,)
    words = _words(first)
    if not words:
        raise BadCommand(ErrorCode.BAD_ARGUMENT, "an empty command")
    name, modifiers = words[0][0].upper(), words[0][1:]
    parser = _PARSERS.get(name)
    if parser is None:
        raise BadCommand(ErrorCode.UNKNOWN_COMMAND, f"no command {name!r}")
    if subs and name not in "UL":
        raise BadCommand(ErrorCode.BAD_SUBCOMMAND, "sub-commands belong to U and L")
    return parser(modifiers, words[1:], subs)


def is_error(text: str) -> int | None:
    """Return the number of an `E<number>` reply; None of other text, and of a number that RTPProxy has not."""
    if text[:1] != "E" or not 2 <= len(text) <= 3 or not (text[1:].isascii() and text[1:].isdigit()):
        return None
    return int(text[1:]) if is_known(int(text[1:])) else None


# ------------------------------------------------------------------------------------------- datagrams


def to_datagram(cookie: str, command: str) -> bytes:
    """Join a cookie (no white space) and a command line to what is sent over UDP."""
    if not cookie or any(character.isspace() for character in cookie):
        raise ValueError(f"not a cookie: {cookie!r}")
    return f"{cookie} {command}".encode(errors="surrogateescape")


def from_datagram(datagram: bytes) -> tuple[str, str]:
    """Split a reply into cookie and text.

    Raises BadReply where there is no text, RtpError where the text is an error number.
    """
    cookie, text = split_datagram(datagram)
    text = text.strip()
    if not text:
        raise BadReply(f"no text in the reply {datagram!r}")
    number = is_error(text)
    if number is not None:
        raise RtpError(number)
    return cookie, text


def split_datagram(datagram: bytes) -> tuple[str, str]:
    """Split a datagram, command or reply, into cookie and text, which may be empty."""
    cookie, _, text = datagram.decode("utf-8", "surrogateescape").partition(" ")
    return cookie, text


# --------------------------------------------------------------------------------- one parser a command

Parser = Callable[[str, list[str], list[str]], AnyCommand]


def _arguments(words: list[str], least: int, most: int) -> list[str]:
    """Return the words, filled up with empty ones; raises BadCommand when there are too few or too many."""
    if not least <= len(words) <= most:
        raise BadCommand(ErrorCode.ARGUMENT_COUNT, f"{len(words)} arguments, not {least} to {most}")
    return words + [""] * (most - len(words))


def _no_modifiers(modifiers: str) -> None:
    if modifiers:
        raise BadCommand(ErrorCode.BAD_MODIFIER, f"modifiers {modifiers!r}")


def _only(modifiers: str, letter: str, number: int) -> bool:
    """Tell whether the one modifier of a command is there; raises BadCommand with `number` for any other."""
    if modifiers.lower().strip(letter):
        raise BadCommand(number, f"modifiers {modifiers!r}")
    return bool(modifiers)


def _version(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    if modifiers[:1].upper() == "F":
        (capability,) = _arguments(words, 1, 1)
        _no_modifiers(modifiers[1:])
        # RTPProxy says 0 to whatever it does not know.
        digits = capability.isascii() and capability.isdigit() and len(capability) <= 18
        return HasCapability(int(capability) if digits else 0)
    _arguments(words, 0, 0)
    _no_modifiers(modifiers)
    return Version()


def _update(modifiers: str, words: list[str], subs: list[str]) -> AnyCommand:
    values = _arguments(words, 4, 7)
    media, address, port = _media(modifiers), *_address(values[1], values[2])
    notify = None
    to_tag = values[4]
    if len(words) == 6:  # socket and tag, and no to-tag
        to_tag, notify = "", Notify(values[4], values[5])
    elif len(words) == 7:
        notify = Notify(values[5], values[6])
    return Update(values[0], address, port, values[3], to_tag, notify, media, _sub_commands(subs))


def _lookup(modifiers: str, words: list[str], subs: list[str]) -> AnyCommand:
    values = _arguments(words, 4, 5)
    media, address, port = _media(modifiers), *_address(values[1], values[2])
    return Lookup(values[0], address, port, values[3], values[4], media, _sub_commands(subs))


def _delete(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    call_id, from_tag, to_tag = _arguments(words, 2, 3)
    return Delete(call_id, from_tag, to_tag, weak=_only(modifiers, "w", 8))


def _play(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    call_id, path, codecs, from_tag, to_tag = _arguments(words, 4, 5)
    if not re.fullmatch(r"(-?[0-9]{1,9})?", modifiers, re.ASCII):
        raise BadCommand(17, f"{modifiers!r} is no count")
    return Play(call_id, path, codecs, from_tag, to_tag, count=int(modifiers or "1"))


def _stop_play(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    _no_modifiers(modifiers)
    return StopPlay(*_arguments(words, 2, 3))


def _record(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    call_id, from_tag, to_tag = _arguments(words, 2, 3)
    return Record(call_id, from_tag, to_tag, single_file=_only(modifiers, "s", 7))


def _copy(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    call_id, target, from_tag, to_tag = _arguments(words, 3, 4)
    return Copy(call_id, target, from_tag, to_tag, single_file=_only(modifiers, "s", 7))


def _stop_record(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    _no_modifiers(modifiers)
    return StopRecord(*_arguments(words, 2, 3))


def _query(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    if not 2 <= len(words) <= 32:
        raise BadCommand(ErrorCode.ARGUMENT_COUNT, f"{len(words)} arguments")
    call_id, from_tag, to_tag, *counters = (*words, "")[: max(3, len(words))]
    if any(name not in SESSION_COUNTERS for name in counters):
        raise BadCommand(ErrorCode.QUERY_FAILED, "no such counter of a session")
    return Query(call_id, from_tag, to_tag, tuple(counters), verbose=_only(modifiers, "v", 19))


def _info(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    _arguments(words, 0, 0)
    return Info(brief=_only(modifiers, "b", 18))


def _counters(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    _no_modifiers(modifiers)
    if not words or len(words) > 64:
        raise BadCommand(ErrorCode.ARGUMENT_COUNT, "no counters named, or too many")
    if any(not (name.isascii() and name.isidentifier()) for name in words):
        raise BadCommand(ErrorCode.UNKNOWN_COUNTER, "no such counter")
    return Counters(tuple(words))


def _delete_all(modifiers: str, words: list[str], _: list[str]) -> AnyCommand:
    _arguments(words, 0, 0)
    _no_modifiers(modifiers)
    return DeleteAll()


_PARSERS: dict[str, Parser] = {
    "V": _version,
    "U": _update,
    "L": _lookup,
    "D": _delete,
    "P": _play,
    "S": _stop_play,
    "R": _record,
    "C": _copy,
    "N": _stop_record,
    "Q": _query,
    "I": _info,
    "G": _counters,
    "X": _delete_all,
}


# ----------------------------------------------------------------------------------- parts of U and L


def _address(address: str, port: str) -> tuple[str, int]:
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise BadCommand(37, f"{port!r} is no port")
    return address, int(port)


def _media(modifiers: str) -> Media:
    """Read the modifiers of U and L; raises BadCommand with RTPProxy's number for the one that is wrong."""
    if not modifiers:
        return NO_MEDIA
    found: dict[str, str] = {}
    flags, at = "", 0
    while at < len(modifiers):
        match = _MODIFIER.match(modifiers, at)
        letter = modifiers[at].lower()
        if match is None or (letter == "c" and "c" in found):
            raise BadCommand(_BAD_MEDIA.get(letter, 35), f"modifiers {modifiers!r}")
        at = match.end()
        if match["flags"]:
            flags += letter
        else:
            found[letter] = match["codecs"] or match["ptime"] or match["address"]
    return Media(
        flags, _codecs(found.get("c")), _ptime(found.get("z")), found.get("l", ""), found.get("r", "")
    )


def _codecs(text: str | None) -> tuple[int, ...]:
    types = tuple(int(word) for word in text.split(",") if word) if text else ()
    if text and (not types or any(number > 127 for number in types) or len(types) > 64):
        raise BadCommand(14, f"codecs {text!r}")
    return types


def _ptime(text: str | None) -> int | None:
    if text is None:
        return None
    if not 0 < int(text) < 1000:
        raise BadCommand(13, f"{text} ms is no length of a packet")
    return int(text)


def _sub_commands(parts: list[str]) -> tuple[SubCommand, ...]:
    return tuple(map(_sub_command, parts)) if parts else ()


def _sub_command(part: str) -> SubCommand:
    words = _words(part)
    if words and words[0][0] in "Mm" and re.fullmatch(r"[0-9]+:[0-9]+", words[0][1:], re.ASCII):
        return ModuleCall(words[0][1:], tuple(words[1:]))
    if len(words) == 3 and words[0][0] in "Ll":
        media, address, port = _media(words[0][1:]), *_address(words[1], words[2])
        return OtherSide(address, port, media)
    raise BadCommand(ErrorCode.BAD_SUBCOMMAND, f"sub-command {part!r}")


__all__ = [
    "MAX_COMMAND_BYTES",
    "NO_MEDIA",
    "PROTOCOL_VERSION",
    "SESSION_COUNTERS",
    "SINGLE_SHOT_CAPABILITY",
    "AnyCommand",
    "BadCommand",
    "BadReply",
    "Command",
    "Copy",
    "Counters",
    "Delete",
    "DeleteAll",
    "ErrorCode",
    "HasCapability",
    "Info",
    "Lookup",
    "Media",
    "ModuleCall",
    "Notify",
    "OtherSide",
    "Play",
    "Ports",
    "Query",
    "Record",
    "RtpError",
    "SessionCommand",
    "StopPlay",
    "StopRecord",
    "Update",
    "Version",
    "from_datagram",
    "is_error",
    "parse_command",
    "parse_counters",
    "parse_ports",
    "split_datagram",
    "to_datagram",
]
