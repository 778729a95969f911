"""E-mail leaves here: one message to an SMTP server, by the section `mail` of the configuration.

Decides nothing about contents. Whoever calls must expect Unavailable: servers go away.
"""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage

from callcore.errors import Refused, Unavailable
from kalibri.config_sections import MailConfig


class NoMail(Refused):
    """No SMTP server is configured (mail.host)."""

    error_id = "no-mail"


def send(config: MailConfig, message: EmailMessage) -> dict[str, str]:
    """Send a message; return the recipients that the server refused, and why.

    Raises NoMail without a server, Unavailable if it is not there, refuses everybody, or its certificate is bad.
    """
    if config.host is None:
        raise NoMail()
    try:
        with _connected(config, config.host) as server:
            refused = server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        raise Unavailable(f"{config.host} takes no recipient: {_told(error.recipients)}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable(f"{config.host}: {error or type(error).__name__}") from error
    return {name: _answer(answer) for name, answer in refused.items()}


def _connected(config: MailConfig, host: str) -> smtplib.SMTP:
    timeout = float(config.timeout_seconds)
    if config.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, config.port, timeout=timeout, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(host, config.port, timeout=timeout)
    try:
        if config.security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if config.user is not None:
            server.login(config.user, _password(config))
    except BaseException:
        server.close()
        raise
    return server


def _password(config: MailConfig) -> str:
    if config.password_file is None:
        return ""
    return (config.password_file.read_text(encoding="utf-8").splitlines() or [""])[0]


def _answer(answer: tuple[int, bytes]) -> str:
    code, text = answer
    return f"{code} {text.decode('utf-8', 'replace')}"


def _told(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{name}: {_answer(answer)}" for name, answer in refused.items())
