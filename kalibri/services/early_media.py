"""Early media of failed calls that nobody knows: clustered by sound, so that one label covers many calls.

ks-ears hands over what it heard; a person listens to one sample of a cluster and says what it is. From then on the
sound is a known recording. Never listens to a call itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from callcore.ears_enrol import LONGEST_SECONDS, enrol, recognise
from callcore.ears_fingerprint import VERSION, FingerprintIndex, Print
from callcore.ears_spectrum import RATE, Samples
from callcore.ears_tones import ToneSet
from callcore.ears_verdict import HangupReason
from callcore.errors import AlreadyExists
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.print_bytes import alaw_wav, from_alaw, pack_sounds, pack_words, to_alaw, unpack
from kalibri.services import fingerprint as fingerprints
from kalibri.services.fingerprint import Fingerprint
from kalibri.tone_sets import tone_sets_of

SQL = db.statements("fingerprint")

#: Unlabelled clusters of a tenant, and calls of a cluster, that are kept.
KEEP_CLUSTERS = 1000
KEEP_CALLS = 200
#: A sample that sounds longer by this much stands for its cluster from now on.
LONGER_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class EarlyMedia:
    """What a failed call heard before it failed."""

    tenant_id: int
    #: UUIDv7.
    early_media_id: UUID
    samples: Samples
    heard_at: datetime
    call_id: UUID | None = None
    number: str = ""
    #: Final SIP response; None: the dialler gave up.
    code: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Early media that sounds the same."""

    tenant_id: int
    tenant: str
    cluster_id: int
    #: How many failed calls heard it.
    calls: int
    first_at: datetime
    last_at: datetime
    duration_ms: int
    #: What it was labelled; None: nobody has listened yet.
    label: str | None
    reason: HangupReason | None
    #: Final responses of its calls.
    codes: Sequence[int] | None


@dataclass(frozen=True, kw_only=True)
class ClusterCall:
    """A failed call of a cluster."""

    early_media_id: UUID
    call_id: UUID | None
    number: str
    code: int | None
    heard_at: datetime
    duration_ms: int


@dataclass(frozen=True, kw_only=True)
class _Stored:
    cluster_id: int
    duration_ms: int
    version: int
    words: bytes
    sounds: bytes
    audio: bytes | None

    @property
    def print(self) -> Print:
        return unpack(self.words, self.sounds, self.version, self.audio)


@dataclass(frozen=True, kw_only=True)
class _Sample:
    tenant_id: int
    cluster_id: int
    fingerprint_id: int | None
    duration_ms: int
    version: int
    words: bytes
    sounds: bytes
    audio: bytes


def learn(conn: Conn, media: EarlyMedia, *, tone_sets: Sequence[ToneSet]) -> int:
    """Put early media into the cluster of its sound, or a new one; return which.

    Doing it twice changes nothing. Raises TooShort (it would never be recognised), NotFound (no such tenant).
    """
    samples = media.samples[: round(LONGEST_SECONDS * RATE)]
    made = enrol(samples, tone_sets)
    with conn.transaction():
        db.execute(conn, SQL["lock_clusters"], tenant_id=media.tenant_id)
        known = db.fetch_value(
            conn,
            SQL["known_early_media"],
            tenant_id=media.tenant_id,
            early_media_id=media.early_media_id,
        )
        if known is not None:
            return int(known)
        cluster_id = _join_or_make(conn, media, samples, made)
        db.execute(
            conn,
            SQL["add_early_media"],
            tenant_id=media.tenant_id,
            early_media_id=media.early_media_id,
            cluster_id=cluster_id,
            call_id=media.call_id,
            number=media.number,
            code=media.code,
            heard_at=media.heard_at,
            duration_ms=len(samples) * 1000 // RATE,
        )
        db.execute(conn, SQL["trim_calls"], tenant_id=media.tenant_id, cluster_id=cluster_id, keep=KEEP_CALLS)
        db.execute(conn, SQL["trim_clusters"], tenant_id=media.tenant_id, keep=KEEP_CLUSTERS)
    return cluster_id


def _join_or_make(conn: Conn, media: EarlyMedia, samples: Samples, made: Print) -> int:
    clusters = db.fetch_all(conn, _Stored, SQL["load_clusters"], tenant_id=media.tenant_id, version=VERSION)
    prints = [one.print for one in clusters]
    match = recognise(FingerprintIndex(prints), samples)
    sample = {
        "tenant_id": media.tenant_id,
        "duration_ms": len(samples) * 1000 // RATE,
        "version": VERSION,
        "words": pack_words(made),
        "sounds": pack_sounds(made),
        "audio": to_alaw(samples),
    }
    if match is None:
        return int(db.fetch_value(conn, SQL["add_cluster"], heard_at=media.heard_at, **sample))
    cluster_id = clusters[match.number].cluster_id
    db.execute(
        conn,
        SQL["join_cluster"],
        tenant_id=media.tenant_id,
        cluster_id=cluster_id,
        heard_at=media.heard_at,
    )
    if made.sounding_seconds > prints[match.number].sounding_seconds + LONGER_SECONDS:
        db.execute(conn, SQL["set_exemplar"], cluster_id=cluster_id, **sample)
    return cluster_id


def list_clusters(
    conn: Conn,
    *,
    tenant_id: int | None = None,
    cluster_id: int | None = None,
    labelled: bool = True,
    limit: int = 100,
) -> list[Cluster]:
    """Return clusters, those that concern most calls first; labelled: also those that have a label."""
    return db.fetch_all(
        conn,
        Cluster,
        SQL["list_clusters"],
        tenant_id=tenant_id,
        cluster_id=cluster_id,
        labelled=labelled,
        limit=limit,
    )


def cluster_calls(conn: Conn, *, cluster_id: int, limit: int = 100) -> list[ClusterCall]:
    """Return the calls of a cluster, the latest first; raises NotFound."""
    _require_cluster(conn, cluster_id)
    return db.fetch_all(conn, ClusterCall, SQL["list_early_media"], cluster_id=cluster_id, limit=limit)


def cluster_wav(conn: Conn, *, cluster_id: int) -> bytes:
    """Return the sample of a cluster as a WAV file; raises NotFound."""
    audio = db.fetch_value(conn, SQL["cluster_audio"], cluster_id=cluster_id)
    return alaw_wav(bytes(db.require(audio, "cluster", cluster_id)))


def label(
    conn: Conn,
    config: Config,
    *,
    cluster_id: int,
    name: str,
    reason: HangupReason,
    note: str = "",
    by: str = "",
) -> Fingerprint:
    """Say what a cluster is: its sample becomes a known recording of its tenant.

    Raises NotFound, AlreadyExists (it has a label, or the name is taken), TooShort.
    """
    with conn.transaction():
        sample = db.require(
            db.fetch_one(conn, _Sample, SQL["cluster_sample"], cluster_id=cluster_id), "cluster", cluster_id
        )
        if sample.fingerprint_id is not None:
            raise AlreadyExists("the cluster has a label already: remove that fingerprint first")
        made = fingerprints.store(
            conn,
            tenant_id=sample.tenant_id,
            name=name,
            reason=reason,
            samples=from_alaw(sample.audio),
            tone_sets=list(tone_sets_of(config).values()),
            note=note,
            by=by,
        )
        db.execute(
            conn,
            SQL["label_cluster"],
            tenant_id=sample.tenant_id,
            cluster_id=cluster_id,
            fingerprint_id=made,
        )
        return fingerprints.find(conn, tenant_id=sample.tenant_id, name=name)


def _require_cluster(conn: Conn, cluster_id: int) -> Cluster:
    found = list_clusters(conn, cluster_id=cluster_id)
    return db.require(found[0] if found else None, "cluster", cluster_id)
