"""A mail server of our own that keeps what it takes.

with Postman().serve() as controller:     # controller.port
"""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from tests.support.net_ports import free_port


class Postman:
    """What the server does with letters."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.to: list[list[str]] = []
        #: Where it is served.
        self.port = 0

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self.letters.append(email.message_from_bytes(content, policy=email.policy.default))
        self.to.append(list(envelope.rcpt_tos))
        return "250 OK"

    @contextmanager
    def serve(self) -> Iterator[Controller]:
        """Run the server."""
        controller = Controller(self, hostname="127.0.0.1", port=free_port())
        controller.start()
        self.port = controller.port
        try:
            yield controller
        finally:
            controller.stop()
