"""A recording: its states, and when what a node has written is ready to be taken over.

Decides which step may follow which state (TRANSITIONS; schema/60_recording.sql holds the same table as
recording_next, and a test compares the two), when the files of a recording are complete, and when a failed
step is tried again. Never opens a file, never asks a clock: times are arguments.

    spooled ─claim─► claimed ─mix─► mixed ─encode─► encoded ─store─► stored ─index─► indexed
                        ▲  └──────────┴──fail──┴────────────► failed ─claim─► claimed
                        └─lose── mixed, encoded (the file of the step is gone)
    every state ─remove─► removed, the tombstone

What a state promises is on the disk: mixed, the WAV is whole; encoded, the MP3 too; stored, what is kept lies
in its place and the database knows its checksums; indexed, what the node wrote is deleted. So a step that
finds its result does nothing, and a worker that was killed anywhere is simply followed by another. In stored a
failure changes nothing: sources may be partly deleted, and mixing them again would shorten the recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from callcore.errors import Refused


class RecordingState(StrEnum):
    """How far a recording is (SQL enum recording_state)."""

    #: The call's files are complete; nobody works on them yet.
    SPOOLED = "spooled"
    #: A worker has taken it.
    CLAIMED = "claimed"
    #: The stereo WAV is whole.
    MIXED = "mixed"
    #: The MP3 is whole.
    ENCODED = "encoded"
    #: What is kept lies in its place, with its checksums in the database.
    STORED = "stored"
    #: Finished; what the node wrote is deleted.
    INDEXED = "indexed"
    #: A step failed; it is tried again later.
    FAILED = "failed"
    #: Deleted by somebody or by its retention; only the tombstone is left.
    REMOVED = "removed"


class RecordingStep(StrEnum):
    """What happens to a recording (second argument of the SQL function recording_next)."""

    CLAIM = "claim"
    MIX = "mix"
    ENCODE = "encode"
    STORE = "store"
    INDEX = "index"
    #: A step could not be done.
    FAIL = "fail"
    #: The file that the state promises is gone (a power cut): begin again.
    LOSE = "lose"
    REMOVE = "remove"


class RecordingReason(StrEnum):
    """Who wanted the recording (SQL enum recording_reason)."""

    ROUTE = "route"
    QUEUE = "queue"
    ACCOUNT = "account"
    #: A person, by ksctl.
    DEMAND = "demand"
    #: Another program.
    API = "api"
    #: A caller leaves a message.
    MESSAGE = "message"


_S, _E = RecordingState, RecordingStep

#: (state, step) → next state. What is not here is not allowed.
TRANSITIONS: Mapping[tuple[RecordingState, RecordingStep], RecordingState] = {
    (_S.SPOOLED, _E.CLAIM): _S.CLAIMED,
    (_S.FAILED, _E.CLAIM): _S.CLAIMED,
    # The worker before died: its successor goes on where the state says.
    (_S.CLAIMED, _E.CLAIM): _S.CLAIMED,
    (_S.MIXED, _E.CLAIM): _S.MIXED,
    (_S.ENCODED, _E.CLAIM): _S.ENCODED,
    (_S.STORED, _E.CLAIM): _S.STORED,
    (_S.CLAIMED, _E.MIX): _S.MIXED,
    (_S.MIXED, _E.ENCODE): _S.ENCODED,
    (_S.ENCODED, _E.STORE): _S.STORED,
    (_S.STORED, _E.INDEX): _S.INDEXED,
    (_S.MIXED, _E.LOSE): _S.CLAIMED,
    (_S.ENCODED, _E.LOSE): _S.CLAIMED,
    (_S.CLAIMED, _E.FAIL): _S.FAILED,
    (_S.MIXED, _E.FAIL): _S.FAILED,
    (_S.ENCODED, _E.FAIL): _S.FAILED,
    (_S.STORED, _E.FAIL): _S.STORED,
    **{(state, _E.REMOVE): _S.REMOVED for state in _S if state is not _S.REMOVED},
}


class IllegalTransition(Refused):
    """The recording is in a state that does not allow this."""

    error_id = "illegal-transition"


def next_state(state: RecordingState, step: RecordingStep) -> RecordingState:
    """Return the state after a step; raises IllegalTransition naming both."""
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise IllegalTransition(
            f"a recording that is {state} cannot {step}", state=state, step=step
        ) from None


# ------------------------------------------------------------------------------------------------- retry

FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 3600.0


def retry_seconds(attempts: int) -> float:
    """Return how long to wait after the n-th failure since the last progress: doubling, at most an hour."""
    return float(min(FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 20), LONGEST_RETRY_SECONDS))


# ----------------------------------------------------------------------------------------------- ready

#: Files that have not grown for so long will not grow any more, if no controller knows the recording.
QUIET_SECONDS = 60.0
#: RTPProxy moves a file when it deletes the session, about 100 ms after the end of the call: time for that.
FINISH_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """What is on the disk for one segment of a recording."""

    #: In the final folder: the node will not write to it again.
    final: bool
    #: In the spool: the node may be writing to it, or it died.
    spooled: bool
    #: Time of the last change of whatever was found; None: nothing is there.
    changed_at: datetime | None


def is_ready(
    segments: Sequence[SegmentFile], *, stopped_at: datetime | None, known: bool, now: datetime
) -> bool:
    """Tell whether a recording can be taken over.

    stopped_at: when the controller ended it; None: it has not. known: a controller still holds the call (asked
    only for a recording without an end). A recording with an end waits for its files to be moved; what a killed
    node left in its spool counts when it has been quiet long enough.
    """
    changes = [segment.changed_at for segment in segments if segment.changed_at is not None]
    quiet = all(now - at >= timedelta(seconds=QUIET_SECONDS) for at in changes)
    if stopped_at is None:
        return quiet and not known
    if now - stopped_at < timedelta(seconds=FINISH_SECONDS):
        return False
    moved = all(segment.final and not segment.spooled for segment in segments)
    return moved or (quiet and now - stopped_at >= timedelta(seconds=QUIET_SECONDS))


# ----------------------------------------------------------------------------------------------- policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPolicy:
    """What a tenant wants of its recordings; defaults are those of a tenant that says nothing."""

    #: Every call is recorded that neither route nor account decides about.
    record_calls: bool = False
    #: The stereo WAV is kept beside the MP3.
    keep_wav: bool = False
    #: What the node wrote (pcap) is kept too.
    keep_original: bool = False
    #: Deleted so many days after the call; None: never.
    retention_days: int | None = 5 * 365
    #: Copied to the archive so many days after the call; None: never.
    archive_after_days: int | None = None
    #: The copy at hand stays when there is one in the archive.
    archive_keeps_local: bool = False
    #: What was restored from the archive stays at hand for so many days.
    restored_days: int = 7


def is_expired(started_at: datetime, policy: RecordingPolicy, *, legal_hold: bool, now: datetime) -> bool:
    """Tell whether retention ends the life of a recording; a legal hold outlasts it."""
    if legal_hold or policy.retention_days is None:
        return False
    return now - started_at >= timedelta(days=policy.retention_days)


def storage_path(tenant_id: int, started_at: datetime, recording_id: str) -> str:
    """Return where the files of a recording lie, without suffix, below the folder of recordings.

    started_at is in UTC. Nothing that a caller or phone wrote is part of it.
    """
    return f"{tenant_id}/{started_at:%Y/%m/%d}/{recording_id}"
