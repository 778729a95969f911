"""Dialogs as Kamailio's dialog module keeps them: a part of KsrPort. Shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

#: The native route of conf/kamailio.cfg that a dialog runs when its time is up (KEMI has no callback of its own: in
#: Kamailio 5.6 the event "dialog:timeout" is prepared and never raised).
DIALOG_TIMEOUT_ROUTE = "DIALOG_TIMEOUT"
#: What a BYE of our own to the callee is made of ($dlg; "from" is the caller, "to" the callee).
_BYE_PARTS = (
    "callid",
    "from_uri",
    "from_tag",
    "from_cseq",
    "to_uri",
    "to_tag",
    "to_contact",
    "to_rs",
    "to_bindaddr",
)


class Dialogs:
    """What KsrPort knows of dialogs."""

    _ksr: Any

    if TYPE_CHECKING:  # KsrPort has them

        def text(self, name: str) -> str:
            """Return a pseudo-variable as text."""

        def number(self, name: str) -> int:
            """Return a pseudo-variable as a number."""

    def track_dialog(self) -> bool:
        """Follow the dialog that this INVITE opens; its time-out runs `ksr_dialog_timeout`.

        The dialog module's own BYEs at the time-out are not used: a side that answers the first one quickly lets it
        skip the second (as `hang_up`).
        """
        self._ksr.pv.sets("$dlg_ctx(timeout_route)", DIALOG_TIMEOUT_ROUTE)
        return bool(self._ksr.dialog.dlg_manage() > 0)

    def set_dialog(self, name: str, value: str) -> None:
        """Set a variable of the dialog; empty is as good as none, and none costs no row."""
        if value or self._ksr.dialog.var_get(name) is not None:
            self._ksr.dialog.var_sets(name, value)

    def is_known_dialog(self) -> bool:
        """Tell whether the dialog of an in-dialog request is followed."""
        return bool(self._ksr.dialog.is_known_dlg() > 0)

    def limit_dialog(self, seconds: int) -> None:
        """Let the dialog time out after this."""
        self._ksr.dialog.dlg_set_timeout(seconds)

    def find_dialog(self, sip_call_id: str, from_tag: str, to_tag: str) -> bool:
        """Go on with another dialog than that of the message; tell whether it exists."""
        return bool(self._ksr.dialog.dlg_get(sip_call_id, from_tag, to_tag) > 0)

    def send_options(self, *, to_caller: bool) -> None:
        """Send OPTIONS within the dialog that was found to one side; the reply comes to the reply route.

        The CSeq is the last that the side has seen from the other: a greater one would let it refuse what the other
        sends next (RFC 3261 section 12.2.2), and any answer will do.
        """
        ours, theirs = ("to", "from") if to_caller else ("from", "to")
        names = (f"{ours}_uri", f"{ours}_tag", f"{ours}_cseq", "callid")
        our_uri, our_tag, cseq, call_id = (self.text(f"$dlg({name})") for name in names)
        uri, tag, contact, routes, socket = (
            self.text(f"$dlg({theirs}_{name})") for name in ("uri", "tag", "contact", "rs", "bindaddr")
        )
        self._request_in_dialog(
            "OPTIONS",
            {
                "From": f"<{our_uri}>;tag={our_tag}",
                "To": f"<{uri}>;tag={tag}",
                "Call-ID": call_id,
                "CSeq": f"{int(cseq or 0)} OPTIONS",
            },
            target=contact,
            routes=routes,
            socket=socket,
        )

    def _request_in_dialog(
        self, method: str, headers: Mapping[str, str], *, target: str, routes: str, socket: str
    ) -> None:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        lines += ["Max-Forwards: 70", *([f"Route: {routes}"] if routes else [])]
        next_hop = routes.partition("<")[2].partition(">")[0]
        text = "".join(line + "\r\n" for line in lines)
        self._ksr.tm.t_uac_send(method, target, next_hop, socket, text, "")

    def hang_up(self, *, found: bool = False) -> None:
        """Send BYE to both sides of the dialog of this request, or of the one that was found.

        The dialog module's own "both" sends none to the second side when the first is quick to answer, so the callee's
        is ours. It takes the dialog from a context that the event of an ACK has cleared; dlg_manage finds it again.
        """
        if not found:
            self._ksr.dialog.dlg_manage()
        part = {name: self.text(f"$dlg({name})") for name in _BYE_PARTS}
        if not part["to_contact"]:
            return
        self._request_in_dialog(
            "BYE",
            {
                "From": f"<{part['from_uri']}>;tag={part['from_tag']}",
                "To": f"<{part['to_uri']}>;tag={part['to_tag']}",
                "Call-ID": part["callid"],
                "CSeq": f"{int(part['from_cseq'] or 0) + 1} BYE",
            },
            target=part["to_contact"],
            routes=part["to_rs"],
            socket=part["to_bindaddr"],
        )
        self._ksr.dialog.dlg_bye("caller")

    def watch_dialog(self) -> None:
        """Send OPTIONS within the dialog to both sides, so that a vanished phone ends it."""
        self._ksr.dialog.dlg_set_property("ka-src")
        self._ksr.dialog.dlg_set_property("ka-dst")

    def count(self, profile: str, value: str) -> int:
        """Return how many dialogs are in a profile."""
        self._ksr.dialog.get_profile_size(profile, value, "$var(profile_size)")
        return self.number("$var(profile_size)")

    def enter(self, profile: str, value: str) -> None:
        """Put the dialog into a profile."""
        self._ksr.dialog.set_dlg_profile(profile, value)

    def leave(self, profile: str, value: str) -> None:
        """Take the dialog out of a profile."""
        self._ksr.dialog.unset_dlg_profile(profile, value)
