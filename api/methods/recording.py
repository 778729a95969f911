"""Methods recording.*, prompt.* and music.*: recording of calls and what was recorded, and what callers hear.

Files themselves are not sent here (ksctl plays and exports them); a prompt comes in as base64 or as text to speak.
"""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from api.method import Context, Fields, Method, Scope, Tenancy
from callcore.errors import BadInput
from callcore.recording import RecordingPolicy, RecordingState
from kalibri.db import Conn, connect_tool
from kalibri.prompt_index import ANY
from kalibri.services import call as calls
from kalibri.services import prompt as prompts
from kalibri.services import recording as recordings
from kalibri.services import recording_archive as archives
from kalibri.services import recording_control as control
from kalibri.services.call import GoingOn
from kalibri.services.prompt import MusicClass, Prompt
from kalibri.services.recording import AuditEvent, Recording, RecordingFile, TenantPolicy, Verdict
from kalibri.services.recording_control import Ordered

Limit = Annotated[int, Field(ge=1, le=1000)]
Text = Annotated[str, Field(max_length=1000)]
LIVING = [state for state in RecordingState if state is not RecordingState.REMOVED]


def list_recordings(
    conn: Conn,
    *,
    tenant_id: int | None,
    since: datetime | None = None,
    until: datetime | None = None,
    number: str | None = None,
    call_id: str | None = None,
    states: list[RecordingState] | None = None,
    legal_hold: bool | None = None,
    limit: Limit = 50,
) -> list[Recording]:
    """Return recordings, the latest first; removed ones only if states asks for them. Raises NotFound."""
    return recordings.list_recordings(
        conn,
        tenant_id=tenant_id,
        since=since,
        until=until,
        number=number,
        call_id=None if call_id is None else calls.find_id(conn, text=call_id),
        states=states or LIVING,
        legal_hold=legal_hold,
        limit=limit,
    )


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A recording with its files and all that was done with it."""

    recording: Recording
    files: Sequence[RecordingFile]
    events: Sequence[AuditEvent]


def show(conn: Conn, *, recording_id: str) -> Shown:
    """Return a recording; the first digits of its id, or of its call's, will do. Raises NotFound, BadInput."""
    found = recordings.find_id(conn, text=recording_id)
    return Shown(
        recording=recordings.find(conn, recording_id=found),
        files=recordings.files(conn, recording_ids=[found]),
        events=recordings.events(conn, recording_id=found),
    )


def hold(context: Context, *, recording_id: str, why: Text = "") -> bool:
    """Put a recording under a legal hold; tell whether it was not. Raises NotFound."""
    return _hold(context, recording_id, why, legal_hold=True)


def release(context: Context, *, recording_id: str, why: Text = "") -> bool:
    """End the legal hold of a recording; tell whether there was one. Raises NotFound."""
    return _hold(context, recording_id, why, legal_hold=False)


def _hold(context: Context, text: str, why: str, *, legal_hold: bool) -> bool:
    found = recordings.find_id(context.conn, text=text)
    by = context.principal.actor
    return recordings.set_hold(context.conn, recording_id=found, legal_hold=legal_hold, by=by, why=why)


def remove(context: Context, *, recording_id: str, why: Text = "") -> None:
    """Delete a recording; a tombstone that says who and when stays, and ks-rec erases the files.

    Raises NotFound, LegalHold.
    """
    found = recordings.find_id(context.conn, text=recording_id)
    recordings.remove(context.conn, recording_id=found, by=context.principal.actor, why=why)


def verify(context: Context, *, recording_id: str, archive: bool = False) -> list[Verdict]:
    """Compare the files of a recording with their checksums; archive: also the copies there. Raises NotFound."""
    found = recordings.find_id(context.conn, text=recording_id)
    by = context.principal.actor
    return recordings.verify(context.conn, context.config, recording_id=found, by=by, archive=archive)


def archive(context: Context, *, recording_id: str, keep: bool = True) -> None:
    """Copy a recording into the archive now; keep: also here. Raises NotFound, Refused, Unavailable."""
    found = recordings.find_id(context.conn, text=recording_id)
    by = context.principal.actor
    archives.archive(context.conn, context.config, recording_id=found, by=by)
    if not keep:
        archives.thin_out(context.conn, context.config, recording_id=found, by=by)


def restore(context: Context, *, recording_id: str) -> None:
    """Fetch a recording back from the archive; raises NotFound, Refused, Unavailable."""
    found = recordings.find_id(context.conn, text=recording_id)
    archives.restore(context.conn, context.config, recording_id=found, by=context.principal.actor)


def policy(conn: Conn, *, tenant_id: int, default: bool = False, **changes: object) -> TenantPolicy:
    """Show or change what a tenant wants of its recordings; default: have the system's again."""
    if default:
        if changes:
            raise BadInput("default stands alone")
        return recordings.drop_policy(conn, tenant_id=tenant_id)
    if changes:
        return recordings.set_policy(conn, tenant_id=tenant_id, **changes)
    return recordings.policy(conn, tenant_id=tenant_id)


# --------------------------------------------------------------------------------------- calls that go on
# The RTP controllers of this machine are asked: on several machines, the ks-api of the one that has the call.


def _going_on(context: Context, tenant_id: int, call: Text) -> GoingOn:
    """Return the call that is meant; an agent who logged in means his own ones only. Raises NotFound."""
    return calls.going_on(context.conn, tenant_id=tenant_id, text=call, account=context.principal.account)


def start(context: Context, *, tenant_id: int, call: Text) -> Ordered:
    """Record a call that goes on, from now on or from its first media on. Raises NotFound, Unavailable."""
    found = _going_on(context, tenant_id, call)
    return control.start(
        context.config, call=str(found.call_id), by="api", tenant=tenant_id, a=found.a, b=found.b
    )


def stop(context: Context, *, tenant_id: int, call: Text) -> Ordered:
    """Stop recording a call; what was recorded is kept. Raises NotFound, NotRecorded, Unavailable."""
    found = _going_on(context, tenant_id, call)
    return control.stop(context.config, call=str(found.call_id), by=context.principal.actor)


def pause(context: Context, *, tenant_id: int, call: Text) -> Ordered:
    """Pause a recording, as while a card number is said: nothing is written, the gap is marked.

    Raises NotFound, NotRecorded, Unavailable.
    """
    found = _going_on(context, tenant_id, call)
    return control.pause(context.config, call=str(found.call_id), by=context.principal.actor)


def resume(context: Context, *, tenant_id: int, call: Text) -> Ordered:
    """Go on with a paused recording. Raises NotFound, NotRecorded, Unavailable."""
    found = _going_on(context, tenant_id, call)
    return control.resume(context.config, call=str(found.call_id), by=context.principal.actor)


# --------------------------------------------------------------------------------------- prompts, music


def list_prompts(
    conn: Conn, *, tenant_id: int | None, language: str | None = None, every: bool = False
) -> list[Prompt]:
    """Return prompts; every: old versions, too."""
    found = prompts.list_prompts(conn, tenant_id=tenant_id, language=language)
    return [prompt for prompt in found if every or prompt.current]


def show_prompt(conn: Conn, *, tenant_id: int, name: str, language: str = ANY) -> Prompt:
    """Return the version of a prompt that is heard; raises NotFound."""
    return prompts.find(conn, tenant_id=tenant_id, name=name, language=language)


@contextmanager
def _whole_system(context: Context) -> Iterator[Conn]:
    """Connect as the system: compiled files are those of all tenants, and none may look superfluous."""
    actor = {"kalibri.actor": context.principal.actor, "kalibri.origin": "api"}
    with connect_tool(context.config, application_name="ks-api prompts", settings=actor) as conn:
        yield conn


def add_prompt(
    context: Context,
    *,
    tenant_id: int,
    name: Text,
    language: Text = ANY,
    audio_base64: Annotated[str, Field(max_length=64_000_000)] | None = None,
    text: Annotated[str, Field(max_length=5000)] = "",
    voice: Text | None = None,
    music: bool = False,
) -> Prompt:
    """Add a prompt, or a new version of one: from an audio file in base64, or spoken from a text.

    Raises BadInput, Unavailable.
    """
    with _whole_system(context) as conn, tempfile.NamedTemporaryFile(prefix="ks-api-") as file:
        if audio_base64 is not None:
            try:
                file.write(base64.b64decode(audio_base64, validate=True))
            except (binascii.Error, ValueError) as error:
                raise BadInput(f"audio_base64: {error}") from error
            file.flush()
        return prompts.add(
            conn,
            context.config,
            tenant_id=tenant_id,
            name=name,
            language=language,
            file=None if audio_base64 is None else Path(file.name),
            text=text,
            voice=voice,
            music=music,
            by=context.principal.actor,
        )


def remove_prompt(
    context: Context, *, tenant_id: int, name: str, language: str | None = None, version: int | None = None
) -> int:
    """Remove a prompt, or one version of it: the one before is heard again. Raises NotFound."""
    with _whole_system(context) as conn:
        return prompts.remove(
            conn, context.config, tenant_id=tenant_id, name=name, language=language, version=version
        )


def set_music(
    context: Context, *, tenant_id: int, name: str, prompt_names: Annotated[list[str], Field(min_length=1)]
) -> MusicClass:
    """Say which prompts a music class plays, one after the other. Raises NotFound, BadInput."""
    with _whole_system(context) as conn:
        return prompts.set_music(conn, context.config, tenant_id=tenant_id, name=name, prompts=prompt_names)


def remove_music(context: Context, *, tenant_id: int, name: str) -> None:
    """Remove a music class; its prompts stay. Raises NotFound."""
    with _whole_system(context) as conn:
        prompts.remove_music(conn, context.config, tenant_id=tenant_id, name=name)


METHODS = (
    Method("recording.start", start, Scope.SUPERVISOR, Tenancy.ONE),
    Method("recording.stop", stop, Scope.SUPERVISOR, Tenancy.ONE),
    Method("recording.pause", pause, Scope.AGENT, Tenancy.ONE),
    Method("recording.resume", resume, Scope.AGENT, Tenancy.ONE),
    Method("call.record", start, Scope.SUPERVISOR, Tenancy.ONE),
    Method("recording.list", list_recordings, Scope.READ, Tenancy.FILTER),
    Method("recording.show", show, Scope.READ, Tenancy.ROWS),
    Method("recording.hold", hold, Scope.ADMIN, Tenancy.ROWS),
    Method("recording.release", release, Scope.ADMIN, Tenancy.ROWS),
    Method("recording.rm", remove, Scope.ADMIN, Tenancy.ROWS),
    Method("recording.verify", verify, Scope.READ, Tenancy.ROWS),
    Method("recording.archive", archive, Scope.ADMIN, Tenancy.ROWS),
    Method("recording.restore", restore, Scope.ADMIN, Tenancy.ROWS),
    Method("recording.policy", policy, Scope.ADMIN, Tenancy.OWNER, Fields(RecordingPolicy)),
    Method("prompt.list", list_prompts, Scope.READ, Tenancy.FILTER),
    Method("prompt.show", show_prompt, Scope.READ, Tenancy.OWNER),
    Method("prompt.add", add_prompt, Scope.ADMIN, Tenancy.OWNER, one_transaction=False),
    Method("prompt.rm", remove_prompt, Scope.ADMIN, Tenancy.OWNER, one_transaction=False),
    Method("music.list", prompts.list_music, Scope.READ, Tenancy.FILTER),
    Method("music.set", set_music, Scope.ADMIN, Tenancy.OWNER, one_transaction=False),
    Method("music.rm", remove_music, Scope.ADMIN, Tenancy.OWNER, one_transaction=False),
)
