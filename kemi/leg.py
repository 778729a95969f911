"""Legs of a call that a media host asked for: their own events, so that they do not mix with the caller's own. Pure.

A call through a media host has several SIP dialogs with one call id. Only the caller's makes the CDR: its events are
"call.*"; those of the others are "leg.*" with the kind of leg, told in the story and not folded.
"""

from __future__ import annotations


def kind_of(kind: str, leg: str) -> str:
    """Return the kind of an event: call.ring of a caller's own dialog is leg.ring of another."""
    return f"leg.{kind.removeprefix('call.')}" if leg else kind


def write_dialog(call_id: str, leg: str) -> str:
    """Return the value of the dialog variable ks_leg."""
    return f"{call_id}/{leg}"


def read_dialog(value: str) -> tuple[str, str]:
    """Return call id and leg of the dialog variable ks_leg."""
    call_id, _, leg = value.partition("/")
    return call_id, leg
