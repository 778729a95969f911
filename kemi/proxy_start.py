"""When this run of the proxy began. Kamailio imports the script once, before it forks, so all processes agree."""

from __future__ import annotations

import time

#: Unix time. Read at import on purpose: that is the start.
STARTED_AT = time.time()
#: So long replies that queued while the proxy was away may make gateways look slow.
SETTLING_SECONDS = 10.0


def is_settling(now: float) -> bool:
    """Tell whether the proxy has only just started; now: Unix time."""
    return now < STARTED_AT + SETTLING_SECONDS


#: Value of the table "seen" when the INVITE came before the proxy restarted.
RECOVERED = "recovered:"
#: Ends that value for the INVITE of a leg that a media host asked for: its end is not the end of the call.
RECOVERED_LEG = "/leg"
