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
from pathlib import Path

# One leg's arrays are small: threads of the algebra library would only wait for each other. Before numpy comes in.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click

from callcore.errors import KalibriError
from kalibri.config import Config, load_config
from kalibri.heartbeat import Heartbeat
from kalibri.tone_sets import tone_sets_of
from tools.ears.librarian import Librarian
from tools.ears.server import Server
from tools.ears.spool import UnknownSpool
from tools.ks_cdr import stop_signals

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
@click.option("--home", type=click.Path(path_type=Path), help="Run directory of the instance.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file.")
def main(home: Path | None, file: Path | None) -> None:
    """Run ks-ears."""
    try:
        config = load_config(path=file, overrides={"home": str(home)} if home else {})
        logging.basicConfig(
            level=config.log.level.upper(),
            format="%(asctime)s %(name)s %(levelname)s %(message)s",
            force=True,
        )
        with stop_signals() as wait:
            run(config, wait)
    except KalibriError as error:
        raise click.ClickException(error.message) from error
    log.info("stopped")


if __name__ == "__main__":
    main()
