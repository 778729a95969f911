"""Asks both sides of agents' conversations whether they are still there, and ends those that one side has left. Shell.

When is decided by callcore/far_end.py; what there is to ask, the workers note (kemi/far_ends.py).
"""

from __future__ import annotations

import time

from callcore.far_end import Answer, Ask, FarEnds, Side
from kemi import events
from kemi.far_ends import HEARD, TALK, tags_of
from kemi.worker import Worker


class Watch:
    """The one who asks; lives in the process of the watch timer."""

    def __init__(self, every_seconds: float) -> None:
        self._far_ends = FarEnds(every_seconds)

    def tick(self, worker: Worker) -> None:
        """Look at every conversation, once a second."""

        def heard(dialog: str, side: Side) -> Answer | None:
            text = worker.port.table_text(HEARD, key := f"{side}\n{dialog}")
            if text is None:
                return None
            worker.port.table_remove(HEARD, key)
            return Answer(text)

        dialogs = [dialog for dialog, _ in worker.port.table_items(TALK)]
        for order in self._far_ends.look(time.monotonic(), dialogs, heard):
            tags = tags_of(worker, order.dialog)
            if tags is None:
                continue
            if not worker.port.find_dialog(order.dialog, *tags):
                worker.port.table_remove(TALK, order.dialog)
            elif isinstance(order, Ask):
                worker.port.send_options(to_caller=order.side is Side.CALLER)
            else:
                worker.port.log_info(f"the {order.side} is gone without BYE: {order.dialog}")
                events.far_end_gone(worker)
