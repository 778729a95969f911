"""What the demonstration configures, by the very commands that an administrator types. Each is shown before it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from kalibri.config import Config

TENANT, DOMAIN = "demo", "demo.kalibri"
#: Passwords of the demonstration's accounts are no secret: they exist on loopback only.
ACCOUNTS = {"100": "pw100demo", "101": "pw101demo", "102": "pw102demo"}
DID = "74951000101"
#: The call centre: agents with their phones, a caller of our own, the queue, and the numbers that lead to it.
AGENTS = {"anna": "201", "boris": "202"}
IN_HOUSE_CALLER = "103"
CENTRE_ACCOUNTS = {"201": "pw201demo", "202": "pw202demo", IN_HOUSE_CALLER: "pw103demo"}
QUEUE, QUEUE_NUMBER, QUEUE_DID = "sales", "500", "74951000102"
#: Keys of a waiting caller: "call me back", then "yes, at this number" (the media host's menu).
CALLBACK_KEY, YES_KEY = "2", "1"

Ksctl = Callable[..., str]


@dataclass(frozen=True)
class Ports:
    """Where the demonstration's carriers and phones live, beside the proxy's own ports."""

    dead_carrier: int
    carrier: int
    calling_carrier: int
    phone: int
    busy_phone: int
    #: The first of several; each takes three ports: SIP, TLS, control.
    centre_phones: int

    @classmethod
    def beside(cls, config: Config) -> Ports:
        """Choose ports behind the proxy's."""
        first = config.proxy.sip_port + 100
        return cls(first, first + 2, first + 4, first + 6, first + 8, first + 20)


def is_configured(ksctl: Ksctl) -> bool:
    """Tell whether an earlier run has configured everything: the number is what comes last."""
    rows = json.loads(ksctl("number", "list", "-o", "json", quiet=True))
    return any(row["number"] == DID and row["tenant"] == TENANT for row in rows)


def configure(ksctl: Ksctl, ports: Ports) -> None:
    """Make tenant, accounts, carriers, number and routes."""
    ksctl("tenant", "add", TENANT, "--realm", DOMAIN, "--time-zone", "Europe/Moscow")
    ksctl("domain", "add", "-t", TENANT, DOMAIN)
    for username, password in ACCOUNTS.items():
        extra = ("--caller-number", "74951000100") if username == "100" else ()
        ksctl("account", "add", "-t", TENANT, username, "--password-file", "-", *extra, stdin=password)
    _gateways(ksctl, ports)
    _routes(ksctl)
    ksctl("number", "add", DID)
    ksctl("number", "assign", DID, "-t", TENANT, "--to", "account:101")


def _gateways(ksctl: Ksctl, ports: Ports) -> None:
    ksctl(
        "gateway",
        "add",
        "cheap",
        "127.0.0.1",
        "--port",
        str(ports.dead_carrier),
        "--no-probe",
        "--no-reply-timeout-ms",
        "700",
    )
    ksctl("gateway", "add", "dear", "127.0.0.1", "--port", str(ports.carrier), "--no-probe")
    source = ("--source", "127.0.0.1", "--source-port", str(ports.calling_carrier))
    ksctl(
        "gateway", "add", "incoming", "127.0.0.1", "--port", str(ports.calling_carrier), "--no-probe", *source
    )
    ksctl("gateway", "rate", "set", "cheap", "0.80")
    ksctl("gateway", "rate", "set", "dear", "1.50", "--first-increment", "1", "--next-increment", "1")
    ksctl("group", "add", "carriers", "cheap", "dear")


def _routes(ksctl: Ksctl) -> None:
    def route(priority: int, name: str, to: str, *more: str) -> None:
        ksctl("route", "add", "-t", TENANT, "--priority", str(priority), "--name", name, "--to", to, *more)

    route(10, "emergency", "group:carriers", "--b", "^112$", "--option", "emergency=true")
    route(20, "national prefix", "next", "--b", r"^8\d{10}$", "--b-mask", r"^8(\d{10})$", r"7\1")
    route(30, "premium is barred", "reject:403 Barred", "--b", r"^7809\d{7}$")
    route(40, "moved", f"redirect:sip:101@{DOMAIN}", "--b", "^900$")
    route(50, "Russia", "group:carriers", "--b", r"^7\d{10}$", "--direction", "account")


# ------------------------------------------------------------------------------------------ call centre


def is_centre_configured(ksctl: Ksctl) -> bool:
    """Tell whether an earlier run has configured the call centre: its number is what comes last."""
    rows = json.loads(ksctl("number", "list", "-o", "json", quiet=True))
    return any(row["number"] == QUEUE_DID and row["tenant"] == TENANT for row in rows)


def configure_centre(ksctl: Ksctl) -> None:
    """Make agents, their queue with music, positions, callbacks and recording, and the way to it."""
    for username, password in CENTRE_ACCOUNTS.items():
        ksctl("account", "add", "-t", TENANT, username, "--password-file", "-", stdin=password)
    media = {
        "language": "en",
        "music": "default",
        "announce_position": "yes",
        "announce_every_seconds": "10",
        "callback_key": CALLBACK_KEY,
    }
    heard = [word for name, value in media.items() for word in ("--media", f"{name}={value}")]
    rules = ("--strategy", "longest_idle", "--wrapup-seconds", "1", "--record", "--callback")
    ksctl("queue", "add", "-t", TENANT, QUEUE, *rules, *heard)
    for agent, account in AGENTS.items():
        ksctl("agent", "add", "-t", TENANT, agent, "--account", account)
    ksctl("queue", "member", "add", "-t", TENANT, QUEUE, *AGENTS)
    to = ("--to", f"queue:{QUEUE}")
    ksctl("route", "add", "-t", TENANT, "--priority", "5", "--name", "sales", *to, "--b", f"^{QUEUE_NUMBER}$")
    ksctl("number", "add", QUEUE_DID)
    ksctl("number", "assign", QUEUE_DID, "-t", TENANT, *to)
