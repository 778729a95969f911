"""SEMS: the application ivr_menu. SEMS loads this file by its name; the class must be called IvrDialog.

ivr_menu.conf (plugin_config_path) holds `home=<run directory of the instance>` and `name=<name of the node row>`, which
is not that of hold_queue. What the call does is sems_apps/machines/ivr_menu.py, the same as on the embedded host; what
SEMS cannot do is to take a caller back: behind a conversation the call ends, whatever the scenario would do next.
"""

from __future__ import annotations

import ivr

from callcore.errors import BadInput
from sems_apps.sems_background import start
from sems_apps.sems_dialog import Callbacks
from sems_apps.sems_shell import Mailbox, begin_scenario

MAILBOX = Mailbox(ivr.sendMessage)
BACKGROUND = start(dict(ivr.config))  # only now: the attribute is gone when the script has been loaded
ivr.createThread(BACKGROUND.run)


class IvrDialog(Callbacks, ivr.IvrDialogBase):  # type: ignore[misc]
    """One call in a scenario."""

    def onInvite(self, hdrs: str) -> bool:
        """Take the call (SEMS sends nothing by itself), or let SEMS answer a re-INVITE."""
        if self.shell is not None:
            return True
        try:
            self.shell = begin_scenario(ivr, self, hdrs, BACKGROUND, MAILBOX)
        except BadInput as error:
            ivr.log(1, f"ivr_menu: {error.message}")
            self.sendReply(400, "Bad Arguments", "")
            self.stopSession()
        return False
