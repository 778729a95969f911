"""Early media that nobody knows, on its way to the database: one file a call, removed when it is stored.

Bounded: when the database stays away, further ones are not kept. Never looks at the audio.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from callcore.ears_spectrum import Samples
from callcore.ids import uuid7
from kalibri.print_bytes import from_alaw, to_alaw
from kalibri.services.early_media import EarlyMedia
from tools.ears.protocol import Failed

MOST_FILES: Final = 500


class UnknownSpool:
    """Files below <home>/ears/unknown."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def put(self, tenant_id: int, samples: Samples, failed: Failed) -> bool:
        """Keep early media; tell whether there was room. Raises OSError."""
        if len(self.files()) >= MOST_FILES:
            return False
        moment = time.time()
        name = uuid7(int(moment * 1000), os.urandom(10))
        table = {
            "tenant": tenant_id,
            "heard_at": moment,
            "call": str(failed.call) if failed.call else None,
            "number": failed.number,
            "code": failed.code,
            "audio": base64.b64encode(to_alaw(samples)).decode(),
        }
        part = self._directory / f"{name}.part"
        part.write_text(json.dumps(table), encoding="utf-8")
        part.rename(self._directory / f"{name}.json")
        return True

    def files(self) -> list[Path]:
        """Return what waits, the oldest first."""
        return sorted(self._directory.glob("*.json"))

    def waiting(self) -> Iterator[tuple[Path, EarlyMedia | None]]:
        """Yield what waits; None: it cannot be read."""
        for path in self.files():
            media = None
            with suppress(ValueError, KeyError, TypeError, OSError):
                media = _read(path)
            yield path, media


def _read(path: Path) -> EarlyMedia:
    table = json.loads(path.read_text(encoding="utf-8"))
    return EarlyMedia(
        tenant_id=table["tenant"],
        early_media_id=UUID(path.stem),
        samples=from_alaw(base64.b64decode(table["audio"])),
        heard_at=datetime.fromtimestamp(table["heard_at"], UTC),
        call_id=UUID(table["call"]) if table["call"] else None,
        number=table["number"],
        code=table["code"],
    )
