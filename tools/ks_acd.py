"""ks-acd: deadlines of call distribution, opening hours, and repairs against what is really there.

Decides when to look; what a look does is kalibri/services/acd.py. Several may run: each compares the proxy of
its own host, one of all leads (an advisory lock of its session) and does the rest. It holds no state that
matters and may be killed at any moment. While the database is away it waits: hosts and proxies go on.

    python -m tools.ks_acd [--home DIRECTORY] [--config FILE]
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config, load_config
from kalibri.db import Conn, connect
from kalibri.heartbeat import Heartbeat
from kalibri.rpc import KamailioRpc, ProxyDown, RpcRefused
from kalibri.services import acd
from kalibri.services.node import node_of_process
from tools.ks_cdr import Timer, stop_signals

log = logging.getLogger("ks-acd")

#: The leader sleeps until the nearest deadline, but looks at least so often: transitions make new ones.
POLL_SECONDS = 1.0
#: A deadline that is nearer is waited for in one go; a shorter sleep would be a busy loop.
SHORTEST_SECONDS = 0.005
#: How often another than the leader tries to become it.
LEAD_SECONDS = 1.0
RECONCILE_SECONDS = 2.0
HOURS_SECONDS = 1.0
OUTAGE_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 3600.0
#: Media hosts and proxies report every second or two; their silence is judged only after so long without a gap.
SETTLE_SECONDS = 6.0
#: A look is begun each second: a longer time between two, or within one, is a gap.
GAP_SECONDS = 3.0
FIRST_BACK_OFF_SECONDS = 0.2
LONGEST_BACK_OFF_SECONDS = 2.0
CONNECT_TIMEOUT_MS = 2000
STATEMENT_TIMEOUT_MS = 30_000


class Steadiness:
    """Decides whether silence of others says anything about them. Pure: times are monotonic seconds.

    After an outage of the database nobody has reported for its whole length, because nobody could: whoever comes back
    first must not take the others for dead, or it would end every call. The same after a freeze of the database.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._looked_at = 0.0

    def looks(self, now: float) -> None:
        """Note that a look begins."""
        if self._since is None or now - self._looked_at > GAP_SECONDS:
            self._since = now
        self._looked_at = now

    def lost(self) -> None:
        """Note that the database is away."""
        self._since = None

    def may_judge(self, now: float) -> bool:
        """Tell whether the database has answered without a gap for long enough that everybody could report."""
        steady = self._since is not None and now - self._since >= SETTLE_SECONDS
        return steady and now - self._looked_at <= GAP_SECONDS


class AcdDaemon:
    """One ks-acd."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._proxy = node_of_process(config, "kamailio") or ""
        self._clock = clock
        self._now = now
        self._conn: Conn | None = None
        self._dialogs: acd.ProxyDialogs | None = None
        self._lead = Timer(LEAD_SECONDS, clock)
        self._local = Timer(RECONCILE_SECONDS, clock)
        self._phones = Timer(RECONCILE_SECONDS, clock)
        self._hours = Timer(HOURS_SECONDS, clock)
        self._outages = Timer(OUTAGE_SECONDS, clock)
        self._housekeeping = Timer(HOUSEKEEPING_SECONDS, clock)
        self._steadiness = Steadiness()
        self._back_off = FIRST_BACK_OFF_SECONDS
        self._broken_since: float | None = None
        self.leads = False
        self.repairs = 0

    def step(self) -> float:
        """Look once; return how many seconds to wait before the next look."""
        try:
            wait = self._look(self._connection())
        except (KalibriError, psycopg.Error) as error:
            return self._failed(error)
        if self._broken_since is not None:
            log.info("at work again after %.1f s", self._clock() - self._broken_since)
            self._broken_since = None
            self._back_off = FIRST_BACK_OFF_SECONDS
        return wait

    def detail(self) -> str:
        """Say how it goes, for people."""
        if self._broken_since is not None:
            return f"waiting for the database for {self._clock() - self._broken_since:.0f} s"
        return f"{'leader' if self.leads else 'stands by'}, {self.repairs} repairs"

    def close(self) -> None:
        """Give the connection back, and the leadership with it."""
        if self._conn is not None:
            self._conn.close()
        self._conn = None
        self.leads = False

    def _failed(self, error: Exception) -> float:
        if self._broken_since is None:
            log.error("cannot work, will try again: %s", error)
            self._broken_since = self._clock()
        self._steadiness.lost()
        self.close()
        wait, self._back_off = self._back_off, min(self._back_off * 2, LONGEST_BACK_OFF_SECONDS)
        return wait

    def _connection(self) -> Conn:
        if self._conn is None or self._conn.closed:
            self._conn = connect(
                self._config,
                application_name=f"ks-acd {self._config.node_name}",
                connect_timeout_ms=CONNECT_TIMEOUT_MS,
                statement_timeout_ms=STATEMENT_TIMEOUT_MS,
            )
            self.leads = False
            self._lead.make_due()
        return self._conn

    def _may_judge(self) -> bool:
        return self._steadiness.may_judge(self._clock())

    def _look(self, conn: Conn) -> float:
        self._steadiness.looks(self._clock())
        if not self.leads and self._lead.due():
            self.leads = acd.try_to_lead(conn)
            if self.leads:
                log.info("leading")
        if self._local.due():
            self._compare_proxy(conn)
        return self._lead_on(conn) if self.leads else POLL_SECONDS

    def _lead_on(self, conn: Conn) -> float:
        if self._housekeeping.due():
            acd.housekeeping(conn, today=self._now().date())
        if self._outages.due():
            acd.replay_outages(conn)
        if self._hours.due():
            acd.apply_hours(conn, now=self._now())
            if self._may_judge():
                self._repaired(acd.lose_silent_hosts(conn), "entries of silent media hosts")
        if self._phones.due():
            acd.check_phones(conn, proxies=self._may_judge())
        acd.do_what_is_due(conn)
        nearest = acd.seconds_to_deadline(conn)
        return POLL_SECONDS if nearest is None else min(POLL_SECONDS, max(SHORTEST_SECONDS, nearest))

    def _compare_proxy(self, conn: Conn) -> None:
        """While the proxy of this host is away, its dialogs are what they were: others find it silent."""
        try:
            with KamailioRpc(self._config.kamailio_rpc_socket) as rpc:
                dialogs = acd.dialogs_of(rpc.dialogs())
                dead = acd.dialogs_of_dead_hosts(conn, dialogs) if self._may_judge() else []
                for entry, number in dead:
                    rpc.call("dlg.end_dlg", entry, number)
        except (ProxyDown, RpcRefused) as error:
            log.debug("the proxy cannot be asked: %s", error)
            self._dialogs = None
            return
        before, self._dialogs = self._dialogs, dialogs
        repaired = acd.sync_proxy(conn, proxy=self._proxy, dialogs=dialogs, before=before)
        self._repaired(repaired, "legs and direct calls that differed from the proxy's dialogs")

    def _repaired(self, count: int, what: str) -> None:
        if count:
            log.warning("%d %s repaired", count, what)
            self.repairs += count


def run(config: Config, wait: Callable[[float], bool]) -> None:
    """Work until `wait` says that it is time to stop."""
    config.run_directory.mkdir(parents=True, exist_ok=True)
    heartbeat = Heartbeat(config.run_directory, "ks-acd")
    daemon = AcdDaemon(config)
    with contextlib.closing(daemon):
        seconds = 0.0
        while not wait(seconds):
            seconds = daemon.step()
            with contextlib.suppress(OSError):
                heartbeat.beat(daemon.detail())


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--home", type=click.Path(path_type=Path), help="Run directory of the instance.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file.")
def main(home: Path | None, file: Path | None) -> None:
    """Run ks-acd."""
    try:
        config = load_config(path=file, overrides={"home": str(home)} if home else {})
    except KalibriError as error:
        raise click.ClickException(error.message) from error
    logging.basicConfig(
        level=config.log.level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s", force=True
    )
    with stop_signals() as wait:
        run(config, wait)
        log.info("stopped")


if __name__ == "__main__":
    main()
