"""What SEMS calls in a session, told to the shell of the call; and how an application for calls that come in is loaded.

SEMS never runs __init__: what a call needs is made at its first callback. A callback's default happens only when it
returns the literal True.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callcore.errors import BadInput
from sems_apps import sems_background
from sems_apps.sems_shell import Mailbox, Shell

#: (ivr, session, headers of the INVITE, background, mailbox) → the call; raises BadInput.
Begin = Callable[[Any, Any, str, Any, Mailbox], Shell]


class Session:
    """What every application hears: put before ivr.IvrDialogBase among the bases of IvrDialog."""

    shell: Any = None

    def onBye(self) -> bool:
        """The one that SEMS talks with hung up."""
        if self.shell is not None:
            self.shell.caller_gone("BYE")
        return True

    def onDtmf(self, key: int, duration: int) -> None:
        """A key was released."""
        if self.shell is not None:
            self.shell.key(key)

    def onTimer(self, timer: int) -> None:
        """A timer of ours."""
        if self.shell is not None:
            self.shell.timer(timer)

    def onEmptyQueue(self) -> None:
        """Everything was played."""
        if self.shell is not None:
            self.shell.queue_empty()

    def onIvrMessage(self, text: str) -> None:
        """The background has something for this call."""
        if self.shell is not None:
            self.shell.message()

    def onRtpTimeout(self) -> None:
        """No RTP for long: whom SEMS talks with is gone."""
        if self.shell is not None:
            self.shell.media_lost()
        self.stopSession()  # type: ignore[attr-defined]

    def onServerShutdown(self) -> None:
        """The server stops: it was our fault, and waiting callers keep their place."""
        if self.shell is not None:
            self.shell.shut_down()


class Application:
    """One application for calls that come in, made when SEMS loads its script."""

    def __init__(self, ivr: Any, name: str, begin: Begin) -> None:
        self._ivr, self._name, self._begin = ivr, name, begin
        self._mailbox = Mailbox(ivr.sendMessage)
        # Only now: the attribute is gone when the script has been loaded.
        self._background = sems_background.start(dict(ivr.config))
        ivr.createThread(self._background.run)

    def take(self, session: Any, headers: str) -> None:
        """Begin the call of a session, or refuse it."""
        try:
            session.shell = self._begin(self._ivr, session, headers, self._background, self._mailbox)
        except BadInput as error:
            self._ivr.log(1, f"{self._name}: {error.message}")
            session.sendReply(400, "Bad Arguments", "")
            session.stopSession()


class IncomingSession(Session):
    """A call that comes in, and the other leg that it may get."""

    #: Set by the script.
    application: Application

    def onInvite(self, hdrs: str) -> bool:
        """Take the call (SEMS sends nothing by itself), or let SEMS answer a re-INVITE."""
        if self.shell is not None:
            return True
        self.application.take(self, hdrs)
        return False

    def onSipRequest(self, req: Any) -> None:
        """A CANCEL is told by nothing else."""
        if self.shell is not None and req.method == "CANCEL":
            self.shell.caller_gone("CANCEL")

    def onOtherReply(self, code: int, reason: str) -> bool:
        """A response of the other leg; the default would end the caller with it."""
        if self.shell is not None:
            self.shell.other_reply(code)
        return False

    def onOtherBye(self) -> bool:
        """The other leg hung up: SEMS answers its BYE only by its default, which ends both."""
        if self.shell is not None:
            self.shell.other_bye()
        return True
