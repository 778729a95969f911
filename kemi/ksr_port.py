"""Kamailio's KSR object as typed Python: ints and None become bool, str and exceptions, in this one place.

KSR never raises on a refused operation: it answers a negative int (which is truthy), 0 or False. Here success is
True, refusal is False, and a value that Kamailio cannot give as text (bytes that are not UTF-8) is UndecodableValue.
Decides nothing; imports nothing of Kamailio: kamailio.py hands the module in.
"""

from __future__ import annotations

import json
from typing import Any

from kemi.ksr_branches import Branches
from kemi.ksr_dialogs import Dialogs
from kemi.ksr_digest import Digest
from kemi.ksr_own import OwnRequests
from kemi.sip_request import SipRequest

#: Ours only: whoever else sends one is lying (contracts.md 3). POSIX regex on the header name.
INTERNAL_HEADERS = "^[Xx]-[Kk][Ss]-"
_INTERNAL_PREFIX = "x-ks-"
#: Branch flags of usrloc contacts: behind NAT (keep-alive packets), wants OPTIONS as keep-alive.
BRANCH_FLAG_NAT = 6
BRANCH_FLAG_PING = 7
#: nathelper tests for signalling: Contact is private (1), Via address differs from the source (2), Via port does (16).
NAT_TESTS_SIGNALLING = 1 | 2 | 16
#: Tests for media: Contact is private (1), Via address differs (2), SDP holds a private address (8). A port that
#: differs is what every TCP client has, and says nothing of its media.
NAT_TESTS_MEDIA = 1 | 2 | 8
#: The Via of a reply is ours: only its Contact can tell (1).
NAT_TESTS_REPLY = 1
#: fix_nated_sdp: replace the address in c= (2) and in o= (8).
SDP_MEDIA_ADDRESS, SDP_ORIGIN_ADDRESS = 2, 8
#: uac_reg_status (uac module): a REGISTER was sent and is not answered yet; so at each refresh, too.
REGISTRATION_ONGOING = -2
#: sanity module: Request-URI version and scheme (1, 2), required headers (4), CSeq (32, 64), Content-Length (128),
#: Expires (256), Proxy-Require (512: 420), URIs (1024), Via (16384); URIs: Request-URI, From, To.
SANITY_CHECKS = 1 | 2 | 4 | 32 | 64 | 128 | 256 | 512 | 1024 | 16384
SANITY_URIS = 7


class UndecodableValue(Exception):
    """A SIP field holds bytes that are not UTF-8 (RFC 3261 section 7 demands UTF-8)."""


class Fields:
    """Pseudo-variables that are read together, by one call into Kamailio: $_s() prints them into one text.

    The separator is legal in none of them but a quoted string; a message that holds one all the same gives a text of
    other than `count` parts, and each is then read by itself.
    """

    __slots__ = ("count", "names", "together")
    SEPARATOR = "|"

    def __init__(self, *names: str) -> None:
        self.names = names
        self.count = len(names)
        self.together = f"$_s({self.SEPARATOR.join(names)})"


_REQUEST = Fields(
    "$rm", "$ru", "$rU", "$rd", "$fU", "$fd", "$ft", "$tU", "$td", "$tt", "$ci", "$cs", "$si", "$sp", "$proto", "$Rp",
    "$ml", "$au", "$(hdr(Route)[0])", "$(hdr(Route)[1])",
)  # fmt: skip

#: How Kamailio prints a variable that is null.
_NULL = "<null>"


class KsrPort(Dialogs, Digest, OwnRequests, Branches):
    """Everything that kemi/ asks of Kamailio."""

    def __init__(self, ksr: Any) -> None:
        self._ksr = ksr
        self._get = ksr.pv.get

    # ---- reading

    def read_all(self, fields: Fields) -> list[str | None]:
        """Return several pseudo-variables as text, None for those that are null. Raises UndecodableValue."""
        try:
            text = self._get(fields.together)
        except UnicodeDecodeError:
            text = None  # one by one, to learn which
        values: list[str | None] = [] if text is None else text.split(Fields.SEPARATOR)
        if len(values) != fields.count:
            return [self.read(name) for name in fields.names]
        if _NULL in text:
            return [None if value == _NULL else value for value in values]
        return values

    def read(self, name: str) -> str | None:
        """Return a pseudo-variable as text; None when it is null."""
        try:
            value = self._get(name)
        except UnicodeDecodeError as error:
            raise UndecodableValue(name) from error
        return None if value is None else str(value)

    def text(self, name: str) -> str:
        """Return a pseudo-variable as text, "" when it is null."""
        return self.read(name) or ""

    def number(self, name: str) -> int:
        """Return a pseudo-variable as int, 0 when it is null or no number."""
        return _number(self.read(name))

    def set_avp(self, name: str, value: str) -> None:
        """Set an AVP of the transaction; an earlier value is replaced, not stacked: that is what [*] says."""
        self._ksr.pv.sets(f"$(avp({name})[*])", value)

    def name_call(self, call_id: str) -> None:
        """Tell the log which call a request belongs to; once a request, before anything else does."""
        self._ksr.pv.sets("$avp(ks_call)", call_id)

    def avp(self, name: str) -> str | None:
        """Return an AVP of the transaction."""
        return self.read(f"$avp({name})")

    def request(self) -> SipRequest:
        """Read the request. Raises UndecodableValue if a field that we need is not UTF-8."""
        (
            method, ruri, ruri_user, ruri_host, from_user, from_host, from_tag, to_user, to_host, to_tag, call_id,
            cseq, source_ip, source_port, transport, local_port, size_bytes, auth_user, route, second_route,
        ) = self.read_all(_REQUEST)  # fmt: skip
        if second_route is not None:
            route = self.headers("Route")
        return SipRequest(
            method or "",
            ruri or self._unparsed_ruri(),
            ruri_user or "",
            ruri_host.lower() if ruri_host else "",
            from_user or "",
            from_host.lower() if from_host else "",
            from_tag or "",
            to_user or "",
            to_host.lower() if to_host else "",
            to_tag,
            call_id or "",
            _number(cseq),
            source_ip or "",
            _number(source_port),
            transport or "",
            _number(local_port),
            _number(size_bytes),
            auth_user,
            route or "",
        )

    def _unparsed_ruri(self) -> str:
        """Return the Request-URI as it was sent: Kamailio hides one whose scheme it does not know."""
        words = self.text("$(mb{line.at,0})").split(" ")
        return words[1] if len(words) == 3 else ""

    def header(self, name: str) -> str | None:
        """Return the first header of this name."""
        return self.read(f"$hdr({name})")

    def headers(self, name: str) -> str:
        """Return all headers of this name, joined by commas; "" if there is none."""
        return ",".join(self.each_header(name))

    def each_header(self, name: str) -> list[str]:
        """Return all headers of this name, in order."""
        values: list[str] = []
        while (value := self.read(f"$(hdr({name})[{len(values)}])")) is not None:
            values.append(value)
        return values

    def has_body(self) -> bool:
        """Tell whether the message carries SDP."""
        return bool(self._ksr.textops.has_body_type("application/sdp") > 0)

    def audio_on_hold(self) -> bool:
        """Tell whether the SDP puts the audio on hold (RFC 3264 section 8.4)."""
        return bool(self._ksr.textops.is_audio_on_hold() > 0)

    def branch_index(self) -> int:
        """Return the number of the branch that is sent or that a reply came from."""
        return self.number("$T_branch_idx")

    def dialog(self, name: str) -> str | None:
        """Return a variable of the dialog."""
        try:
            value = self._ksr.dialog.var_get(name)
        except UnicodeDecodeError as error:
            raise UndecodableValue(name) from error
        return None if value is None else str(value)

    # ---- checks

    def is_sane(self) -> bool:
        """Run the sanity module; it answers a bad request itself where an answer is possible."""
        return bool(self._ksr.sanity.sanity_check(SANITY_CHECKS, SANITY_URIS) > 0)

    def within_max_forwards(self) -> bool:
        """Decrement Max-Forwards (RFC 3261 section 16.3); False when it is used up."""
        return bool(self._ksr.maxfwd.process_maxfwd(70) > 0)

    def is_flooding(self) -> bool:
        """Count the request in pike; True when its source sends too many."""
        return bool(self._ksr.pike.pike_check_req() < 0)

    def is_for_us(self) -> bool:
        """Tell whether the Request-URI names this proxy's own address."""
        return bool(self._ksr.is_myself_ruri())

    def is_behind_nat(self, tests: int = NAT_TESTS_SIGNALLING) -> bool:
        """Run nathelper's tests on the message."""
        return bool(self._ksr.nathelper.nat_uac_test(tests) > 0)

    # ---- changing the message

    def strip_internal_headers(self) -> bool:
        """Remove our own headers, which a stranger sent, at once; True if any was there."""
        if not self._may_hold_internal_headers() or self._ksr.textops.remove_hf_re(INTERNAL_HEADERS) <= 0:
            return False
        # Without this the attacker's value would still be read below.
        self._ksr.textopsx.msg_apply_changes()
        return True

    def remove_internal_headers(self) -> None:
        """Remove our own headers when the message is sent on."""
        if self._may_hold_internal_headers():
            self._ksr.textops.remove_hf_re(INTERNAL_HEADERS)

    def _may_hold_internal_headers(self) -> bool:
        """Tell whether it is worth to look: Kamailio compiles the regex anew at each look.

        Only a text that was seen to the end of its headers is proof that there is none.
        """
        try:
            text = self._get("$mb")
        except UnicodeDecodeError:
            return True
        return text is None or "\r\n\r\n" not in text or _INTERNAL_PREFIX in text.lower()

    def append_header(self, line: str) -> None:
        """Add a header line (without line end) to the request that is sent on."""
        self._ksr.hdr.append(line + "\r\n")

    def append_reply_header(self, line: str) -> None:
        """Add a header line to the reply that we send."""
        self._ksr.hdr.append_to_reply(line + "\r\n")

    def set_ruri(self, uri: str) -> bool:
        """Set the Request-URI."""
        return bool(self._ksr.seturi(uri))

    def set_next_hop(self, uri: str) -> None:
        """Send to this URI, whatever the Request-URI says."""
        self._ksr.setdsturi(uri)

    def clear_next_hop(self) -> None:
        """Send by the Request-URI again."""
        self._ksr.resetdsturi()

    def replace_from(self, display: str, uri: str) -> bool:
        """Replace From towards the callee; the uac module restores it in everything that comes back."""
        return bool(self._ksr.uac.uac_replace_from(display, uri) > 0)

    def keep_codecs(self, names: str) -> bool:
        """Keep only these codecs (comma list) in the audio of the SDP."""
        return bool(self._ksr.sdpops.keep_codecs_by_name(names, "audio") > 0)

    def add_contact_alias(self) -> None:
        """Remember the real source in the Contact, so that in-dialog requests reach a phone behind NAT.

        Applied at once (allowed in request routes and in the reply route before tm): the dialog module must store
        the Contact with it, for its own OPTIONS and BYE.
        """
        self._ksr.nathelper.set_contact_alias()
        self._ksr.textopsx.msg_apply_changes()

    def use_contact_alias(self) -> None:
        """Send to the address that an earlier add_contact_alias wrote into the Request-URI."""
        self._ksr.nathelper.handle_ruri_alias()

    def force_rport(self) -> None:
        """Answer to the source port (RFC 3581)."""
        self._ksr.force_rport()

    # ---- answering and relaying

    def reply(self, code: int, reason: str) -> None:
        """Answer the request, within its transaction if it has one."""
        self._ksr.sl.send_reply(int(code), reason)

    def mark_own_reply(self) -> None:
        """Let a media host know that the next reply is made here and that no carrier refused (contracts.md 3)."""
        self.append_reply_header("X-KS-By: proxy")

    def new_transaction(self) -> bool:
        """Create the transaction, so that retransmissions are absorbed from here on."""
        return bool(self._ksr.tm.t_newtran() > 0)

    def is_retransmission(self) -> bool:
        """Tell whether a transaction handles this request already; it then has repeated its last reply."""
        if self._ksr.tmx.t_precheck_trans() > 0:
            self._ksr.tm.t_check_trans()
            return True
        return bool(self._ksr.tm.t_check_trans() == 0)

    def belongs_to_transaction(self) -> bool:
        """Tell whether a CANCEL or an ACK meets the INVITE transaction it belongs to."""
        return bool(self._ksr.tm.t_check_trans() > 0)

    def reply_has_transaction(self) -> bool:
        """Tell whether a reply belongs to a transaction of this process's lifetime."""
        return bool(self._ksr.tm.t_check_trans() > 0)

    def relay(self) -> bool:
        """Relay statefully."""
        return bool(self._ksr.tm.t_relay() > 0)

    def arm(self, *, branch: str = "", reply: str = "", failure: str = "") -> None:
        """Name the callbacks for the branches, replies and failure of this transaction."""
        if branch:
            self._ksr.tm.t_on_branch(branch)
        if reply:
            self._ksr.tm.t_on_reply(reply)
        if failure:
            self._ksr.tm.t_on_failure(failure)

    def set_timers(self, *, ring_timeout_ms: int, no_reply_timeout_ms: int) -> None:
        """Set how long a target may ring, and how long it may give no reply at all."""
        self._ksr.tm.t_set_fr(ring_timeout_ms, no_reply_timeout_ms)

    def is_cancelled(self) -> bool:
        """Tell whether the caller cancelled the transaction."""
        return bool(self._ksr.tm.t_is_canceled() > 0)

    def timed_out(self) -> bool:
        """Tell whether the winning final response is our own timeout."""
        return bool(self._ksr.tm.t_branch_timeout() > 0)

    def was_answered_provisionally(self) -> bool:
        """Tell whether any reply was received on the failed branch."""
        return bool(self._ksr.tm.t_branch_replied() > 0)

    def forget_replies(self) -> None:
        """Forget the responses of earlier attempts; only before another branch or a reply of our own."""
        self._ksr.tm.t_drop_replies("a")

    def drop_branch(self) -> None:
        """Do not send this branch."""
        self._ksr.set_drop()

    def drop_reply(self) -> None:
        """Do not send this reply on (in the reply route)."""
        self._ksr.set_drop()

    def loose_route(self) -> bool:
        """Follow the Route set (RFC 3261 section 16.4)."""
        return bool(self._ksr.rr.loose_route() > 0)

    def record_route(self, parameters: str = "") -> None:
        """Stay in the path of the dialog; the parameters (";name=value") go into our Record-Route."""
        if parameters:
            self._ksr.rr.add_rr_param(parameters)
        self._ksr.rr.record_route()

    def goes_downstream(self) -> bool:
        """Tell whether an in-dialog request comes from the caller's side."""
        return bool(self._ksr.rr.is_direction("downstream") > 0)

    # ---- accounts

    def save_contacts(self, aor: str, max_contacts: int) -> int:
        """Store the contacts of a REGISTER; it answers itself. 1 added, 2 updated, 3 removed, else refused."""
        self._ksr.pv.seti("$xavp(reg=>max_contacts)", max_contacts)
        return int(self._ksr.registrar.save_uri("location", 0, aor))

    def keep_registration_source(self) -> None:
        """Note from where this REGISTER really came: its contact is reached there."""
        self._ksr.nathelper.fix_nated_register()

    def mark_registration_nated(self) -> None:
        """Note that the contact of this REGISTER is behind NAT: it wants keep-alives, and its media a relay."""
        self._ksr.setbflag(BRANCH_FLAG_NAT)
        self._ksr.setbflag(BRANCH_FLAG_PING)

    def is_registered(self, aor: str) -> bool:
        """Tell whether an AoR has a contact at this proxy."""
        return bool(self._ksr.registrar.registered_uri("location", aor) > 0)

    def branch_is_nated(self) -> bool:
        """Tell whether the contact of this branch registered from behind NAT."""
        return bool(self._ksr.isbflagset(BRANCH_FLAG_NAT))

    def send_from(self, socket: str) -> None:
        """Send from the listen socket of this name (conf/kamailio.cfg: public, internal)."""
        self._ksr.corex.set_send_socket_name(socket)

    def remove_header(self, name: str) -> None:
        """Remove all headers of this name."""
        self._ksr.textops.remove_hf(name)

    def replace_header(self, name: str, value: str) -> None:
        """Put one header in the place of all of this name; "" only removes them."""
        self._ksr.textops.remove_hf(name)
        if value:
            self.append_header(f"{name}: {value}")

    # ---- media

    def show_source_in_sdp(self) -> None:
        """Write the address that the message came from over the private one in its SDP (media and origin)."""
        self._ksr.nathelper.fix_nated_sdp(SDP_MEDIA_ADDRESS | SDP_ORIGIN_ADDRESS)

    def use_relay(self, number: int) -> bool:
        """Choose the relay for the next command on this message; False if there is none of that number."""
        return bool(self._ksr.rtpproxy.set_rtpproxy_set(number) > 0)

    def believe_in_relay(self, control: tuple[str, int]) -> None:
        """Let the next command go to a relay that the module takes for dead."""
        self.rpc("rtpproxy.enable", f"udp:{control[0]}:{control[1]}", 1)

    def media_offer(self, flags: str) -> bool:
        """Put the relay into the path of the SDP offer; False when it cannot be had."""
        return bool(self._ksr.rtpproxy.rtpproxy_offer(flags) > 0)

    def media_answer(self, flags: str) -> bool:
        """Put the relay into the path of the SDP answer; False when it has no such session, or is away."""
        return bool(self._ksr.rtpproxy.rtpproxy_answer(flags) > 0)

    def media_statistics(self) -> str:
        """Return RTPProxy's counters of this session, "E" and a number if it has none; "" if it is away."""
        return self.text("$rtpstat")

    def media_delete(self) -> bool:
        """End the relay session; the controller journals what it has counted. False: the relay counts for dead."""
        return bool(self._ksr.rtpproxy.rtpproxy_destroy("b") > 0)

    def set_sdp(self, text: str) -> None:
        """Replace the SDP, and whatever was changed in it before; "" leaves none."""
        self._ksr.textops.set_body(text, "application/sdp")

    # ---- trunks

    def authenticate_to_gateway(self, user: str, realm: str, ha1: str) -> bool:
        """Add credentials to the next attempt, answering the 401 or 407 that failed this one."""
        for name, value in (("uac_user", user), ("uac_realm", realm), ("uac_ha1", ha1)):
            self.set_avp(name, value)
        return bool(self._ksr.uac.uac_auth_mode(1) > 0)

    def trunk_is_registered(self, uuid: str) -> bool | None:
        """Tell whether a registration of ours stands at the carrier; None while a REGISTER is on its way."""
        status = self._ksr.uac.uac_reg_status(uuid)
        return None if status == REGISTRATION_ONGOING else bool(status > 0)

    # ---- shared tables

    def table_text(self, table: str, key: str) -> str | None:
        """Return an entry of a shared table as text."""
        value = self._ksr.htable.sht_get(table, key)
        return None if value is None else str(value)

    def table_set(self, table: str, key: str, value: str) -> None:
        """Set an entry of a shared table."""
        self._ksr.htable.sht_sets(table, key, value)

    def table_remove(self, table: str, key: str) -> None:
        """Remove an entry of a shared table."""
        self._ksr.htable.sht_rm(table, key)

    def table_increment(self, table: str, key: str) -> int:
        """Count up an entry of a shared table that has an initial value; return the new value."""
        return int(self._ksr.htable.sht_inc(table, key))

    # ---- the proxy itself

    def rpc(self, method: str, *parameters: str | int) -> Any:
        """Call one of Kamailio's own RPC methods; None when it fails."""
        command = {"jsonrpc": "2.0", "method": method, "params": list(parameters), "id": 1}
        self._ksr.jsonrpcs.exec(json.dumps(command))
        body = self.text("$jsonrpl(body)")
        return json.loads(body).get("result") if body else None

    def log_error(self, text: str) -> None:
        """Write an error line to the log."""
        self._ksr.err(_one_line(text))

    def log_info(self, text: str) -> None:
        """Write an information line to the log."""
        self._ksr.info(_one_line(text))


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


def _one_line(text: str) -> str:
    """Escape whatever could forge a further log line."""
    return text.encode("unicode_escape").decode("ascii")[:2000] + "\n"
