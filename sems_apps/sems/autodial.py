"""SEMS: the application autodial, for broadcast. SEMS loads this file by its name; the class must be called IvrDialog.

autodial.conf (plugin_config_path) holds `home=<run directory of the instance>` and `name=<name of the node row>`. What
a dial does is sems_apps/machines/autodial.py, as on the embedded host; how SEMS does it is sems_dial_shell.py.
"""

from __future__ import annotations

from typing import Any

import ivr

from sems_apps.sems_background import configuration
from sems_apps.sems_dial_shell import DialShell
from sems_apps.sems_dialler import SemsDialler
from sems_apps.sems_dialog import Session
from sems_apps.sems_shell import Mailbox

MAILBOX = Mailbox(ivr.sendMessage)
BACKGROUND = SemsDialler(
    *configuration(dict(ivr.config)), MAILBOX, lambda *words: ivr.IvrUAC().dialout(*words)
)
ivr.createThread(BACKGROUND.run)


class IvrDialog(Session, ivr.IvrDialogBase):  # type: ignore[misc]
    """One dial. SEMS never runs __init__: what a dial needs is made at its first callback."""

    shell: DialShell | None = None

    def begun(self) -> DialShell | None:
        """Return the dial of this session; None: nobody ordered it, or it was given up."""
        if self.shell is None:
            order = BACKGROUND.calls.order_of(str(self.dialog.local_tag))
            if order is None:
                self.bye()
                self.stopSession()
                return None
            self.shell = DialShell(ivr, self, BACKGROUND, MAILBOX, order)
        return self.shell

    def onInvite(self, hdrs: str) -> bool:
        """Answer a re-INVITE; a call that comes in is none of ours."""
        if self.shell is None:
            self.sendReply(404, "Nobody Here", "")
            self.stopSession()
            return False
        return True

    def onSipReply(self, req: Any, reply: Any) -> None:
        """A response to our INVITE."""
        if req.method == "INVITE" and (shell := self.begun()) is not None:
            shell.replied(int(reply.code), str(reply.hdrs))

    def onSessionStart(self) -> None:
        """The person answered."""
        if (shell := self.begun()) is not None:
            shell.started()

    def onIvrMessage(self, text: str) -> None:
        """The watchdog has something to say; perhaps the first that this session hears."""
        if (shell := self.begun()) is not None:
            shell.message()
