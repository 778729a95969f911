"""SEMS: the application hold_queue. SEMS loads this file by its name; the class must be called IvrDialog.

hold_queue.conf (plugin_config_path) holds `home=<run directory of the instance>` and `name=<name of the node row>`. The
project's root and its packages must be on PYTHONPATH. What the call does is sems_apps/machines/hold_queue.py, the
same as on the embedded host; how SEMS does it is sems_apps/sems_shell.py.
"""

from __future__ import annotations

import ivr

from callcore.errors import BadInput
from sems_apps.sems_background import start
from sems_apps.sems_dialog import Callbacks
from sems_apps.sems_shell import Mailbox, begin

MAILBOX = Mailbox(ivr.sendMessage)
BACKGROUND = start(dict(ivr.config))  # only now: the attribute is gone when the script has been loaded
ivr.createThread(BACKGROUND.run)


class IvrDialog(Callbacks, ivr.IvrDialogBase):  # type: ignore[misc]
    """One call. SEMS never runs __init__: what a call needs is made in onInvite."""

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
