"""SEMS: the application hold_queue. SEMS loads this file by its name; the class must be called IvrDialog.

hold_queue.conf (plugin_config_path) holds `home=<run directory of the instance>` and `name=<name of the node row>`. The
project's root and its packages must be on PYTHONPATH. What the call does is sems_apps/machines/hold_queue.py, the
same as on the embedded host; how SEMS does it is sems_apps/sems_shell.py.
"""

from __future__ import annotations

import ivr

from sems_apps.sems_dialog import Application, IncomingSession
from sems_apps.sems_shell import begin


class IvrDialog(IncomingSession, ivr.IvrDialogBase):  # type: ignore[misc]
    """One call of a queue."""

    application = Application(ivr, "hold_queue", begin)
