"""Media of legs to and from a media host: anchored by the host, not relayed by us (contracts.md 7). Shell.

The host's RTP node learns where a phone behind NAT is from its first packet, as Kamailio's relay would. Until then it
sends to what the SDP says; so a private address there is replaced by the one that the SIP message came from, and the
host need not know what is behind NAT.
"""

from __future__ import annotations

from kemi.tenancy import media_host_at
from kemi.worker import Worker

#: Variable of the dialog: who has its media; only "host" is ever set.
_MEDIA = "ks_media"
#: Variable of the dialog: name of the media host at one end of it.
_HOST = "ks_host"


def mark(worker: Worker) -> None:
    """Note in the dialog that a media host has its media: no RTP command of ours from now on."""
    worker.port.set_dialog(_MEDIA, "host")
    worker.port.set_dialog("ks_relay", "0")


def mark_host(worker: Worker, hostport: str) -> None:
    """Note which host it is: when it dies, ks-acd ends its dialogs, so that no phone waits for BYE from a dead one."""
    name = media_host_at(worker.directory.system, hostport)
    if name:
        worker.port.set_dialog(_HOST, name)


def is_hosted(worker: Worker) -> bool:
    """Tell whether a media host has the media of this dialog."""
    return worker.port.dialog(_MEDIA) == "host"


def show_source(worker: Worker, *, nat: bool) -> None:
    """Within a hosted dialog: correct the SDP of a phone behind NAT."""
    if nat and worker.port.has_body() and is_hosted(worker):
        worker.port.show_source_in_sdp()
