"""An S3-compatible server in tests (moto), and a bucket for the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Bucket:
    """An empty bucket, and what reaches it."""

    name: str
    endpoint: str
    #: Two lines: access key id, secret access key.
    credentials_file: Path


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A local S3 server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(s3_endpoint: str, tmp_path: Path) -> Bucket:
    """An empty bucket."""
    import boto3

    keys = tmp_path / "s3_keys"
    keys.write_text("test-key\ntest-secret\n")
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test-key",
        aws_secret_access_key="test-secret",
    )
    name = f"b{abs(hash(tmp_path.name))}"
    client.create_bucket(Bucket=name)
    return Bucket(name, s3_endpoint, keys)
