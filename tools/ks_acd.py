"""ks-acd: deadlines of call distribution, opening hours, and repairs against what is really there.

Decides when to look; what a look does is kalibri/services/acd.py. Several may run: each compares the proxy of
its own host, one of all leads (an advisory lock of its session) and does the rest. It holds no state that
matters and may be killed at any moment. While the database is away it waits: hosts and proxies go on.

    python -m tools.ks_acd [--home DIRECTORY] [--config FILE]
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import click

from callcore.steadiness import Steadiness
from kalibri.config import Config
from kalibri.daemon import DatabaseDaemon, run_daemon
from kalibri.db import Conn
from kalibri.program import Timer, daemon_options, stop_signals
from kalibri.rpc import KamailioRpc, ProxyDown, RpcRefused
from kalibri.services import acd
from kalibri.services.node import node_of_process

log = logging.getLogger("ks-acd")

#: The leader sleeps until the nearest deadline, but looks at least so often: transitions make new ones.
POLL_SECONDS = 1.0
#: A deadline that is nearer is waited for in one go; a shorter sleep would be a busy loop.
SHORTEST_SECONDS = 0.005
#: How often another than the leader tries to become it.
LEAD_SECONDS = 1.0
RECONCILE_SECONDS = 2.0
#: How soon a phone falls silent that a proxy rings, when somebody decided otherwise; deadlines come much more often.
ORDERS_SECONDS = 0.5
HOURS_SECONDS = 1.0
OUTAGE_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 3600.0


class AcdDaemon(DatabaseDaemon):
    """One ks-acd."""

    name = "ks-acd"

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(config, clock=clock)
        self._proxy = node_of_process(config, "kamailio") or ""
        self._now = now
        self._dialogs: acd.ProxyDialogs | None = None
        self._lead = Timer(LEAD_SECONDS, clock)
        self._local = Timer(RECONCILE_SECONDS, clock)
        self._orders = Timer(ORDERS_SECONDS, clock)
        self._phones = Timer(RECONCILE_SECONDS, clock)
        self._hours = Timer(HOURS_SECONDS, clock)
        self._outages = Timer(OUTAGE_SECONDS, clock)
        self._housekeeping = Timer(HOUSEKEEPING_SECONDS, clock)
        self._steadiness = Steadiness()
        self.leads = False
        self.repairs = 0

    def state(self) -> str:
        """Say how it goes while it works, for people."""
        return f"{'leader' if self.leads else 'stands by'}, {self.repairs} repairs"

    def connected(self) -> None:
        """Begin as one of many: the lock of the leader is that of a session."""
        super().connected()
        self.leads = False
        self._lead.make_due()

    def lost(self) -> None:
        """Give up the connection; nobody could report meanwhile."""
        super().lost()
        self._steadiness.lost()

    def close(self) -> None:
        """Give the connection back, and the leadership with it."""
        super().close()
        self.leads = False

    def _may_judge(self) -> bool:
        return self._steadiness.may_judge(self._clock())

    def look(self, conn: Conn) -> float:
        """Do what is due; return how many seconds to wait before the next look."""
        self._steadiness.looks(self._clock())
        if not self.leads and self._lead.due():
            self.leads = acd.try_to_lead(conn)
            if self.leads:
                log.info("leading")
        if self._orders.due() and (commands := acd.proxy_commands(conn, proxy=self._proxy)):
            self._tell_phones(conn, commands)
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

    def _tell_phones(self, conn: Conn, commands: list[acd.ProxyCommand]) -> None:
        """Take agents out of direct calls; the proxy then asks the ACD what comes next for each caller."""
        try:
            with KamailioRpc(self._config.kamailio_rpc_socket) as rpc:
                for call in acd.calls_to_end(commands, acd.dialogs_of(rpc.dialogs()).direct):
                    self._take_out(rpc, call)
        except (ProxyDown, RpcRefused) as error:
            log.debug("the proxy cannot be asked: %s", error)
            return
        acd.proxy_commands_done(conn, commands)

    def _take_out(self, rpc: KamailioRpc, call: acd.DirectCall) -> None:
        """A phone that has stopped ringing meanwhile is none that must be told."""
        try:
            if call.answered:
                rpc.call("dlg.end_dlg", *call.dialog)
            else:
                rpc.call("tm.cancel", call.sip_call_id, call.cseq)
        except RpcRefused as error:
            log.warning("call %s not taken from its agent: %s", call.sip_call_id, error)

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


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@daemon_options
def main(config: Config) -> None:
    """Run ks-acd."""
    with stop_signals() as wait:
        run_daemon(config, AcdDaemon(config), wait)
        log.info("stopped")


if __name__ == "__main__":
    main()
