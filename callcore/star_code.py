"""Codes that a person dials to change the services of his phone: "*72*79161234567", "#72".

Decides which action a dialled text is and what its argument is. Which codes a tenant uses are facts; the defaults are
those that people know from other systems. Never changes anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from callcore.value import value


class StarAction(StrEnum):
    """What a code does (SQL enum star_action)."""

    #: Do not disturb.
    DND_ON = "dnd_on"
    #: Take calls again.
    DND_OFF = "dnd_off"
    #: Forward every call to the number that follows.
    FORWARD_ALWAYS = "forward_always"
    #: End that.
    FORWARD_ALWAYS_OFF = "forward_always_off"
    #: Forward to the number that follows when busy.
    FORWARD_BUSY = "forward_busy"
    #: End that.
    FORWARD_BUSY_OFF = "forward_busy_off"
    #: Forward to the number that follows when nobody answers.
    FORWARD_NO_ANSWER = "forward_no_answer"
    #: End that.
    FORWARD_NO_ANSWER_OFF = "forward_no_answer_off"
    #: Forward to the number that follows when no phone can be reached.
    FORWARD_UNREACHABLE = "forward_unreachable"
    #: End that.
    FORWARD_UNREACHABLE_OFF = "forward_unreachable_off"
    #: Refuse callers who hide their number.
    ANONYMOUS_REJECT_ON = "anonymous_reject_on"
    #: Take them again.
    ANONYMOUS_REJECT_OFF = "anonymous_reject_off"
    #: Hide the own number in every call.
    HIDE_ON = "hide_on"
    #: Show it again.
    HIDE_OFF = "hide_off"
    #: Hide the own number in this call; the number to call follows.
    HIDE_ONCE = "hide_once"
    #: Show the own number in this call.
    SHOW_ONCE = "show_once"
    #: Refuse the number that follows.
    BLOCK = "block"
    #: Take it from the black list.
    UNBLOCK = "unblock"
    #: Store a speed dial: slot * number.
    SPEED_SET = "speed_set"
    #: Call a speed dial; its slot follows.
    SPEED_CALL = "speed_call"
    #: Take a ringing call of the own pickup group.
    PICKUP_GROUP = "pickup_group"
    #: Take the ringing call of the colleague that follows.
    PICKUP = "pickup"
    #: Of a transfer: park the call, at the slot that follows or at a free one.
    PARK = "park"
    #: Take the call that is parked at the slot that follows; of a transfer: park one there.
    UNPARK = "unpark"
    #: Listen to the own voice mail, or, with its PIN, to that of who follows.
    MAILBOX = "mailbox"


#: Actions that are calls: they change nothing that is stored.
CALLS = frozenset(
    {
        StarAction.HIDE_ONCE,
        StarAction.SHOW_ONCE,
        StarAction.SPEED_CALL,
        StarAction.PICKUP_GROUP,
        StarAction.PICKUP,
        StarAction.PARK,
        StarAction.UNPARK,
        StarAction.MAILBOX,
    }
)
#: What follows each code that wants something; others stand alone.
_NUMBER = r"\+?[0-9A-Za-z_.-]{1,64}"
ARGUMENTS: Mapping[StarAction, re.Pattern[str]] = {
    StarAction.FORWARD_ALWAYS: re.compile(_NUMBER, re.ASCII),
    StarAction.FORWARD_BUSY: re.compile(_NUMBER, re.ASCII),
    StarAction.FORWARD_NO_ANSWER: re.compile(_NUMBER, re.ASCII),
    StarAction.FORWARD_UNREACHABLE: re.compile(_NUMBER, re.ASCII),
    StarAction.HIDE_ONCE: re.compile(_NUMBER, re.ASCII),
    StarAction.SHOW_ONCE: re.compile(_NUMBER, re.ASCII),
    StarAction.BLOCK: re.compile(_NUMBER, re.ASCII),
    StarAction.UNBLOCK: re.compile(_NUMBER, re.ASCII),
    StarAction.SPEED_SET: re.compile(rf"([0-9]{{1,2}})\*({_NUMBER})", re.ASCII),
    StarAction.SPEED_CALL: re.compile(r"[0-9]{1,2}", re.ASCII),
    StarAction.PICKUP: re.compile(_NUMBER, re.ASCII),
    StarAction.PARK: re.compile(r"([0-9]{1,2})?", re.ASCII),
    StarAction.UNPARK: re.compile(r"[0-9]{1,2}", re.ASCII),
    StarAction.MAILBOX: re.compile(rf"({_NUMBER})?", re.ASCII),
}
#: Codes of a tenant that has not said otherwise.
DEFAULT_CODES: Mapping[StarAction, str] = {
    StarAction.DND_ON: "*78",
    StarAction.DND_OFF: "*79",
    StarAction.FORWARD_ALWAYS: "*72",
    StarAction.FORWARD_ALWAYS_OFF: "*73",
    StarAction.FORWARD_BUSY: "*90",
    StarAction.FORWARD_BUSY_OFF: "*91",
    StarAction.FORWARD_NO_ANSWER: "*92",
    StarAction.FORWARD_NO_ANSWER_OFF: "*93",
    StarAction.FORWARD_UNREACHABLE: "*94",
    StarAction.FORWARD_UNREACHABLE_OFF: "*95",
    StarAction.ANONYMOUS_REJECT_ON: "*77",
    StarAction.ANONYMOUS_REJECT_OFF: "*87",
    StarAction.HIDE_ON: "*31",
    StarAction.HIDE_OFF: "#31",
    StarAction.HIDE_ONCE: "*67",
    StarAction.SHOW_ONCE: "*82",
    StarAction.BLOCK: "*60",
    StarAction.UNBLOCK: "*80",
    StarAction.SPEED_SET: "*75",
    StarAction.SPEED_CALL: "*0",
    StarAction.PICKUP_GROUP: "*8",
    StarAction.PICKUP: "**",
    StarAction.PARK: "*70",
    StarAction.UNPARK: "*71",
    StarAction.MAILBOX: "*98",
}
#: Form of a code.
CODE = re.compile(r"[*#][0-9*#]{0,7}", re.ASCII)


@value
class Dialled:
    """A code that was dialled."""

    action: StarAction
    #: What follows it, as ARGUMENTS wants it; "" if it stands alone.
    argument: str = ""


def is_code(dialled: str) -> bool:
    """Tell whether a dialled text may be a code at all."""
    return dialled[:1] in ("*", "#")


def codes_of(own: Mapping[StarAction, str]) -> dict[StarAction, str]:
    """Return the codes in force: the tenant's own, else the usual ones; an empty one is switched off."""
    codes = {**DEFAULT_CODES, **own}
    return {action: code for action, code in codes.items() if code}


def read(dialled: str, codes: Mapping[StarAction, str]) -> Dialled | None:
    """Return what a dialled text means; None: no code. The longest code that fits wins.

    Between code and argument a * may stand, and a # at the end: people dial both "*7279161234567" and "*72*7916…#".
    """
    fitting = sorted(codes.items(), key=lambda item: len(item[1]), reverse=True)
    for action, code in fitting:
        if not dialled.startswith(code):
            continue
        rest = dialled[len(code) :]
        form = ARGUMENTS.get(action)
        if form is None:
            if rest in ("", "#"):
                return Dialled(action)
            continue
        argument = rest.removeprefix("*").removesuffix("#")
        if form.fullmatch(argument):
            return Dialled(action, argument)
    return None


def slot_of(argument: str) -> tuple[str, str]:
    """Return slot and number of a SPEED_SET argument. Raises ValueError if it is none."""
    match = ARGUMENTS[StarAction.SPEED_SET].fullmatch(argument)
    if match is None:
        raise ValueError(argument)
    return match[1], match[2]
