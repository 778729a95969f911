"""Media of legs to and from a media host: anchored by the host, not relayed by us (contracts.md 7). Shell.

The host's RTP node learns where a phone behind NAT is from its first packet, as Kamailio's relay would. Until then it
sends to what the SDP says; so a private address there is replaced by the one that the SIP message came from, and the
host need not know what is behind NAT.
"""

from __future__ import annotations

from kemi.worker import Worker

#: Variable of the dialog: who has its media; only "host" is ever set.
_MEDIA = "ks_media"


def mark(worker: Worker) -> None:
    """Note in the dialog that a media host has its media: no RTP command of ours from now on."""
    worker.port.set_dialog(_MEDIA, "host")
    worker.port.set_dialog("ks_relay", "0")


def is_hosted(worker: Worker) -> bool:
    """Tell whether a media host has the media of this dialog."""
    return worker.port.dialog(_MEDIA) == "host"


def show_source(worker: Worker, *, nat: bool) -> None:
    """Within a hosted dialog: correct the SDP of a phone behind NAT."""
    if nat and worker.port.has_body() and is_hosted(worker):
        worker.port.show_source_in_sdp()
