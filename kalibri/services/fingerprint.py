"""Known recordings: what a network's message means. Enrolled from audio files or from clusters of early media.

Those of the system (tenant 0) are known to everybody. ks-ears follows the table by itself. Never listens to a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from callcore.ears import BLOCK, Ears, Library, Recording
from callcore.ears_enrol import LONGEST_SECONDS, enrol, nearest
from callcore.ears_fingerprint import VERSION, FingerprintIndex
from callcore.ears_spectrum import RATE, Samples
from callcore.ears_tones import ToneSet
from callcore.ears_verdict import HangupReason, Verdict
from callcore.errors import BadInput, NotFound
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.print_bytes import pack_sounds, pack_words, read_audio, to_alaw, unpack
from kalibri.tone_sets import tone_sets_of

SQL = db.statements("fingerprint")


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A known recording, as it is listed."""

    tenant_id: int
    tenant: str
    fingerprint_id: int
    name: str
    reason: HangupReason
    note: str
    duration_ms: int
    created_at: datetime
    created_by: str
    #: Failed calls of the clusters that were labelled with it.
    clustered_calls: int


@dataclass(frozen=True, kw_only=True)
class StoredPrint:
    """A known recording as ks-ears loads it."""

    tenant_id: int
    fingerprint_id: int
    name: str
    reason: HangupReason
    version: int
    words: bytes
    sounds: bytes
    #: Only of prints of another version.
    audio: bytes | None


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """The known recording that comes nearest to a piece of audio."""

    name: str
    #: Share of equal bits: a half by chance, over 0.7 the same recording.
    likeness: float


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What ks-ears would say of a piece of audio."""

    seconds: float
    verdicts: Sequence[Verdict]
    nearest: Likeness | None


def list_fingerprints(
    conn: Conn, *, tenant_id: int | None = None, name: str | None = None, reason: HangupReason | None = None
) -> list[Fingerprint]:
    """Return known recordings; None: whatever it is."""
    return db.fetch_all(
        conn, Fingerprint, SQL["list_fingerprints"], tenant_id=tenant_id, name=name, reason=reason
    )


def find(conn: Conn, *, tenant_id: int, name: str) -> Fingerprint:
    """Return a known recording; raises NotFound."""
    found = list_fingerprints(conn, tenant_id=tenant_id, name=name)
    return db.require(found[0] if found else None, "fingerprint", name)


def add(
    conn: Conn,
    config: Config,
    *,
    tenant_id: int,
    name: str,
    reason: HangupReason,
    file: Path,
    note: str = "",
    by: str = "",
) -> Fingerprint:
    """Enrol a recording from an audio file; raises BadInput (TooShort, BadPrompt), AlreadyExists, Unavailable."""
    samples = read_audio(file)
    store(
        conn,
        tenant_id=tenant_id,
        name=name,
        reason=reason,
        samples=samples,
        tone_sets=list(tone_sets_of(config).values()),
        note=note,
        by=by,
    )
    return find(conn, tenant_id=tenant_id, name=name)


def store(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    reason: HangupReason,
    samples: Samples,
    tone_sets: Sequence[ToneSet],
    note: str = "",
    by: str = "",
) -> int:
    """Enrol a recording from its samples (8000 a second); return its id. Raises TooShort, AlreadyExists."""
    samples = samples[: round(LONGEST_SECONDS * RATE)]
    made = enrol(samples, tone_sets)
    added = db.fetch_value(
        conn,
        SQL["add_fingerprint"],
        tenant_id=tenant_id,
        name=name,
        reason=reason,
        note=note,
        duration_ms=len(samples) * 1000 // RATE,
        version=VERSION,
        words=pack_words(made),
        sounds=pack_sounds(made),
        audio=to_alaw(samples),
        by=by,
    )
    return int(added)


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Forget a recording; clusters that it labelled are unlabelled again. Raises NotFound."""
    if not db.execute(conn, SQL["remove_fingerprint"], tenant_id=tenant_id, name=name):
        raise NotFound(f'there is no fingerprint "{name}"')


def try_audio(
    conn: Conn,
    config: Config,
    *,
    tenant_id: int,
    file: Path,
    tones: str | None = None,
    answered: bool = False,
) -> Trial:
    """Say what ks-ears would say of an audio file on a call of a tenant.

    tones: country of the tones; None: as configured. answered: as if it was heard after the answer. Raises BadInput,
    Unavailable.
    """
    sets = tone_sets_of(config)
    country = tones or config.ears.tones
    if country not in sets:
        raise BadInput(f"no tones of {country!r} are known: {', '.join(sets)}")
    samples = read_audio(file)
    library = library_of(load(conn, tenant_id=tenant_id))
    ears = Ears(library, [sets[country]], answered=answered)
    told = [ears.feed(samples[begin : begin + BLOCK]) for begin in range(0, len(samples), BLOCK)]
    near = nearest(library.index, samples)
    return Trial(
        seconds=round(len(samples) / RATE, 2),
        verdicts=[verdict for verdict in told if verdict is not None],
        nearest=None
        if near is None
        else Likeness(name=library.recordings[near.number].name, likeness=round(1 - near.distance, 3)),
    )


# ----------------------------------------------------------------------------------------------- for ks-ears


def state(conn: Conn) -> str:
    """Return what changes whenever known recordings do."""
    return str(db.fetch_value(conn, SQL["state"]))


def load(conn: Conn, *, tenant_id: int | None = None) -> list[StoredPrint]:
    """Return the known recordings that a tenant hears, the system's included; None: those of all tenants."""
    return db.fetch_all(conn, StoredPrint, SQL["load_fingerprints"], tenant_id=tenant_id, version=VERSION)


def library_of(stored: Sequence[StoredPrint]) -> Library:
    """Return what ears listen with."""
    recordings = tuple(
        Recording(fingerprint_id=one.fingerprint_id, name=one.name, reason=one.reason) for one in stored
    )
    prints = [unpack(one.words, one.sounds, one.version, one.audio) for one in stored]
    return Library(recordings, FingerprintIndex(prints))
