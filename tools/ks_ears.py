"""ks-ears: listens to copies of outgoing calls' RTP, and says what is heard (docs/ears.md).

Tones of the network, known messages, human or machine; to whoever asked, over a UNIX socket. Holds no state that
matters: when it dies, calls go on unheard. Without the database it knows what it knew last.

    python -m tools.ks_ears [--home DIRECTORY] [--config FILE]
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable

# One leg's arrays are small: threads of the algebra library would only wait for each other. Before numpy comes in.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click

from kalibri.config import Config
from kalibri.heartbeat import Heartbeat
from kalibri.program import daemon_options, stop_signals
from kalibri.tone_sets import tone_sets_of
from tools.ears.librarian import Librarian
from tools.ears.server import Server
from tools.ears.spool import UnknownSpool

log = logging.getLogger("ks-ears")


def run(config: Config, wait: Callable[[float], bool]) -> None:
    """Listen until `wait` says that it is time to stop; raises BadInput, OSError."""
    config.run_directory.mkdir(parents=True, exist_ok=True)
    tone_sets = tone_sets_of(config)
    spool = UnknownSpool(config.ears_directory / "unknown")
    librarian = Librarian(config, tone_sets, spool)
    heartbeat = Heartbeat(config.run_directory, "ks-ears")
    with contextlib.closing(Server(config, tone_sets, librarian, spool)) as server:
        librarian.start()
        try:
            while not wait(0.0):
                server.step()
                with contextlib.suppress(OSError):  # a full disk: listening needs none
                    heartbeat.beat(server.detail())
        finally:
            librarian.stop()


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@daemon_options
def main(config: Config) -> None:
    """Run ks-ears."""
    with stop_signals() as wait:
        run(config, wait)
    log.info("stopped")


if __name__ == "__main__":
    main()
