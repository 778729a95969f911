"""Decides per leg whether media is relayed, and what RTPProxy may believe of an SDP. Pure."""

from __future__ import annotations


def relay_wanted(*, caller_nat: bool, callee_nat: bool, modes: tuple[str, ...]) -> bool:
    """Tell whether a call is relayed.

    modes: what route, caller and callee ask for (auto, always, never), most binding first. The first that is not
    auto decides; when all are auto, a leg behind NAT needs the relay (it cannot be reached otherwise).
    """
    for mode in modes:
        if mode != "auto":
            return mode == "always"
    return caller_nat or callee_nat


def offer_flags(*, sender_nat: bool) -> str:
    """Return the flags of Kamailio's rtpproxy module for an SDP of this sender.

    b: tell the controller the call (extra_id_pv). c, o: rewrite the session's and the origin's address too. r: believe
    the address in the SDP; a sender behind NAT gives a private one, so RTPProxy starts with the source of the SIP
    message and learns from the first packet.
    """
    return "bco" if sender_nat else "bcor"
