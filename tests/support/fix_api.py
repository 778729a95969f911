"""ks-api in tests: the real process on the test's fresh database, and a client.

def test_something(api: Api) -> None:
    token = api.token("acme", "admin")
    assert api.result(token, "account.list") == []
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from callcore.states import ApiScope
from kalibri.config import PROJECT_ROOT, Config
from kalibri.db import connect_tool
from kalibri.pg_cluster import free_port
from kalibri.services import tenant, token

START_SECONDS = 60.0


@dataclass(frozen=True)
class Reply:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class ApiError(Exception):
    """The API answered with an error."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["message"])
        self.code = error["code"]
        self.error_id = error["data"]["error_id"]
        self.details = error["data"].get("details", {})


class Api:
    """A ks-api that runs, and what a client does with it."""

    def __init__(self, config: Config, folder: Path, settings: Mapping[str, object]) -> None:
        self.config = config
        self.port = free_port()
        self._log = folder / "ks-api.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("KALIBRI_", "PG"))},
            "KALIBRI_HOME": str(config.home),
            "KALIBRI_DATABASE_DSN": config.database_dsn,
            "KALIBRI_API_PORT": str(self.port),
            **{f"KALIBRI_{name.upper().replace('.', '_')}": str(value) for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.ks_api"],
                cwd=PROJECT_ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                assert self.http("GET", "/health").status == 200
                return
            except OSError:
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)

    def stop(self, *, kill: bool = False) -> None:
        """End it: in order, or as kill -9 would."""
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(30)
            self.process = None

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def token(self, tenant_name: str, *scopes: str) -> str:
        """Make a token of a tenant (made if it is missing) or of the system."""
        with connect_tool(self.config, application_name="test") as conn:
            names = {item.name: item.tenant_id for item in tenant.list_tenants(conn)}
            if tenant_name not in names:
                names[tenant_name] = tenant.add(conn, name=tenant_name).tenant_id
            made = token.add(
                conn,
                tenant_id=names[tenant_name],
                name=f"test {tenant_name}",
                scopes=[ApiScope(scope) for scope in scopes or ("admin",)],
            )
        return made.token

    def http(
        self,
        verb: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Reply:
        """Send one HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(verb, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            )
        finally:
            connection.close()

    def wait_told(self, seconds: float = 60.0) -> None:
        """Wait until every event that was committed by now is numbered and told: a new stream begins behind it."""
        deadline = time.monotonic() + seconds
        statement = (
            "SELECT (SELECT count(*) FROM event_outbox), (SELECT coalesce(max(seq), 0) FROM event_log)"
        )
        with connect_tool(self.config, application_name="test") as conn:
            while True:
                row = conn.execute(statement).fetchone()
                assert row is not None
                waiting, newest = row
                head = self.http("GET", "/health").json["last_event"]
                if not waiting and head is not None and head >= newest:
                    return
                assert time.monotonic() < deadline, (waiting, newest, head)
                time.sleep(0.02)

    def post(self, token_text: str, value: Any) -> Reply:
        """Send a JSON value (or bytes as they are) to the address of JSON-RPC."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.http("POST", "/v1/rpc", body, {"Authorization": f"Bearer {token_text}"})

    def result(self, token_text: str, method: str, **params: Any) -> Any:
        """Call a method and return its result; raises ApiError."""
        answer = self.post(token_text, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).json
        if "error" in answer:
            raise ApiError(answer["error"])
        return answer["result"]

    def refused(self, token_text: str, method: str, **params: Any) -> str:
        """Call a method that must be refused; return the error id."""
        with pytest.raises(ApiError) as caught:
            self.result(token_text, method, **params)
        return str(caught.value.error_id)


MakeApi = Callable[..., Api]


@pytest.fixture
def make_api(pg_config: Config, tmp_path: Path) -> Iterator[MakeApi]:
    """Start as many as you like on the fresh database; settings as {"api.threads": 2}."""
    made: list[Api] = []

    def make(settings: Mapping[str, object] | None = None) -> Api:
        made.append(Api(pg_config, tmp_path, settings or {}))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop(kill=True)
        print(one.log()[-3000:])  # shown with a failure


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    """A ks-api on the fresh database."""
    return make_api()
