"""What SEMS calls in every application: told to the shell of the call. An application adds onInvite.

SEMS never runs __init__: what a call needs is made in onInvite. A callback's default happens only when it returns the
literal True.
"""

from __future__ import annotations

from typing import Any

from sems_apps.sems_shell import Shell


class Callbacks:
    """Put before ivr.IvrDialogBase among the bases of IvrDialog."""

    shell: Shell | None = None

    def onSipRequest(self, req: Any) -> None:
        """A CANCEL is told by nothing else."""
        if self.shell is not None and req.method == "CANCEL":
            self.shell.caller_gone("CANCEL")

    def onBye(self) -> bool:
        """The caller hung up."""
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

    def onRtpTimeout(self) -> None:
        """No RTP for long: the caller is gone."""
        if self.shell is not None:
            self.shell.media_lost()
        self.stopSession()  # type: ignore[attr-defined]

    def onServerShutdown(self) -> None:
        """The server stops: waiting callers keep their place."""
        if self.shell is not None:
            self.shell.shut_down()
