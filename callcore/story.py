"""The story of a call: its events in time order, in words for a person who is on the phone to a carrier.

Decides the words only. An event of a kind that is not known here is told with its data, so that nothing that
happened is ever hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from callcore.cdr import CAUSE_TEXTS, code_of, id_of, in_order, list_of, text_of
from callcore.event import Event
from callcore.story_media import host_event, leg_name, media_text

#: Reason phrases of RFC 3261 section 21, for replies whose own phrase was not noted.
PHRASES: Mapping[int, str] = {
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    200: "OK",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    415: "Unsupported Media Type",
    420: "Bad Extension",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryLine:
    """One step of a call."""

    #: Milliseconds since the start of the call; negative if a clock was set back.
    at_ms: int
    #: "→" from caller to callee, "←" back, "×" an end, "·" something inside the switch.
    arrow: str
    text: str
    kind: str
    #: The process that told it.
    process: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names for ids, as far as they are still known."""

    gateways: Mapping[int, str]
    routes: Mapping[int, str]

    def gateway(self, gateway_id: object) -> str:
        """Return "gateway NAME (id)", or the id alone for a gateway that is gone."""
        known = id_of(gateway_id)
        name = self.gateways.get(known) if known is not None else None
        return f"gateway {name} ({known})" if name else f"gateway {gateway_id}"

    def route(self, route_id: object) -> str:
        """Return "12 (NAME)", or the id alone."""
        known = id_of(route_id)
        name = self.routes.get(known) if known is not None else None
        return f"{known} ({name})" if name else str(route_id)


def tell(started_at: datetime, events: Iterable[Event], names: Names) -> tuple[StoryLine, ...]:
    """Tell the events of a call in time order."""
    return tuple(_line(started_at, event, names) for event in in_order(events))


def _line(started_at: datetime, event: Event, names: Names) -> StoryLine:
    arrow, text = _TELLERS.get(event.kind, _other)(event, names)
    return StoryLine(
        at_ms=(event.at - started_at) // timedelta(milliseconds=1),
        arrow=arrow,
        text=text,
        kind=event.kind,
        process=event.process,
    )


def phrase(code: object, reason: object = "") -> str:
    """Return "486 Busy Here": the phrase that was received, else the one of the RFC."""
    known = code_of(code)
    if known is None:
        return text_of(reason) or "no reply"
    return f"{known} {text_of(reason) or PHRASES.get(known, '')}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a CDR says of the outcome of a call."""

    answered: bool
    ended: bool
    talk_ms: int | None
    final_code: int | None
    cause: str
    hung_up_by: str | None


def summary(verdict: Verdict) -> str:
    """Return the last line of a story: how it stands or stood."""
    if not verdict.ended:
        return "talking" if verdict.answered else "not answered yet"
    who = f"; hung up first: {verdict.hung_up_by}" if verdict.hung_up_by else ""
    why = CAUSE_TEXTS.get(verdict.cause, verdict.cause) or "cause not known"
    if verdict.answered:
        return f"talked {(verdict.talk_ms or 0) / 1000:.1f} s: {why}{who}"
    code = f"{phrase(verdict.final_code)}, " if verdict.final_code else ""
    return f"not answered: {code}{why}{who}"


# ------------------------------------------------------------------------------------ one per kind

Told = tuple[str, str]


def _party(data: Mapping[str, Any], names: Names) -> str:
    if data.get("gateway") is not None:
        return names.gateway(data["gateway"])
    if data.get("account"):
        return f"account {text_of(data['account'])}"
    return text_of(data.get("direction")) or "an unknown party"


def _start(event: Event, names: Names) -> Told:
    data = event.data
    urgent = "EMERGENCY " if data.get("emergency") is True else ""
    numbers = f"{text_of(data.get('a'))} calls {text_of(data.get('b'))}"
    where = f"{text_of(data.get('src'))} {text_of(data.get('transport'))}".strip()
    return "→", f"{urgent}INVITE from {_party(data, names)} at {where}: {numbers}"


def _route(event: Event, names: Names) -> Told:
    data = event.data
    hops = ", ".join(names.route(hop) for hop in list_of(data.get("route_ids"))) or "no route"
    sent = f"A {text_of(data.get('a_sent'))}, B {text_of(data.get('b_sent'))}"
    place = ", ".join(text for key in ("region", "operator") if (text := text_of(data.get(key))))
    targets = ", ".join(_target(target, names) for target in list_of(data.get("targets")))
    reason = text_of(data.get("reason"))
    parts = [f"routed by {hops}: {text_of(data.get('decision'))}", sent, place, targets, reason]
    return "·", "; ".join(part for part in parts if part)


def _target(target: object, names: Names) -> str:
    if not isinstance(target, dict):
        return text_of(target)
    cost = f" at {target['cost']}" if target.get("cost") is not None else ""
    return _destination(target, names) + cost


def _destination(data: Mapping[str, Any], names: Names) -> str:
    if data.get("gateway_id") is not None:
        return names.gateway(data["gateway_id"])
    if data.get("account"):
        return f"account {text_of(data['account'])}"
    return text_of(data.get("uri"))


def _attempt(event: Event, names: Names) -> Told:
    destination = _destination(event.data, names)
    uri = text_of(event.data.get("uri"))
    return "→", f"{_attempt_name(event)}INVITE to {destination}" + (
        f" as {uri}" if uri and uri != destination else ""
    )


def _ring(event: Event, _: Names) -> Told:
    return "←", f"{_attempt_name(event)}{phrase(event.data.get('code'))}"


def _attempt_end(event: Event, _: Names) -> Told:
    data = event.data
    cause = f" ({text_of(data.get('cause'))})" if data.get("cause") else ""
    then = ", the next one is tried" if data.get("failover") is True else ""
    return "←", f"{_attempt_name(event)}{phrase(data.get('code'), data.get('reason'))}{cause}{then}"


def _answer(event: Event, _: Names) -> Told:
    return "←", f"{_attempt_name(event)}{phrase(event.data.get('code'))}, answered"


def _update(event: Event, _: Names) -> Told:
    hold = event.data.get("hold")
    what = {True: ": hold", False: ": resume"}.get(hold, "") if isinstance(hold, bool) else ""
    return _from(event), f"{text_of(event.data.get('method')) or 're-INVITE'} by {_by(event)}{what}"


def _refer(event: Event, _: Names) -> Told:
    return _from(event), f"REFER by {_by(event)} to {text_of(event.data.get('to'))}"


def _media(event: Event, _: Names) -> Told:
    return "·", f"RTP: {media_text(event.data)}"


def _media_lost(event: Event, _: Names) -> Told:
    return "·", f"the RTP node {text_of(event.data.get('node'))} is gone, and the media with it"


def _recording(event: Event, _: Names) -> Told:
    """Tell what became of a recording: started, paused, resumed, stopped, failed."""
    data = event.data
    what = event.kind.removeprefix("recording.").replace("_", " ")
    by = f" by {text_of(data.get('by'))}" if data.get("by") else ""
    why = f": {text_of(data.get('reason'))}" if data.get("reason") else ""
    return "·", f"recording {text_of(data.get('recording_id'))} {what}{by}{why}"


def _end(event: Event, _: Names) -> Told:
    data = event.data
    method = text_of(data.get("method"))
    code = f" {phrase(data.get('code'))}" if code_of(data.get("code")) and method != "BYE" else ""
    cause, reason = text_of(data.get("cause")), text_of(data.get("reason"))
    why = f" ({reason})" if reason and reason != method else ""
    return "×", f"{method or 'end'} by {_by(event)}{code}: {CAUSE_TEXTS.get(cause, cause)}".rstrip(": ") + why


def _leg_start(event: Event, _: Names) -> Told:
    data = event.data
    numbers = f"{text_of(data.get('a'))} calls {text_of(data.get('b'))}"
    return (
        "→",
        f"{_leg(event)}INVITE from {text_of(data.get('src'))} {text_of(data.get('transport'))}: {numbers}",
    )


def _leg_route(event: Event, names: Names) -> Told:
    targets = ", ".join(_target(target, names) for target in list_of(event.data.get("targets")))
    return "·", f"{_leg(event)}to {targets or 'nobody'}: {text_of(event.data.get('reason'))}".rstrip(": ")


def _of_leg(teller: Callable[[Event, Names], Told]) -> Callable[[Event, Names], Told]:
    """Tell an event of a further leg in the words of the call's own, with the name of the leg."""

    def tell_leg(event: Event, names: Names) -> Told:
        arrow, text = teller(event, names)
        return arrow, f"{_leg(event)}{text}"

    return tell_leg


def _leg(event: Event) -> str:
    return f"leg to the {leg_name(event.data)}: " if event.data.get("leg") else "leg: "


def _other(event: Event, _: Names) -> Told:
    told = host_event(event.kind, event.data)
    if told is not None:
        return told
    data = ", ".join(f"{key} {value}" for key, value in sorted(event.data.items()))
    return "·", f"{event.kind}: {data}".rstrip(": ")


def _attempt_name(event: Event) -> str:
    n = id_of(event.data.get("n"))
    return "" if n is None else f"attempt {n}: "


def _by(event: Event) -> str:
    return text_of(event.data.get("by")) or "somebody"


def _from(event: Event) -> str:
    return {"caller": "→", "callee": "←"}.get(_by(event), "·")


def _ivr_place(event: Event) -> str:
    node = text_of(event.data.get("node"))
    return f"scenario {text_of(event.data.get('scenario'))}" + (f", node {node}" if node else "")


def _ivr_begin(event: Event, names: Names) -> Told:
    return "·", f"{_ivr_place(event)}: begins, version {event.data.get('version')}"


def _ivr_node(event: Event, names: Names) -> Told:
    by = text_of(event.data.get("by"))
    return "·", f"{_ivr_place(event)}: {text_of(event.data.get('what'))}" + (f" (by {by})" if by else "")


def _ivr_failure(event: Event, names: Names) -> Told:
    return "·", f"{_ivr_place(event)}: failed, {text_of(event.data.get('why'))}"


def _ivr_end(event: Event, names: Names) -> Told:
    return "×", f"{_ivr_place(event)}: ends, {text_of(event.data.get('cause'))}"


_TELLERS: Mapping[str, Callable[[Event, Names], Told]] = {
    "ivr.begin": _ivr_begin,
    "ivr.node": _ivr_node,
    "ivr.failure": _ivr_failure,
    "ivr.end": _ivr_end,
    "call.start": _start,
    "call.route": _route,
    "call.attempt": _attempt,
    "call.ring": _ring,
    "call.attempt_end": _attempt_end,
    "call.answer": _answer,
    "call.update": _update,
    "call.refer": _refer,
    "call.media": _media,
    "call.media_lost": _media_lost,
    **{f"recording.{what}": _recording for what in ("started", "paused", "resumed", "stopped", "failed")},
    "call.end": _end,
    "leg.start": _leg_start,
    "leg.route": _leg_route,
    "leg.attempt": _of_leg(_attempt),
    "leg.ring": _of_leg(_ring),
    "leg.attempt_end": _of_leg(_attempt_end),
    "leg.answer": _of_leg(_answer),
    "leg.update": _of_leg(_update),
    "leg.refer": _of_leg(_refer),
    "leg.end": _of_leg(_end),
}
