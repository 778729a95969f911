"""Words for states and kinds that the database stores as enums; tests compare them with schema.sql."""

from __future__ import annotations

from enum import StrEnum


class GatewayHealth(StrEnum):
    """Whether a gateway answers (SQL enum gateway_health)."""

    #: Not probed yet.
    UNKNOWN = "unknown"
    #: Answers OPTIONS, or is not probed and has not failed.
    UP = "up"
    #: OPTIONS unanswered, registration lost, or too many real failures.
    DOWN = "down"


class RegistrationState(StrEnum):
    """Our registration at a carrier (SQL enum registration_state)."""

    #: Not tried, or given up.
    UNREGISTERED = "unregistered"
    #: The carrier accepted the registration.
    REGISTERED = "registered"
    #: It was registered and is not any more.
    LOST = "lost"


class RelayMode(StrEnum):
    """When media goes through RTPProxy (SQL enum relay_mode)."""

    #: When a leg is behind NAT.
    AUTO = "auto"
    #: In every call.
    ALWAYS = "always"
    #: Never.
    NEVER = "never"


class NodeKind(StrEnum):
    """What a node runs (SQL enum node_kind)."""

    #: Kamailio.
    PROXY = "proxy"
    #: One RTPProxy process.
    RTP = "rtp"
    #: RTP controller.
    CONTROLLER = "controller"
    #: Media host.
    MEDIA = "media"


class DeliveryState(StrEnum):
    """Whether an event is still posted to a webhook (SQL enum delivery_state)."""

    #: To be sent, for the first time or again.
    PENDING = "pending"
    #: Given up; a person may try it again.
    DEAD = "dead"


class LetterState(StrEnum):
    """What became of the e-mail that carries a voice message (SQL enum letter_state)."""

    #: Nobody wants this message by e-mail.
    NONE = "none"
    #: To be sent, for the first time or again.
    PENDING = "pending"
    #: A mail server took it.
    SENT = "sent"
    #: Given up; a person may have it sent again.
    DEAD = "dead"


class JobOutcome(StrEnum):
    """What became of a run of a job (SQL enum job_outcome)."""

    #: Not finished; or its process died, if nobody holds its lock.
    RUNNING = "running"
    #: Did what it had to.
    OK = "ok"
    #: Raised an error.
    FAILED = "failed"


class ApiScope(StrEnum):
    """What a token of the API may do (SQL enum api_scope)."""

    #: Lists and shows.
    READ = "read"
    #: What an agent does for himself.
    AGENT = "agent"
    #: Read, and steering calls, queues and agents.
    SUPERVISOR = "supervisor"
    #: Everything of the tenant, configuration included.
    ADMIN = "admin"


class ReportEvery(StrEnum):
    """How often a scheduled report is sent (SQL enum report_every)."""

    #: Each morning, about the day before.
    DAY = "day"
    #: On Mondays, about the week before.
    WEEK = "week"
    #: On the first of a month, about the month before.
    MONTH = "month"
