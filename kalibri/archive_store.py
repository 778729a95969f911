"""The second storage, for old recordings and old calls: a directory (another disk, NFS) or an S3-compatible store.

Puts, fetches, checks and deletes files by key; what it has put is there whole, with the checksum that it was
given, or not at all. Knows nothing of recordings, calls, tenants or the database.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from callcore.errors import BadInput, NotFound, Unavailable
from kalibri.config import Config
from kalibri.files import copy_replacing, make_directory, replacing, sha256_of

CHUNK_BYTES = 1 << 20


class ChecksumMismatch(Unavailable):
    """The file is not the one that was stored."""

    error_id = "checksum-mismatch"


class ArchiveStore(ABC):
    """A place for files, by key."""

    #: As it is written in the configuration and in recording_file.archive.
    url: str

    @abstractmethod
    def check(self) -> None:
        """Make sure that the archive is there; raises Unavailable."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Tell whether there is a file of this key; raises Unavailable, OSError."""

    @abstractmethod
    def put(self, source: Path, key: str) -> None:
        """Copy a file there; raises Unavailable, OSError."""

    @abstractmethod
    def fetch(self, key: str, target: Path) -> None:
        """Copy a file back, whole or not at all; raises NotFound, Unavailable, OSError."""

    @abstractmethod
    def sha256(self, key: str) -> str:
        """Read a file there and return its checksum; raises NotFound, Unavailable, OSError."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete a file there; one that is gone is no error. Raises Unavailable, OSError."""


class DirectoryArchive(ArchiveStore):
    """A directory, as dir:/mnt/archive."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = Path(url.removeprefix("dir:"))

    def check(self) -> None:
        # A disk that is not mounted must not look like an empty archive: the root is not made.
        if not self._root.is_dir():
            raise Unavailable(f"the archive {self._root} is not there (make the directory once)")

    def exists(self, key: str) -> bool:
        self.check()
        return (self._root / key).exists()

    def put(self, source: Path, key: str) -> None:
        self.check()
        target = self._root / key
        make_directory(target.parent)
        copy_replacing(source, target)

    def fetch(self, key: str, target: Path) -> None:
        copy_replacing(self._existing(key), target)

    def sha256(self, key: str) -> str:
        return sha256_of(self._existing(key))

    def delete(self, key: str) -> None:
        self.check()
        (self._root / key).unlink(missing_ok=True)

    def _existing(self, key: str) -> Path:
        path = self._root / key
        if not path.is_file():
            raise NotFound(f"the archive {self.url} has no {key}")
        return path


class S3Archive(ArchiveStore):
    """A bucket of an S3-compatible store, as s3://bucket/prefix."""

    def __init__(self, url: str, config: Config) -> None:
        import boto3  # here: it takes long to load, and most processes never archive
        from botocore.config import Config as BotoConfig

        self.url = url
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
        settings = config.recording
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint,
            region_name=settings.s3_region,
            config=BotoConfig(connect_timeout=5, read_timeout=60, retries={"max_attempts": 3}),
            **_credentials(settings.s3_credentials_file),
        )

    def check(self) -> None:
        try:
            with _s3_errors(self.url, "bucket"):
                self._client.head_bucket(Bucket=self._bucket)
        except NotFound as error:
            raise Unavailable(f"the archive {self.url} is not there (make the bucket once)") from error

    def exists(self, key: str) -> bool:
        try:
            with _s3_errors(self.url, key):
                self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except NotFound:
            return False
        return True

    def put(self, source: Path, key: str) -> None:
        with _s3_errors(self.url, key):
            self._client.upload_file(
                str(source), self._bucket, self._prefix + key, ExtraArgs={"ChecksumAlgorithm": "SHA256"}
            )

    def fetch(self, key: str, target: Path) -> None:
        with replacing(target) as file:
            for chunk in self._chunks(key):
                file.write(chunk)

    def sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        for chunk in self._chunks(key):
            digest.update(chunk)
        return digest.hexdigest()

    def delete(self, key: str) -> None:
        with _s3_errors(self.url, key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def _chunks(self, key: str) -> Iterator[bytes]:
        with _s3_errors(self.url, key):
            body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]
            yield from body.iter_chunks(CHUNK_BYTES)


@contextmanager
def _s3_errors(url: str, key: str) -> Iterator[None]:
    """Turn what boto3 raises into errors of ours, without what it may quote of the request."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("NoSuchKey", "404"):
            raise NotFound(f"the archive {url} has no {key}") from error
        raise Unavailable(f"the archive {url} refuses: {code}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise Unavailable(f"the archive {url} cannot be reached: {type(error).__name__}") from error


def _credentials(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    lines = file.read_text(encoding="utf-8").split()
    if len(lines) != 2:
        raise BadInput(f"{file}: two lines are needed, access key id and secret access key")
    return {"aws_access_key_id": lines[0], "aws_secret_access_key": lines[1]}


def open_archive(config: Config, url: str | None = None) -> ArchiveStore:
    """Return an archive by its URL; None: the configured one. Raises Unavailable if there is none."""
    url = url or config.recording.archive
    if not url:
        raise Unavailable("no archive is configured (recording.archive)")
    return DirectoryArchive(url) if url.startswith("dir:") else S3Archive(url, config)
