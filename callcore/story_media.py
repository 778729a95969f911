"""Words for what media hosts and RTP controllers tell of a call: legs, slots, packets. Decides the words only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from callcore.cdr import text_of

#: Sides of a call in the keys of `call.media`.
_SIDES = (("a", "caller"), ("b", "callee"))


def media_text(data: Mapping[str, Any]) -> str:
    """Return what was counted of a call's RTP (docs/rtp.md) as one line; what is not known by name comes as it is."""
    if "raw" in data and len(data) == 1:
        return text_of(data["raw"])
    left = {key: value for key, value in data.items() if key != "raw"}
    parts = [text for letter, side in _SIDES if (text := _side(left, letter, side))]
    relayed, dropped, node = left.pop("relayed", None), left.pop("dropped", None), left.pop("node", None)
    if relayed is not None:
        through = f" by {node}" if node else ""
        parts.append(f"{relayed} relayed{through}" + (f", {dropped} not" if dropped else ""))
    if silent := left.pop("silent", None):
        parts.insert(
            0, f"ONE-WAY: nothing came from {'either side' if silent == 'both' else f'the {silent}'}"
        )
    parts += [f"{key.replace('_', ' ')} {value}" for key, value in sorted(left.items())]
    return "; ".join(parts)


def _side(data: dict[str, Any], letter: str, side: str) -> str:
    """Return what one side sent, and take it out of the data."""
    packets = data.pop(f"{letter}_packets", None)
    if packets is None:
        return ""
    lost, percent = data.pop(f"{letter}_lost", None), data.pop(f"{letter}_loss_percent", None)
    gap = data.pop(f"{letter}_longest_gap_ms", None)
    average, most = data.pop(f"{letter}_jitter_avg_ms", None), data.pop(f"{letter}_jitter_max_ms", None)
    for unit in ("avg", "max"):
        data.pop(f"{letter}_jitter_{unit}_units", None)
    parts = [f"{side} sent {packets} packets"]
    if lost is not None and packets:
        parts.append(f"{lost} lost ({percent or 0:g} %)")
    if average is not None and packets:
        parts.append(f"jitter {average:g} ms" + (f" (most {most:g})" if most is not None else ""))
    if gap and packets:
        parts.append(f"longest gap {gap} ms")
    return ", ".join(parts)


Told = tuple[str, str]


def leg_name(data: Mapping[str, Any]) -> str:
    """Return "agent (offer 3)" for the leg "agent:3", else the name of the leg."""
    name, _, offer = text_of(data.get("leg")).partition(":")
    number = text_of(data.get("offer")) or offer
    return f"{name} (offer {number})" if name == "agent" and number else name or "leg"


def host_event(kind: str, data: Mapping[str, Any]) -> Told | None:
    """Return arrow and words of a media host's event (docs/mediahost.md); None for a kind that is not known here."""
    words = _HOST.get(kind)
    return None if words is None else words(data)


def _arrive(data: Mapping[str, Any]) -> Told:
    queue = f", for queue {data['queue']}" if data.get("queue") is not None else ""
    return "·", f"reached media host {text_of(data.get('host'))}{queue}"


def _callback(data: Mapping[str, Any]) -> Told:
    return "·", f"callback of {text_of(data.get('b'))} begins at media host {text_of(data.get('host'))}"


def _dial(data: Mapping[str, Any]) -> Told:
    return "→", f"media host calls the {leg_name(data)}: {text_of(data.get('to'))}"


def _ring(data: Mapping[str, Any]) -> Told:
    return "←", f"the {leg_name(data)} is ringing"


def _failed(data: Mapping[str, Any]) -> Told:
    if not data.get("code"):
        return "·", f"the {leg_name(data)} could not be called: no proxy answered"
    return "←", f"the {leg_name(data)} was not reached: {text_of(data.get('code'))}"


def _gone(data: Mapping[str, Any]) -> Told:
    cause = f" ({text_of(data.get('cause'))})" if data.get("cause") else ""
    return "·", f"the {leg_name(data)} hung up{cause}"


def _hangup(data: Mapping[str, Any]) -> Told:
    return "·", f"media host ends the call of the {leg_name(data)}: {text_of(data.get('reason'))}"


def _refer(data: Mapping[str, Any]) -> Told:
    kind = "attended" if data.get("replaces") else "blind"
    return "·", f"the {leg_name(data)} asks for a transfer ({kind}) to {text_of(data.get('to'))}"


def _parked(data: Mapping[str, Any]) -> Told:
    by = f" by {text_of(data.get('by'))}" if data.get("by") else ""
    return "·", f"parked{by} at slot {text_of(data.get('slot'))}" + (
        ", which was chosen" if data.get("chosen") is True else ""
    )


def _not_parked(data: Mapping[str, Any]) -> Told:
    return "·", f"not parked: {text_of(data.get('reason'))}"


def _picked_up(data: Mapping[str, Any]) -> Told:
    slot, by, call = (text_of(data.get(key)) for key in ("slot", "by", "by_call"))
    return "·", f"taken from slot {slot} by {by}, call {call}"


def _pickup(data: Mapping[str, Any]) -> Told:
    return "·", f"wants the parked call {text_of(data.get('parked'))}"


def _end(data: Mapping[str, Any]) -> Told:
    return "·", f"media host is done: {text_of(data.get('cause'))}"


_HOST: Mapping[str, Callable[[Mapping[str, Any]], Told]] = {
    "media.arrive": _arrive,
    "media.callback": _callback,
    "media.answer": lambda data: ("←", "media host answers the caller"),
    "media.dial": _dial,
    "media.redial": lambda data: ("·", f"{text_of(data.get('reason'))}: called again through another one"),
    "media.ring": _ring,
    "media.up": lambda data: ("←", f"the {leg_name(data)} has answered"),
    "media.failed": _failed,
    "media.join": lambda data: ("·", f"joined with the {leg_name(data)}"),
    "media.part": lambda data: ("·", f"parted from the {leg_name(data)}"),
    "media.gone": _gone,
    "media.hangup": _hangup,
    "media.key": lambda data: ("→", f"a key was pressed by the {leg_name(data)}"),
    "media.refer": _refer,
    "media.replace": lambda data: (
        "·",
        f"another call takes the place of the {leg_name(data)}: attended transfer",
    ),
    "media.lost": lambda data: ("·", "the RTP session is gone: no packet for a long time, or its node"),
    "media.not_recorded": lambda data: ("·", "could not be recorded: no RTP controller took it"),
    "media.end": _end,
    "park.parked": _parked,
    "park.refused": _not_parked,
    "park.picked_up": _picked_up,
    "park.pickup": _pickup,
    "park.ring_back": lambda data: (
        "→",
        f"nobody took it: {text_of(data.get('to'))}, who parked it, is rung",
    ),
    "park.taken_back": lambda data: ("←", "who parked it took it back"),
    "park.overflow": lambda data: ("→", f"nobody took it: on to {text_of(data.get('to'))}"),
    "park.overflowed": lambda data: ("←", "taken there"),
    "park.abandoned": lambda data: ("·", f"the caller left slot {text_of(data.get('slot'))}"),
    "park.ended": lambda data: (
        "×",
        f"ended at slot {text_of(data.get('slot'))}: {text_of(data.get('reason'))}",
    ),
}
