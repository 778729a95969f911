"""What a test phone or carrier does with an incoming call, as data.

carrier.plan = Plan.answer(ring_after=0.1, final_after=0.5)         # for every call
carrier.plans += [Plan.reject(503, headers=[("Retry-After", "30")]), Plan.silence()]   # the next two
carrier.choose = lambda invite: Plan.reject(486) if "777" in invite.uri else Plan.answer()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

HeaderTuple: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Plan:
    """The course of one incoming call; seconds from the INVITE (ring) and from the ringing (final)."""

    #: 100 Trying at once.
    trying: bool = True
    #: 180 or 183, or None for no ringing.
    ring_code: int | None = 180
    ring_after: float = 0.0
    #: Final code, or None: rings until the caller gives up.
    final: int | None = 200
    final_after: float = 0.0
    reason: str = ""
    #: Headers of the final response.
    headers: HeaderTuple = ()
    #: Headers of the provisional response.
    ring_headers: HeaderTuple = ()
    #: Provisional response with 100rel (PRACK) when the caller can.
    reliable: bool = False
    #: Provisional response with SDP.
    early_media: bool = False
    #: Seconds from the ACK to our BYE; None: the other side hangs up.
    bye_after: float | None = None
    #: Never any answer, not even 100.
    silent: bool = False
    #: Nothing by itself after 100: the test drives the call.
    manual: bool = False

    @classmethod
    def answer(
        cls,
        *,
        ring_after: float = 0.0,
        final_after: float = 0.0,
        ring_code: int | None = 180,
        bye_after: float | None = None,
        reliable: bool = False,
        early_media: bool = False,
        headers: HeaderTuple | list[tuple[str, str]] = (),
    ) -> Plan:
        """Ring and answer."""
        return cls(
            ring_after=ring_after,
            final_after=final_after,
            ring_code=ring_code,
            bye_after=bye_after,
            reliable=reliable,
            early_media=early_media,
            headers=tuple(headers),
        )

    @classmethod
    def reject(
        cls,
        code: int,
        reason: str = "",
        *,
        ring_code: int | None = None,
        final_after: float = 0.0,
        headers: HeaderTuple | list[tuple[str, str]] = (),
    ) -> Plan:
        """Refuse with `code`, after ringing when `ring_code` is given."""
        return cls(
            ring_code=ring_code, final=code, final_after=final_after, reason=reason, headers=tuple(headers)
        )

    @classmethod
    def redirect(cls, *contacts: str, code: int = 302) -> Plan:
        """Answer 302 with these Contact URIs."""
        return cls(ring_code=None, final=code, headers=tuple(("Contact", f"<{uri}>") for uri in contacts))

    @classmethod
    def ring(cls, ring_code: int = 180, *, early_media: bool = False, reliable: bool = False) -> Plan:
        """Ring and never answer (a CANCEL ends it)."""
        return cls(ring_code=ring_code, final=None, early_media=early_media, reliable=reliable)

    @classmethod
    def trying_only(cls) -> Plan:
        """Send 100 and nothing else."""
        return cls(ring_code=None, final=None)

    @classmethod
    def silence(cls) -> Plan:
        """Never answer anything of this call: a gateway that is gone."""
        return cls(trying=False, ring_code=None, final=None, silent=True)

    @classmethod
    def by_test(cls) -> Plan:
        """Send 100 and leave the rest to the test: `call.ring()`, `call.answer()`, `call.reject(…)`."""
        return cls(ring_code=None, final=None, manual=True)
