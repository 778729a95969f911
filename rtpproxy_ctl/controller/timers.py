"""Time, as the parts of the controller see it. Only the protocol: the reactor fulfils it, and so do tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Timers(Protocol):
    """Time, as Twisted's reactor has it."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def callLater(self, delay: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function later."""
