"""What every long-lived program has: its command line, its log, its end by a signal, and what it does every so often.

Loads nothing that takes long: not every program needs the database at once.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from callcore.errors import KalibriError
from kalibri.config import load_config

#: Waits for the end of the process; returns True when it came within so many seconds.
Wait = Callable[[float], bool]


def daemon_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a click command --home and --config; it gets `config`, and its log lines go to standard error.

    A KalibriError of the command ends the program with its message.
    """

    @click.option("--home", type=click.Path(path_type=Path), help="Run directory of the instance.")
    @click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file.")
    @functools.wraps(command)
    def configured(home: Path | None, file: Path | None, **more: Any) -> None:
        try:
            config = load_config(path=file, overrides={"home": str(home)} if home else {})
            logging.basicConfig(
                level=config.log.level.upper(),
                format="%(asctime)s %(name)s %(levelname)s %(message)s",
                force=True,
            )
            command(config=config, **more)
        except KalibriError as error:
            raise click.ClickException(error.message) from error

    return configured


@contextlib.contextmanager
def stop_signals() -> Iterator[Wait]:
    """Block SIGTERM and SIGINT, and yield a wait that ends early, with True, when one of them came."""
    stopping = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    try:
        yield lambda seconds: signal.sigtimedwait(stopping, seconds) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Timer:
    """Says every so often that it is time."""

    def __init__(self, every_seconds: float, clock: Callable[[], float]) -> None:
        self._every_seconds = every_seconds
        self._clock = clock
        self._next = clock()

    def due(self) -> bool:
        """Tell whether it is time; if so, the next time begins to run."""
        if self._clock() < self._next:
            return False
        self._next = self._clock() + self._every_seconds
        return True

    def make_due(self) -> None:
        """Make it time now."""
        self._next = self._clock()
