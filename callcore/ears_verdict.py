"""What was heard: the words in which the ears tell it. Pure; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Heard(StrEnum):
    """What kind of sound a verdict is about."""

    #: A call-progress tone of the network: busy, congestion, SIT, ring-back, fax.
    TONE = "tone"
    #: A known recording: a network operator's message, a voice mail's greeting.
    MESSAGE = "message"
    #: A recording that nobody enrolled: an answering machine.
    MACHINE = "machine"
    #: Somebody who can be talked to; also everything doubtful.
    HUMAN = "human"


class HangupReason(StrEnum):
    """Why a call came to nothing, as a tone or a message says it; retry rules are keyed by it."""

    #: No subscriber has the number.
    NOT_EXISTING = "not_existing"
    #: The number has changed; the new one is in the message.
    CHANGED = "changed"
    #: Switched off, or out of reach.
    UNREACHABLE = "unreachable"
    #: The subscriber talks to somebody else.
    BUSY = "busy"
    #: It rang, and the network gave up.
    NO_ANSWER = "no_answer"
    #: The subscriber takes no calls, or none of ours.
    BARRED = "barred"
    #: The network has no way there at the moment.
    CONGESTION = "congestion"
    #: Voice mail, or an answering machine.
    VOICEMAIL = "voicemail"
    #: A fax machine.
    FAX = "fax"
    #: A message that says nothing about the subscriber: ring-back music, an advertisement. Waiting goes on.
    WAIT = "wait"
    #: Anything else.
    OTHER = "other"


#: Reasons that are no end: whoever listens goes on listening.
PASSING = frozenset({HangupReason.WAIT})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was heard, and how sure that is."""

    heard: Heard
    #: Name of the tone or of the fingerprint; empty for people and machines.
    name: str = ""
    #: None: ring-back, and people.
    reason: HangupReason | None = None
    #: Nothing more will be said. A verdict that is not final may be followed by another one.
    final: bool
    #: It could be something else: doubtful people are treated as people.
    doubtful: bool = False
    #: Seconds of audio from the beginning of listening to the verdict.
    at_seconds: float
    #: Seconds from the beginning of the audio to the beginning of the sound that decided it.
    since_seconds: float
    #: 0 to 1: share of equal bits for a message, of energy in the tone for a tone; 0: not measured.
    likeness: float = 0.0
    #: Of a message; None: not one.
    fingerprint_id: int | None = None
