"""ks-api: JSON-RPC, events and webhooks over HTTP.

Decides nothing: it puts together what api/ has, on Twisted with the asyncio reactor. It may be killed at any
moment; several may run, on one machine or many.

    python -m tools.ks_api [--home DIRECTORY] [--config FILE]
"""

from __future__ import annotations

import logging
import resource
from typing import Any

import click

from kalibri.config import Config
from kalibri.program import daemon_options

log = logging.getLogger("ks-api")


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@daemon_options
def main(config: Config) -> None:
    """Run ks-api."""
    _allow_many_files()
    _run(config)


def _run(config: Config) -> None:
    from twisted.internet import asyncioreactor

    asyncioreactor.install()  # before anything imports the reactor
    from twisted.internet import reactor as installed

    reactor: Any = installed
    from api.app import App

    app = App(config, reactor)
    reactor.callWhenRunning(app.start)
    reactor.addSystemEventTrigger("before", "shutdown", app.stop)
    reactor.run()


def _allow_many_files() -> None:
    """Each listener is an open file."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
