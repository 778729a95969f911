"""RTPProxy's commands as values: each knows its text (`encode`) and how to read its reply (`parse`). Pure.

Text to command is rtpproxy_ctl/protocol.py. Arguments are single words (no white space, no `&&`); whoever fills in
text of strangers makes that sure before (the controller hashes it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rtpproxy_ctl.errors import BadReply

#: What every RTPProxy of this century answers to `V`.
PROTOCOL_VERSION = 20040107

#: Newest optional capability that we use: several sub-commands in one U (`U ... && L ...`).
SINGLE_SHOT_CAPABILITY = 20260309

#: Counters of one session, in the order in which `Qv` is asked for them: packets that arrived from the side whose
#: tag is first and from the other, relayed, dropped; longest gap between packets (s), jitter (RTP clock units),
#: packets that never came and packets that came.
SESSION_COUNTERS = (
    "ttl",
    "npkts_ina",
    "npkts_ino",
    "nrelayed",
    "ndropped",
    "longest_ipi",
    "rtpa_jmax",
    "rtpa_javg",
    "rtpa_nlost",
    "rtpa_nrcvd",
    "rtpa_ndups",
)


class Command(Protocol):
    """What all commands have in common."""

    def encode(self) -> str:
        """Return the command line, without cookie and line end."""


@dataclass(frozen=True, slots=True)
class Version:
    """Ask which protocol the node speaks."""

    def encode(self) -> str:
        return "V"

    def parse(self, text: str) -> int:
        """Return the protocol version, a date as YYYYMMDD."""
        return _number(text)


@dataclass(frozen=True, slots=True)
class HasCapability:
    """Ask whether the node knows an optional capability."""

    #: Date that names the capability, as YYYYMMDD.
    capability: int

    def encode(self) -> str:
        return f"VF {self.capability}"

    def parse(self, text: str) -> bool:
        return _number(text) == 1


@dataclass(frozen=True, slots=True)
class Counters:
    """Read counters of the node, for example `nsess_created` or `pps_in`."""

    #: At least one; without a name RTPProxy's answer is empty.
    names: Sequence[str]

    def __post_init__(self) -> None:
        if not self.names or any(not name.isidentifier() for name in self.names):
            raise ValueError(f"not names of counters: {self.names!r}")

    def encode(self) -> str:
        return "G " + " ".join(self.names)

    def parse(self, text: str) -> dict[str, float]:
        """Return the counters by name; raises BadReply."""
        values = text.split()
        if len(values) != len(self.names):
            raise BadReply(f"{len(self.names)} counters asked, {len(values)} answered")
        try:
            return dict(zip(self.names, map(float, values), strict=True))
        except ValueError as error:
            raise BadReply(f"not a counter: {text!r}") from error


@dataclass(frozen=True, slots=True)
class Info:
    """Read the summary of the node, in several lines."""

    brief: bool = False

    def encode(self) -> str:
        return "Ib" if self.brief else "I"


@dataclass(frozen=True, slots=True)
class DeleteAll:
    """End every session."""

    def encode(self) -> str:
        return "X"


# ------------------------------------------------------------------------------------------ session, media


@dataclass(frozen=True, slots=True)
class Media:
    """Modifiers of U and L."""

    #: Any of a (asymmetric), s (symmetric), e, i (sides of a bridge, in order), w (weak), 6 (IPv6), n (new port).
    flags: str = ""
    #: Payload types.
    codecs: tuple[int, ...] = ()
    #: Length of played packets.
    ptime_ms: int | None = None
    #: Local address to use, and remote address to find it by.
    local: str = ""
    remote: str = ""

    def encode(self) -> str:
        text = self.flags  # first: behind the codecs a 6 would be read as a digit of theirs
        if self.codecs:
            text += "c" + ",".join(map(str, self.codecs))
        if self.ptime_ms is not None:
            text += f"z{self.ptime_ms}"
        if self.local:
            text += f"l{self.local}"
        return f"{text}r{self.remote}" if self.remote else text


NO_MEDIA = Media()


@dataclass(frozen=True, slots=True)
class Notify:
    """Where a node tells what happens to a session: a socket that its -n names, and a tag of the asker's."""

    socket: str
    #: As it stands in the command: percent-encoded.
    tag: str


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """Sub-command to a module: `M3:1 tag 101` (catch_dtmf)."""

    module: str
    arguments: tuple[str, ...] = ()

    def encode(self) -> str:
        return " ".join((f"M{self.module}", *self.arguments))


@dataclass(frozen=True, slots=True)
class OtherSide:
    """Sub-command of U: set the other party at once, as L does (single shot)."""

    address: str
    port: int
    media: Media = NO_MEDIA

    def encode(self) -> str:
        return f"L{self.media.encode()} {self.address} {self.port}"


SubCommand = ModuleCall | OtherSide


@dataclass(frozen=True, slots=True)
class Ports:
    """Reply of U and L: the node's port that takes the place of the sender's own in the SDP."""

    port: int
    #: Empty: the asker's own.
    address: str = ""
    #: Replies of the sub-commands, in order.
    more: tuple[str, ...] = ()

    def encode(self) -> str:
        first = str(self.port)
        if self.address:
            first += f" {self.address}" + (" 6" if ":" in self.address else "")
        return " && ".join((first, *self.more))


def parse_ports(text: str) -> Ports:
    """Read a reply of U or L; raises BadReply. Port 0 is L's answer when it does not know the session."""
    first, *more = (part.strip() for part in text.split("&&"))
    words = first.split()
    digits = words[0] if words and len(words) <= 3 else ""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= 65535):
        raise BadReply(f"no port in {text[:100]!r}")
    port = int(digits)
    return Ports(port, words[1] if len(words) > 1 else "", tuple(more))


@dataclass(frozen=True, slots=True)
class Update:
    """Make a session, or give the side with from_tag a new address; the reply is the port for the other side."""

    call_id: str
    address: str
    port: int
    from_tag: str
    to_tag: str = ""
    notify: Notify | None = None
    media: Media = NO_MEDIA
    more: tuple[SubCommand, ...] = ()

    def encode(self) -> str:
        tags = f"{self.from_tag} {self.to_tag}" if self.to_tag else self.from_tag
        text = f"U{self.media.encode()} {self.call_id} {self.address} {self.port} {tags}"
        if self.notify is not None:
            text += f" {self.notify.socket} {self.notify.tag}"
        return " && ".join((text, *(sub.encode() for sub in self.more))) if self.more else text

    def parse(self, text: str) -> Ports:
        """Return the ports; raises BadReply."""
        return parse_ports(text)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Give the side with to_tag its address; the reply is the port for the side with from_tag."""

    call_id: str
    address: str
    port: int
    from_tag: str
    to_tag: str = ""
    media: Media = NO_MEDIA
    more: tuple[SubCommand, ...] = ()

    def encode(self) -> str:
        tags = f"{self.from_tag} {self.to_tag}" if self.to_tag else self.from_tag
        text = f"L{self.media.encode()} {self.call_id} {self.address} {self.port} {tags}"
        return " && ".join((text, *(sub.encode() for sub in self.more))) if self.more else text

    def parse(self, text: str) -> Ports:
        """Return the ports; raises BadReply."""
        return parse_ports(text)


@dataclass(frozen=True, slots=True)
class Delete:
    """End a session."""

    call_id: str
    from_tag: str
    to_tag: str = ""
    weak: bool = False

    def encode(self) -> str:
        return _join("Dw" if self.weak else "D", self.call_id, self.from_tag, self.to_tag)


@dataclass(frozen=True, slots=True)
class Play:
    """Play a file to the side whose tag is first."""

    call_id: str
    #: Without its suffix, which is the payload type.
    path: str
    #: Payload types as a comma list, or `session`: those of the session, at its ptime.
    codecs: str
    from_tag: str
    to_tag: str = ""
    #: How many times; -1: until stopped.
    count: int = 1

    def encode(self) -> str:
        count = "" if self.count == 1 else str(self.count)
        return _join(f"P{count}", self.call_id, self.path, self.codecs, self.from_tag, self.to_tag)


@dataclass(frozen=True, slots=True)
class StopPlay:
    """Stop playing to the side whose tag is first."""

    call_id: str
    from_tag: str
    to_tag: str = ""

    def encode(self) -> str:
        return _join("S", self.call_id, self.from_tag, self.to_tag)


@dataclass(frozen=True, slots=True)
class Record:
    """Record what comes from one side, under a name that RTPProxy makes of the call-id (never sent by us)."""

    call_id: str
    from_tag: str
    to_tag: str = ""
    single_file: bool = False

    def encode(self) -> str:
        return _join("Rs" if self.single_file else "R", self.call_id, self.from_tag, self.to_tag)


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy what comes from the side whose tag is first into a file, or to a UDP address (udp:host:port)."""

    call_id: str
    target: str
    from_tag: str
    to_tag: str = ""
    #: Both directions (two commands) into one pcap file.
    single_file: bool = False

    def encode(self) -> str:
        name = "Cs" if self.single_file else "C"
        return _join(name, self.call_id, self.target, self.from_tag, self.to_tag)


@dataclass(frozen=True, slots=True)
class StopRecord:
    """End recording or copying what comes from one side."""

    call_id: str
    from_tag: str
    to_tag: str = ""

    def encode(self) -> str:
        return _join("N", self.call_id, self.from_tag, self.to_tag)


@dataclass(frozen=True, slots=True)
class Query:
    """Read counters of a session; without names the five classic ones."""

    call_id: str
    from_tag: str
    to_tag: str = ""
    counters: tuple[str, ...] = ()
    verbose: bool = False

    def encode(self) -> str:
        text = _join("Qv" if self.verbose else "Q", self.call_id, self.from_tag, self.to_tag)
        return " ".join((text, *self.counters)) if self.counters else text


#: Commands of one session: they have call_id and tags.
SessionCommand = Update | Lookup | Delete | Play | StopPlay | Record | Copy | StopRecord | Query
AnyCommand = Version | HasCapability | Counters | Info | DeleteAll | SessionCommand


def parse_counters(text: str) -> dict[str, float]:
    """Read the reply of `Qv`, "name=value" words, or that of Q, five numbers; raises BadReply."""
    words = text.split()
    if words and all("=" in word for word in words):
        pairs = [word.split("=", 1) for word in words]
    else:
        pairs = [[name, word] for name, word in zip(SESSION_COUNTERS[:5], words, strict=False)]
    try:
        return {name: float(value) for name, value in pairs}
    except ValueError as error:
        raise BadReply(f"not counters: {text!r}") from error


def _join(name: str, *words: str) -> str:
    return " ".join((name, *(word for word in words if word)))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise BadReply(f"a number was expected, not {text!r}")
    return int(text)
