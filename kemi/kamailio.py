"""The script that Kamailio loads: only here is KSR imported. Every callback is guarded and returns an int.

Why so strict (facts of the binding): a callback that returns anything but an int, or that is missing, breaks the
*next* request of the same process; an exception is only logged, and nobody answers the caller. Kamailio imports this
file before it forks and puts its folder first on sys.path, which is undone first, so that nothing is imported twice.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _HERE]
if str(_HERE.parent) not in sys.path:
    sys.path.insert(0, str(_HERE.parent))

import KSR  # noqa: E402

from kalibri.config import load_config  # noqa: E402
from kemi import (  # noqa: E402
    application_calls,
    attempts,
    events,
    forwarding,
    line_exchange,
    messages,
    queue_calls,
    recovery,
    replies,
    request_route,
    stored_messages,
    watch,
)
from kemi.ksr_port import KsrPort  # noqa: E402
from kemi.worker import Worker, make_worker  # noqa: E402

#: What a callback returns to Kamailio: go on / done.
DONE = 1


class Kalibri:
    """The handler object; its methods are named in conf/kamailio.cfg and by the tm module."""

    def __init__(self) -> None:
        self._port = KsrPort(KSR)
        self._config = load_config()
        self._worker: Worker | None = None
        #: Callbacks that are running: Kamailio raises dialog events while a request is being served.
        self._depth = 0

    def worker(self) -> Worker:
        """Return the worker of this process; a forked child never uses its parent's."""
        if self._worker is None or self._worker.pid != os.getpid():
            self._worker = make_worker(self._port, self._config)
        return self._worker

    def _guard(self, where: str, run: Callable[[Worker], None], *, answer: bool = False) -> int:
        self._depth += 1
        try:
            run(self.worker())
        except Exception as error:
            self._failed(where, error, answer=answer)
        self._depth -= 1
        if self._worker is not None and self._worker.later and not self._depth:
            self._finish(where)
        return DONE

    def _finish(self, where: str) -> None:
        """Do what the callbacks have put off until their message was sent."""
        worker = self.worker()
        while worker.later:
            work = worker.later.pop(0)
            try:
                work()
            except Exception as error:
                self._failed(where, error, answer=False)

    def _failed(self, where: str, error: Exception, *, answer: bool) -> None:
        try:
            request_route.report_failure(self.worker(), where, error, answer=answer)
        except Exception as second:
            KSR.err(f"{where}: {error!r}; reporting it failed: {second!r}\n")
            if answer:
                KSR.sl.send_reply(500, "Server Internal Error")

    # ---- Kamailio

    def child_init(self, rank: int) -> int:
        """Begin a process (rank: its number; negative: timer and service processes)."""
        return 0

    def ksr_request_route(self, msg: Any) -> int:
        """Serve every request."""
        return self._guard("request_route", request_route.request_route, answer=True)

    def ksr_reply_route(self, msg: Any) -> int:
        """See every reply before tm."""
        return self._guard("reply_route", replies.orphan)

    def ksr_branch_manage(self, msg: Any) -> int:
        """See every branch of a call before it is sent."""
        return self._guard("branch", attempts.branch)

    def ksr_onreply_manage(self, msg: Any) -> int:
        """See the replies to a call in set-up."""
        return self._guard("onreply", replies.manage)

    def ksr_branch_queue(self, msg: Any) -> int:
        """See every branch of a queue call before it is sent."""
        return self._guard("branch_queue", queue_calls.branch)

    def ksr_failure_queue(self, msg: Any) -> int:
        """Decide what follows when an agent, or a media host, did not take a queue call."""
        return self._guard("failure_queue", queue_calls.failure)

    def ksr_onreply_hosted(self, msg: Any) -> int:
        """See the replies on their way to a media host."""
        return self._guard("onreply_hosted", application_calls.reply)

    def ksr_onreply_indialog(self, msg: Any) -> int:
        """See the replies to a re-INVITE or UPDATE."""
        return self._guard("onreply_indialog", replies.in_dialog)

    def ksr_failure_manage(self, msg: Any) -> int:
        """Decide what follows a failed attempt."""
        return self._guard("failure", lambda worker: attempts.failure(worker, forwarding.divert))

    def ksr_failure_message(self, msg: Any) -> int:
        """Keep a message that no phone of the account took."""
        return self._guard("failure_message", messages.failure)

    def ksr_uac_event(self, msg: Any, name: str) -> int:
        """Note what became of a message that was kept."""
        return self._guard("uac", stored_messages.reply)

    def ksr_dialog_event(self, msg: Any, name: str) -> int:
        """Note that a dialog began or ended."""
        return self._guard("dialog", lambda worker: events.dialog(worker, name))

    def ksr_dialog_timeout(self, msg: Any) -> int:
        """End a call whose time is up."""
        return self._guard("dialog_timeout", events.dialog_timeout)

    def ksr_dispatcher_event(self, msg: Any, name: str) -> int:
        """Note that a gateway came or went."""
        return self._guard("dispatcher", lambda worker: events.dispatcher(worker, name))

    def ksr_registrar_event(self, msg: Any, name: str) -> int:
        """Note that a contact expired."""
        return self._guard("registrar", events.contact_expired)

    def ksr_tm_local_request(self, msg: Any, name: str) -> int:
        """Send a request of Kamailio's own to where its Contact was seen."""
        self._port.use_contact_alias()
        return DONE

    def ksr_htable_event(self, msg: Any, name: str) -> int:
        """Fill the shared tables before the first request; the same event comes for every entry that expires."""
        return self._guard("htable", lambda worker: recovery.table_event(worker, name))

    def ksr_watch_timer(self, msg: Any, name: str) -> int:
        """Look after trunks once a second, in a process of its own."""
        return self._guard("watch", watch.tick)

    def ksr_lines_timer(self, msg: Any, name: str) -> int:
        """Follow watched lines twice a second, in a process of its own."""
        return self._guard("lines", line_exchange.tick)


def mod_init() -> Kalibri:
    """Make the handler; called once at start, before Kamailio forks."""
    return Kalibri()
