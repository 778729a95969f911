"""Methods fingerprint.*: recordings of networks that are recognised, and early media that nobody knows yet.

Audio comes in and goes out as base64.
"""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from api.method import Context, Method, Scope, Tenancy
from callcore.ears_verdict import HangupReason
from callcore.errors import BadInput
from kalibri.db import Conn, require
from kalibri.services import early_media
from kalibri.services import fingerprint as fingerprints
from kalibri.services.early_media import Cluster, ClusterCall
from kalibri.services.fingerprint import Fingerprint, Trial

Text = Annotated[str, Field(max_length=1000)]
Audio = Annotated[str, Field(max_length=16_000_000)]
Limit = Annotated[int, Field(ge=1, le=1000)]
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]


@contextmanager
def _file(audio_base64: str) -> Iterator[Path]:
    """Put audio into a temporary file; raises BadInput."""
    with tempfile.NamedTemporaryFile(prefix="ks-api-") as file:
        try:
            file.write(base64.b64decode(audio_base64, validate=True))
        except (binascii.Error, ValueError) as error:
            raise BadInput(f"audio_base64: {error}") from error
        file.flush()
        yield Path(file.name)


def list_fingerprints(
    conn: Conn, *, tenant_id: int | None, reason: HangupReason | None = None
) -> list[Fingerprint]:
    """Return known recordings."""
    return fingerprints.list_fingerprints(conn, tenant_id=tenant_id, reason=reason)


def add(
    context: Context,
    *,
    tenant_id: int,
    name: Text,
    reason: HangupReason,
    audio_base64: Audio,
    note: Text = "",
) -> Fingerprint:
    """Enrol a recording from an audio file of any format. Raises BadInput, AlreadyExists, Unavailable."""
    with _file(audio_base64) as file:
        return fingerprints.add(
            context.conn,
            context.config,
            tenant_id=tenant_id,
            name=name,
            reason=reason,
            file=file,
            note=note,
            by=context.principal.actor,
        )


def try_audio(
    context: Context,
    *,
    tenant_id: int,
    audio_base64: Audio,
    tones: Text | None = None,
    answered: bool = False,
) -> Trial:
    """Say what ks-ears would say of an audio file on a call of the tenant. Raises BadInput, Unavailable."""
    with _file(audio_base64) as file:
        return fingerprints.try_audio(
            context.conn, context.config, tenant_id=tenant_id, file=file, tones=tones, answered=answered
        )


def list_clusters(
    conn: Conn, *, tenant_id: int | None, labelled: bool = False, limit: Limit = 100
) -> list[Cluster]:
    """Return early media of failed calls that nobody knows, by sound; labelled: also what has a label."""
    return early_media.list_clusters(conn, tenant_id=tenant_id, labelled=labelled, limit=limit)


@dataclass(frozen=True, kw_only=True)
class ShownCluster:
    """A cluster with its calls and its sample."""

    cluster: Cluster
    calls: Sequence[ClusterCall]
    #: WAV, in base64.
    audio_base64: str


def show_cluster(conn: Conn, *, cluster_id: Id, limit: Limit = 100) -> ShownCluster:
    """Return a cluster, its latest calls, and how it sounds. Raises NotFound."""
    found = early_media.list_clusters(conn, cluster_id=cluster_id)
    return ShownCluster(
        cluster=require(found[0] if found else None, "cluster", cluster_id),
        calls=early_media.cluster_calls(conn, cluster_id=cluster_id, limit=limit),
        audio_base64=base64.b64encode(early_media.cluster_wav(conn, cluster_id=cluster_id)).decode(),
    )


def label(
    context: Context, *, cluster_id: Id, name: Text, reason: HangupReason, note: Text = ""
) -> Fingerprint:
    """Say what a cluster is: its sound is a known recording from now on. Raises NotFound, AlreadyExists."""
    return early_media.label(
        context.conn,
        context.config,
        cluster_id=cluster_id,
        name=name,
        reason=reason,
        note=note,
        by=context.principal.actor,
    )


METHODS = (
    Method("fingerprint.list", list_fingerprints, Scope.READ, Tenancy.FILTER),
    Method("fingerprint.add", add, Scope.ADMIN, Tenancy.OWNER),
    Method("fingerprint.test", try_audio, Scope.READ, Tenancy.OWNER),
    Method("fingerprint.rm", fingerprints.remove, Scope.ADMIN, Tenancy.OWNER),
    Method("fingerprint.cluster", list_clusters, Scope.READ, Tenancy.FILTER),
    Method("fingerprint.showCluster", show_cluster, Scope.READ, Tenancy.ROWS),
    Method("fingerprint.label", label, Scope.ADMIN, Tenancy.ROWS),
)
