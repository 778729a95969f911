"""One RTP controller as a process.

python -m rtpproxy_ctl.controller --name rtpc-1 [--home DIRECTORY] [--config FILE]
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import click

from kalibri.config import Config
from kalibri.program import daemon_options
from rtpproxy_ctl.controller.app import Controller


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--name", required=True, help="rtpc-1, rtpc-2 …")
@daemon_options
def main(config: Config, name: str) -> None:
    """Run the controller until SIGTERM."""
    if not name.removeprefix("rtpc-").isdecimal():
        raise click.BadParameter("write rtpc-1, rtpc-2 …", param_hint="--name")
    from twisted.internet import reactor as default_reactor  # installs it: not before main

    reactor: Any = default_reactor
    controller = Controller(config, name, reactor)
    reactor.addSystemEventTrigger("during", "shutdown", controller.stop)
    controller.start()
    gc.freeze()  # what is there now stays: the collector need not look at it again and again
    gc.set_threshold(20_000, 20, 50)
    reactor.run()
    sys.exit(0 if controller.is_open else 1)


if __name__ == "__main__":
    main()
