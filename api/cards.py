"""Makes the cards of agents: one thread that follows the events of offers, some that look callers up.

Decides only when to look: what a card is, kalibri/services/card.py says. Several ks-api share the work; each
may be killed at any moment.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg

from callcore.card import CardLookup
from callcore.errors import KalibriError
from kalibri.config import Config
from kalibri.db import Conn, connect, listen
from kalibri.services import caller as callers
from kalibri.services import card as cards
from kalibri.services.caller import Fetch, LookedUp
from kalibri.services.card import Claim

log = logging.getLogger("ks-api")

#: The longest between two looks, in seconds; usually a notification comes first.
LOOK_SECONDS = 0.5


class CardMaker:
    """The threads of one process."""

    def __init__(self, config: Config, *, fetch: Fetch | None = None) -> None:
        self._config = config
        self._fetch = fetch or callers.fetcher(config)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cards", daemon=True)
        self._places = config.api.lookups_at_once
        self._executor = ThreadPoolExecutor(self._places, thread_name_prefix="lookup")
        self._lock = threading.Lock()
        self._busy = 0
        self._conn: Conn | None = None
        #: Number of the last event that was looked at.
        self._seen = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a look-up that goes on is finished."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        waking = listen(
            self._connect,
            "kalibri_event",
            poll_seconds=LOOK_SECONDS,
            keep_on=lambda: not self._stopping.is_set(),
        )
        for _ in waking:
            try:
                if self._conn is None or self._conn.closed:
                    self._conn = self._connect()
                self._look(self._conn)
            except (KalibriError, psycopg.Error) as error:
                log.warning("cards wait for the database: %s", error)
                self._drop()
            except Exception:
                log.exception("cards failed")
                self._drop()
        self._drop()

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _connect(self) -> Conn:
        return connect(
            self._config,
            application_name=f"ks-api cards {self._config.node_name}",
            connect_timeout_ms=2000,
            statement_timeout_ms=30_000,
        )

    def _look(self, conn: Conn) -> None:
        """Make what is due; hand out look-ups as far as there are threads for them."""
        more = True
        while more and not self._stopping.is_set():
            made = cards.make_cards(conn, self._seen)
            self._seen, more = made.seen, made.more
            with self._lock:
                free = self._places - self._busy
            for claim in cards.claim_lookups(conn, limit=free) if free > 0 else ():
                with self._lock:
                    self._busy += 1
                self._executor.submit(self._look_up, claim)

    def _look_up(self, claim: Claim) -> None:
        try:
            with self._connect() as conn:
                found = LookedUp(lookup=CardLookup.FAILED, error="there was no time for it")
                if not claim.late:
                    found = callers.look_up(
                        conn, tenant_id=claim.tenant_id, values=claim.variables, fetch=self._fetch
                    )
                cards.looked_up(conn, tenant_id=claim.tenant_id, offer_id=claim.offer_id, found=found)
        except (KalibriError, psycopg.Error) as error:  # another one tries it again
            log.warning("look-up for offer %d: %s", claim.offer_id, error)
        except Exception:
            log.exception("look-up for offer %d failed", claim.offer_id)
        finally:
            with self._lock:
                self._busy -= 1
