"""Webhooks: signed, tried again, given up, and never into our own network."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kalibri.db import Conn
from tests.support.fix_api import Api, MakeApi
from tests.support.waiting import wait_until

WAIT_SECONDS = 60.0


class Receiver:
    """A server that takes events; `statuses` are its next answers, then 200."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?x=1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def bodies(self) -> list[Any]:
        """What was posted, read as JSON."""
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server that takes events."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    """A ks-api that may post to this machine."""
    return make_api({"api.webhooks_to_private_addresses": "true"})


def test_events_are_posted_with_a_signature(api: Api, receiver: Receiver) -> None:
    admin, other = api.token("acme"), api.token("other")
    made = api.result(admin, "webhook.add", url=receiver.url, kinds=["config.route_folder"])
    api.result(other, "folder.add", path="theirs")
    api.result(admin, "schedule.add", name="x", hours="mon 10:00-11:00")
    api.result(admin, "folder.add", path="mine")
    wait_until(lambda: bool(receiver.got), "the event is posted")
    headers, body = receiver.got[0]
    told = dict(part.split("=") for part in headers["x-kalibri-signature"].split(","))
    expected = hmac.new(made["secret"].encode(), f"{told['t']}.".encode() + body, hashlib.sha256).hexdigest()
    assert told["v1"] == expected
    assert abs(int(told["t"]) - time.time()) < WAIT_SECONDS
    event = json.loads(body)
    assert (event["kind"], str(event["id"])) == ("config.route_folder", headers["x-kalibri-event"])
    wait_until(lambda: api.result(admin, "webhook.list")[0]["sent_at"] is not None, "the list tells it")
    assert [event["kind"] for event in receiver.bodies()] == ["config.route_folder"]
    assert "secret" not in api.result(admin, "webhook.list")[0]


def test_what_is_refused_is_tried_again_and_redirects_are_not_followed(
    api: Api, receiver: Receiver, db: Conn
) -> None:
    admin = api.token("acme")
    receiver.statuses = [500, 302]
    made = api.result(admin, "webhook.add", url=receiver.url, kinds=["webhook.test"])
    api.result(admin, "webhook.test", webhook_id=made["webhook_id"])
    wait_until(lambda: len(receiver.got) == 3, "it is tried three times")
    assert [headers["x-kalibri-attempt"] for headers, _ in receiver.got] == ["1", "2", "3"]
    assert len({headers["x-kalibri-delivery"] for headers, _ in receiver.got}) == 1
    wait_until(lambda: api.result(admin, "webhook.list")[0]["pending"] == 0, "nothing waits any more")
    assert api.result(admin, "webhook.list")[0]["last_error"] == "answered 302"


def test_what_is_given_up_waits_for_a_person(api: Api, receiver: Receiver, db: Conn) -> None:
    admin, other = api.token("acme"), api.token("other")
    receiver.statuses = [503]
    made = api.result(admin, "webhook.add", url=receiver.url)
    db.execute("UPDATE webhook SET cursor_seq = 9000000000")  # only the test event
    db.execute(
        "INSERT INTO webhook_delivery (tenant_id, webhook_id, event_seq, body, attempts)"
        " SELECT tenant_id, webhook_id, 1, '{}', 13 FROM webhook"
    )
    wait_until(lambda: api.result(admin, "webhook.list")[0]["dead"] == 1, "it is given up")
    [dead] = api.result(admin, "webhook.dead")
    assert (dead["last_error"], dead["attempts"]) == ("answered 503", 14)
    assert api.result(other, "webhook.dead") == []
    assert api.result(other, "webhook.retry", delivery_ids=[dead["delivery_id"]]) == 0
    assert api.result(admin, "webhook.retry", delivery_ids=[dead["delivery_id"]]) == 1
    wait_until(lambda: len(receiver.got) == 2, "it is posted again")
    wait_until(lambda: api.result(admin, "webhook.dead") == [], "no delivery is dead")
    api.result(admin, "webhook.rm", webhook_id=made["webhook_id"])


def test_a_kill_loses_no_event(api: Api, receiver: Receiver, db: Conn) -> None:
    admin = api.token("acme")
    api.result(admin, "webhook.add", url=receiver.url, kinds=["config.route_folder"])
    for number in range(30):
        api.result(admin, "folder.add", path=f"f{number}")
    api.stop(kill=True)
    api.start()
    # What was claimed when it was killed comes after its lease; all others at once.
    wait_until(lambda: len(posted(receiver)) >= 20, "those that nobody had claimed are posted")
    db.execute("UPDATE webhook_delivery SET due_at = now() WHERE state = 'pending'")
    wait_until(lambda: len(posted(receiver)) == 30, "those whose lease is over are posted, too")


def posted(receiver: Receiver) -> set[int]:
    """Return the ids of the events that have come, however often each."""
    return {event["id"] for event in receiver.bodies()}


def test_private_addresses_are_not_reached(make_api: MakeApi, receiver: Receiver) -> None:
    api = make_api()
    admin = api.token("acme")
    port = receiver.url.split(":")[2]
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
        made = api.result(admin, "webhook.add", url=f"http://{host}:{port}")
        api.result(admin, "webhook.test", webhook_id=made["webhook_id"])
    wait_until(
        lambda: all("public" in row["last_error"] for row in api.result(admin, "webhook.list")),
        "each is refused",
    )
    assert receiver.got == []


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/", "http://", "http://u:p@a.example/", "http://a.example:99999/", "http://ü.example/"],
)
def test_addresses_that_are_none_are_refused(api: Api, url: str) -> None:
    assert api.refused(api.token("acme"), "webhook.add", url=url) == "bad-webhook"
