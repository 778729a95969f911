"""What the ids of a front command mean, and what a node gets in their place. Pure.

Kamailio's call-id is `<SIP Call-ID>;<X-KS-Call uuid>` (rtpproxy module, flag b), a media host's is
`<owner>:<X-KS-Call uuid>:<leg>`. Nodes only get hashes: what a stranger wrote into his SIP is never part of a
command, a log line or a path there. The hash is the same on every controller, so each finds the others' sessions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_EXTRA = re.compile(rf"(?P<call_id>.+);(?P<call>{_UUID})", re.DOTALL)
_OWNED = re.compile(rf"(?P<owner>[^:]{{1,80}}):(?P<call>{_UUID}):(?P<leg>.{{1,80}})", re.DOTALL)
_SUFFIX = re.compile(r";[0-9]{1,3}\Z", re.ASCII)

#: Owner of the sessions that Kamailio asks for.
PROXY = ""


@dataclass(frozen=True, slots=True)
class SessionId:
    """The call-id of a front command, taken apart."""

    #: As it came.
    key: str
    #: X-KS-Call, lower case; "" when it was not told.
    call: str
    #: SIP Call-ID of a session of the proxy, else "".
    sip_call_id: str
    #: Name of the media host, or PROXY.
    owner: str


@lru_cache(maxsize=4096)
def session_id(key: str) -> SessionId:
    """Take a call-id apart."""
    match = _EXTRA.fullmatch(key)
    if match is not None:
        return SessionId(key, match["call"].lower(), match["call_id"], PROXY)
    match = _OWNED.fullmatch(key)
    if match is not None:
        return SessionId(key, match["call"].lower(), "", match["owner"])
    return SessionId(key, "", key, PROXY)


def handle(key: str) -> str:
    """Return what a session is called at its node."""
    return blake2b(key.encode(errors="surrogateescape"), digest_size=16).hexdigest()


@lru_cache(maxsize=4096)
def tag_handle(tag: str) -> str:
    """Return what a tag is called at the node; the suffix that tells the media streams apart stays."""
    if not tag:
        return ""
    bare, suffix = split_tag(tag)
    return blake2b(bare.encode(errors="surrogateescape"), digest_size=10).hexdigest() + suffix


@lru_cache(maxsize=4096)
def split_tag(tag: str) -> tuple[str, str]:
    """Split a tag into itself and the suffix of its media stream, ";1" or ""."""
    match = _SUFFIX.search(tag)
    if match is None or match.start() == 0:
        return tag, ""
    return tag[: match.start()], match[0]
