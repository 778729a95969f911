"""SEMS: the application ivr_menu. SEMS loads this file by its name; the class must be called IvrDialog.

ivr_menu.conf (plugin_config_path) holds `home=<run directory of the instance>` and `name=<name of the node row>`, which
is not that of hold_queue. What the call does is sems_apps/machines/ivr_menu.py, the same as on the embedded host; what
SEMS cannot do is to take a caller back: behind a conversation the call ends, whatever the scenario would do next.
"""

from __future__ import annotations

import ivr

from sems_apps.sems_dialog import Application, IncomingSession
from sems_apps.sems_shell import begin_scenario


class IvrDialog(IncomingSession, ivr.IvrDialogBase):  # type: ignore[misc]
    """One call in a scenario."""

    application = Application(ivr, "ivr_menu", begin_scenario)
