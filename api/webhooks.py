"""Sends events to webhooks: one thread that looks, some that post.

Decides to which address of a name it connects: a public one, checked after the name is resolved and used as it
was checked, so that no name server can lead a request into our own network. Never follows a redirect, and
reads no answer but its first line.
"""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config
from kalibri.db import Conn, connect
from kalibri.outbound_http import NotFetched, Reach, connected, hung_up_after
from kalibri.services import webhook as webhooks
from kalibri.services.webhook import AT_ONCE_EACH, Claim, signature

log = logging.getLogger("ks-api")

THREADS = 8
#: How long between two looks, in seconds.
LOOK_SECONDS = 0.5
TIMEOUT_SECONDS = 10.0
#: The whole of one post, however slowly the other side answers.
LONGEST_SECONDS = 30.0
AGENT = "Kalibri"


class NotSent(Exception):
    """The event was not taken; the text says why."""


def post(claim: Claim, *, private_allowed: bool, now: Callable[[], float] = time.time) -> None:
    """Post an event; raises NotSent unless the answer is 2xx."""
    parts = urlsplit(claim.url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    body = claim.body.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": AGENT,
        "X-Kalibri-Event": str(claim.event_seq),
        "X-Kalibri-Delivery": str(claim.delivery_id),
        "X-Kalibri-Attempt": str(claim.attempts),
        "X-Kalibri-Signature": signature(claim.secret, int(now()), claim.body),
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    reach = Reach(everywhere=private_allowed)
    try:
        wire = connected(
            host, port, tls=parts.scheme == "https", judge=reach.judge, timeout_seconds=TIMEOUT_SECONDS
        )
    except NotFetched as error:
        raise NotSent(f"{error} (api.webhooks_to_private_addresses)") from error
    except (OSError, ValueError) as error:
        raise NotSent(f"{type(error).__name__}: {error}") from error
    connection = http.client.HTTPConnection(host, port)
    connection.sock = wire
    wire.settimeout(TIMEOUT_SECONDS)
    try:
        with hung_up_after(wire, LONGEST_SECONDS):
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise NotSent(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise NotSent(f"answered {status}")


class WebhookSender:
    """The threads of one process; several processes share the work."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook")
        self._busy: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._conn: Conn | None = None
        self.sent = 0
        self.failed = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is being posted is posted again later if it takes too long."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self._conn is None or self._conn.closed:
                    self._conn = self._connect()
                more = self._look(self._conn)
            except (KalibriError, psycopg.Error) as error:
                log.warning("webhooks wait for the database: %s", error)
                more = False
            except Exception:
                log.exception("webhooks failed")
                more = False
            if not more:
                self._wake.wait(LOOK_SECONDS)
                self._wake.clear()
        if self._conn is not None:
            self._conn.close()

    def _connect(self) -> Conn:
        return connect(
            self._config,
            application_name=f"ks-api webhooks {self._config.node_name}",
            connect_timeout_ms=2000,
            statement_timeout_ms=30_000,
        )

    def _look(self, conn: Conn) -> bool:
        """Make and send what is due; tell whether something was."""
        looked = webhooks.make_deliveries(conn)
        with self._lock:
            free = THREADS - self._busy.total()
            busy = [webhook_id for webhook_id, count in self._busy.items() if count >= AT_ONCE_EACH]
        claims = webhooks.claim(conn, limit=free, busy=busy) if free > 0 else []
        for claim in claims:
            with self._lock:
                self._busy[claim.webhook_id] += 1
            self._executor.submit(self._send, claim).add_done_callback(self._done(claim))
        return bool(claims) or looked > 0

    def _done(self, claim: Claim) -> Callable[[Future[None]], None]:
        def done(_future: Future[None]) -> None:
            with self._lock:
                self._busy[claim.webhook_id] -= 1
            self._wake.set()

        return done

    def _send(self, claim: Claim) -> None:
        error = ""
        try:
            post(claim, private_allowed=self._config.api.webhooks_to_private_addresses)
            self.sent += 1
        except NotSent as refused:
            error = str(refused)
            self.failed += 1
        except Exception as unforeseen:
            log.exception("webhook %d failed", claim.webhook_id)
            error = f"{type(unforeseen).__name__}"
        try:
            with self._connect() as conn:
                if error:
                    webhooks.not_delivered(conn, claim, error)
                else:
                    webhooks.delivered(conn, claim)
        except (KalibriError, psycopg.Error) as away:
            log.warning("webhook %d: not noted, will be posted again: %s", claim.webhook_id, away)
