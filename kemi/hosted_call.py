"""A call that an application of the media hosts takes, as a decision: which application, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from callcore.value import value
from kemi.ks_acd.model import MediaHost
from kemi.ks_route.model import Decision


@value(kw_only=True)
class ToHost(Decision):
    """Have a media host take the call; the application tells it to nobody, so a hidden number is not hidden from it."""

    #: X-KS-App.
    application: str
    #: What the host is told besides tenant, caller and called (X-KS-Arg); None: left out.
    arg: Mapping[str, object] = field(default_factory=dict)
    #: The host that must take it; None: any.
    host: MediaHost | None = None
