"""SDP of one audio stream (RFC 4566, 3264): read what the far end offers, write what we answer. Pure.

The host never transcodes: both sides of a call must agree on one codec, so the callee is offered only what was
agreed with the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from callcore.errors import BadInput


class BadSdp(BadInput):
    """The session description cannot be used."""

    error_id = "bad-sdp"


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type with its meaning."""

    number: int
    #: As in rtpmap, without the clock rate: "PCMA".
    name: str
    clock: int = 8000


#: What the host can play and relay, best first. Payload types below 96 are fixed by RFC 3551.
PCMA = Codec(8, "PCMA")
PCMU = Codec(0, "PCMU")
G722 = Codec(9, "G722")
OURS = (PCMA, PCMU, G722)
DEFAULT_DTMF = 101
_STATIC = {codec.number: codec for codec in OURS}
_HOLDING = ("sendonly", "inactive")
_MIRROR = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive", "sendrecv": "sendrecv"}


@dataclass(frozen=True, slots=True)
class Description:
    """The audio stream of one side."""

    address: str
    port: int
    #: In the order of preference.
    codecs: tuple[Codec, ...]
    #: Payload type of telephone-event at 8000 Hz; None: not offered.
    dtmf: int | None = None
    direction: str = "sendrecv"
    #: Kinds of the m-lines in their order and the index of ours: the others are refused in the answer.
    media: tuple[str, ...] = ("audio 0 RTP/AVP 0",)
    index: int = 0

    @property
    def holds(self) -> bool:
        """Whether this side holds the other (RFC 3264 section 8.4, and the old way of 0.0.0.0)."""
        return self.direction in _HOLDING or self.address == "0.0.0.0"


def parse(text: str) -> Description:
    """Read a description; raises BadSdp when there is no audio stream in it that could be used."""
    media: list[str] = []
    session_address, address, direction = "", "", ""
    session_direction = "sendrecv"
    names: dict[int, tuple[str, int]] = {}
    index = -1
    for raw in text.splitlines():
        kind, _, value = raw.strip().partition("=")
        if kind == "m":
            media.append(value)
            if index < 0 and value.startswith("audio ") and value.split()[1:2] != ["0"]:
                index = len(media) - 1
        elif kind == "c" and not media:
            session_address = value.split()[-1]
        elif media and index == len(media) - 1:
            if kind == "c":
                address = value.split()[-1]
            elif kind == "a":
                direction = value if value in _MIRROR else direction
                _note_rtpmap(value, names)
        elif kind == "a" and not media and value in _MIRROR:
            session_direction = value
    if index < 0:
        raise BadSdp("no audio stream")
    return _description(media, index, address or session_address, direction or session_direction, names)


def _note_rtpmap(value: str, names: dict[int, tuple[str, int]]) -> None:
    if not value.startswith("rtpmap:"):
        return
    number, _, encoding = value.removeprefix("rtpmap:").partition(" ")
    name, _, clock = encoding.partition("/")
    if number.isdigit() and clock.partition("/")[0].isdigit():
        names[int(number)] = (name.strip().upper(), int(clock.partition("/")[0]))


def _description(
    media: list[str], index: int, address: str, direction: str, names: dict[int, tuple[str, int]]
) -> Description:
    words = media[index].split()
    try:
        port, numbers = int(words[1].partition("/")[0]), [int(word) for word in words[3:]]
    except (IndexError, ValueError) as error:
        raise BadSdp(f"m={media[index]}") from error
    if not address:
        raise BadSdp("no address")
    codecs, dtmf = [], None
    for number in numbers:
        name, clock = names.get(number, ("", 0))
        if name == "TELEPHONE-EVENT":
            dtmf = number if clock == 8000 and dtmf is None else dtmf
        elif name or number in _STATIC:
            codecs.append(Codec(number, name, clock) if name else _STATIC[number])
    return Description(address, port, tuple(codecs), dtmf, direction, tuple(media), index)


def choose(offer: Description, wanted: tuple[Codec, ...] = OURS) -> Codec:
    """Choose the codec of the call: the first of the offer that is among the wanted; raises BadSdp."""
    for codec in offer.codecs:
        for ours in wanted:
            if codec.name == ours.name and codec.clock == ours.clock:
                return codec
    raise BadSdp("no codec in common")


def write_offer(
    address: str, port: int, session: int, codecs: tuple[Codec, ...], dtmf: int | None, version: int = 1
) -> str:
    """Write an offer of these codecs."""
    return _write(address, port, session, version, codecs, dtmf, "sendrecv", ("audio",), 0)


def write_answer(
    offer: Description, address: str, port: int, session: int, codec: Codec, version: int = 1
) -> str:
    """Write the answer to an offer: one codec, the direction mirrored, further streams refused."""
    direction = _MIRROR[offer.direction]
    return _write(address, port, session, version, (codec,), offer.dtmf, direction, offer.media, offer.index)


def _write(
    address: str,
    port: int,
    session: int,
    version: int,
    codecs: tuple[Codec, ...],
    dtmf: int | None,
    direction: str,
    media: tuple[str, ...],
    index: int,
) -> str:
    family = "IP6" if ":" in address else "IP4"
    lines = [
        "v=0",
        f"o=kalibri {session} {version} IN {family} {address}",
        "s=-",
        f"c=IN {family} {address}",
        "t=0 0",
    ]
    for number, line in enumerate(media):
        if number == index:
            lines.extend(_audio(port, codecs, dtmf, direction))
        else:
            kind, _, protocol, *formats = (*line.split(), "", "", "")[:4]
            lines.append(f"m={kind} 0 {protocol or 'RTP/AVP'} {formats[0] or '0'}")
    return "\r\n".join([*lines, ""])


def _audio(port: int, codecs: tuple[Codec, ...], dtmf: int | None, direction: str) -> list[str]:
    numbers = [str(codec.number) for codec in codecs]
    if dtmf is not None:
        numbers.append(str(dtmf))
    lines = [f"m=audio {port} RTP/AVP {' '.join(numbers)}"]
    lines += [f"a=rtpmap:{codec.number} {codec.name}/{codec.clock}" for codec in codecs]
    if dtmf is not None:
        lines += [f"a=rtpmap:{dtmf} telephone-event/8000", f"a=fmtp:{dtmf} 0-16"]
    return [*lines, "a=ptime:20", f"a={direction}"]


def held(description: Description) -> Description:
    """Return the same stream with the far end's address taken away: nothing is sent there."""
    return replace(description, address="0.0.0.0", port=0)
