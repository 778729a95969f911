"""SEMS: the application hold_queue. SEMS loads this file by its name; the class must be called IvrDialog.

hold_queue.conf (plugin_config_path) holds `home=<run directory of the instance>` and `name=<name of the node row>`. The
project's root and its packages must be on PYTHONPATH. What the call does is sems_apps/machines/hold_queue.py, the
same as on the embedded host; how SEMS does it is sems_apps/sems_shell.py.
"""

from __future__ import annotations

from typing import Any

import ivr

from callcore.errors import BadInput
from sems_apps.sems_background import start
from sems_apps.sems_shell import Mailbox, Shell, begin

MAILBOX = Mailbox(ivr.sendMessage)
BACKGROUND = start(dict(ivr.config))  # only now: the attribute is gone when the script has been loaded
ivr.createThread(BACKGROUND.run)


class IvrDialog(ivr.IvrDialogBase):  # type: ignore[misc]
    """One call. SEMS never runs __init__: what a call needs is made in onInvite."""

    shell: Shell | None = None

    def onInvite(self, hdrs: str) -> bool:
        """Take the call (SEMS sends nothing by itself), or let SEMS answer a re-INVITE."""
        if self.shell is not None:
            return True
        try:
            self.shell = begin(ivr, self, hdrs, BACKGROUND, MAILBOX)
        except BadInput as error:
            ivr.log(1, f"hold_queue: {error.message}")
            self.sendReply(400, "Bad Arguments", "")
            self.stopSession()
        return False

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
        """A response of the agent; the default would end the caller with him."""
        if self.shell is not None:
            self.shell.other_reply(code)
        return False

    def onOtherBye(self) -> bool:
        """The agent hung up: SEMS answers his BYE only by its default, which ends both."""
        if self.shell is not None:
            self.shell.other_bye()
        return True

    def onRtpTimeout(self) -> None:
        """No RTP for long: the caller is gone."""
        if self.shell is not None:
            self.shell.media_lost()
        self.stopSession()

    def onServerShutdown(self) -> None:
        """The server stops: waiting callers keep their place."""
        if self.shell is not None:
            self.shell.shut_down()
