"""Keeps ks-ears' known recordings equal to the database, and hands over what nobody knew; a thread of its own.

The listening thread only reads `of`: a library is never changed, a new one takes its place. Without the database the
copy on disk serves, and what nobody knew waits in the spool.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from callcore.ears import Library
from callcore.ears_enrol import TooShort
from callcore.ears_tones import ToneSet
from callcore.ears_verdict import HangupReason
from callcore.errors import KalibriError, NotFound
from kalibri.config import Config
from kalibri.db import Conn, connect
from kalibri.files import write_replacing
from kalibri.services import early_media
from kalibri.services import fingerprint as fingerprints
from kalibri.services.fingerprint import StoredPrint
from tools.ears.spool import UnknownSpool

log = logging.getLogger("ks-ears")

LOOK_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 3.0
_CONNECT_TIMEOUT_MS: Final = 5000
_STATEMENT_TIMEOUT_MS: Final = 30_000
_EVERYBODY: Final = 0


class Librarian:
    """Follows the table of fingerprints."""

    def __init__(self, config: Config, tone_sets: Mapping[str, ToneSet], spool: UnknownSpool) -> None:
        self._config, self._spool = config, spool
        self._tone_sets = list(tone_sets.values())
        self._copy = config.ears_directory / "library.json"
        self._libraries: Mapping[int, Library] = {_EVERYBODY: Library()}
        self._state = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="librarian", daemon=True)
        #: What is wrong, for people; empty: nothing.
        self.trouble = ""
        self._load_copy()

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what it has half done is done again by the next start."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def of(self, tenant_id: int) -> Library:
        """Return what is known on calls of a tenant."""
        return self._libraries.get(tenant_id) or self._libraries[_EVERYBODY]

    @property
    def known(self) -> int:
        """How many recordings are known, over all tenants."""
        shared = len(self._libraries[_EVERYBODY].recordings)
        own = (
            len(one.recordings) - shared for tenant, one in self._libraries.items() if tenant != _EVERYBODY
        )
        return shared + sum(own)

    def _run(self) -> None:
        conn: Conn | None = None
        while not self._stopping.is_set():
            try:
                if conn is None or conn.closed:
                    conn = self._connect()
                self.follow(conn)
                self.hand_over(conn)
                self.trouble, wait = "", LOOK_SECONDS
            except (KalibriError, psycopg.Error, OSError) as error:
                if not self.trouble:
                    log.warning("known recordings are not followed: %s", error)
                self.trouble, wait = "without the database", AWAY_SECONDS
                if conn is not None:
                    with suppress(psycopg.Error):
                        conn.close()
                conn = None
            self._stopping.wait(wait)
        if conn is not None:
            conn.close()

    def _connect(self) -> Conn:
        return connect(
            self._config,
            application_name=f"ks-ears {self._config.node_name}",
            connect_timeout_ms=_CONNECT_TIMEOUT_MS,
            statement_timeout_ms=_STATEMENT_TIMEOUT_MS,
        )

    def follow(self, conn: Conn) -> None:
        """Load the known recordings if they have changed."""
        state = fingerprints.state(conn)
        if state == self._state:
            return
        stored = fingerprints.load(conn)
        try:
            self._save_copy(stored)  # before anybody is told: what counts as known outlives a kill
        finally:
            self._libraries = _libraries(stored)  # a full disk takes no knowledge away
        self._state = state
        log.info("%d recordings are known", len(stored))

    def hand_over(self, conn: Conn) -> None:
        """Store one early media that nobody knew; what can never be stored is forgotten."""
        for path, media in self._spool.waiting():
            if media is not None:
                try:
                    early_media.learn(conn, media, tone_sets=self._tone_sets)
                except (TooShort, NotFound) as error:
                    log.debug("%s is not kept: %s", path.name, error)
            path.unlink(missing_ok=True)
            return

    def _save_copy(self, stored: Sequence[StoredPrint]) -> None:
        rows = [
            {
                **dataclasses.asdict(one),
                "words": base64.b64encode(one.words).decode(),
                "sounds": base64.b64encode(one.sounds).decode(),
                "audio": base64.b64encode(one.audio).decode() if one.audio else None,
            }
            for one in stored
        ]
        write_replacing(self._copy, json.dumps(rows).encode())

    def _load_copy(self) -> None:
        try:
            stored = _read_copy(self._copy)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read: %s", self._copy, error)
            return
        self._libraries = _libraries(stored)


def _read_copy(path: Path) -> list[StoredPrint]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [
        StoredPrint(
            tenant_id=int(row["tenant_id"]),
            fingerprint_id=int(row["fingerprint_id"]),
            name=str(row["name"]),
            reason=HangupReason(row["reason"]),
            version=int(row["version"]),
            words=base64.b64decode(row["words"]),
            sounds=base64.b64decode(row["sounds"]),
            audio=base64.b64decode(row["audio"]) if row["audio"] else None,
        )
        for row in rows
    ]


def _libraries(stored: Sequence[StoredPrint]) -> Mapping[int, Library]:
    """Return one library for each tenant that has recordings of its own, and one for everybody else."""
    tenants = {one.tenant_id for one in stored} | {_EVERYBODY}
    return {
        tenant: fingerprints.library_of([one for one in stored if one.tenant_id in (_EVERYBODY, tenant)])
        for tenant in tenants
    }
