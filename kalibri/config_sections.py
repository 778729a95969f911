"""The sections of the configuration: their keys, defaults, ranges. conf/kalibri.yaml explains each to people.

Decides nothing and reads nothing: kalibri/config.py does.
"""

# ruff: noqa: RUF009 (key() makes a dataclass field, as dataclasses.field() does)

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kalibri.config_checks import Check, ip_address, level, networks, one_of, pattern


def key(
    default: Any, *, minimum: int | None = None, maximum: int | None = None, check: Check | None = None
) -> Any:
    """Declare one configuration key: default, allowed range (both ends included), further check."""
    return field(default=default, metadata={"minimum": minimum, "maximum": maximum, "check": check})


_ARCHIVE = pattern(r"dir:/.+|s3://[a-z0-9.-]+(/.*)?", "dir:/path or s3://bucket/prefix")


@dataclass(frozen=True, kw_only=True)
class DatabaseConfig:
    """Section `database`."""

    #: libpq connection string; None: the private cluster of this instance.
    dsn: str | None = key(None)
    port: int = key(5432, minimum=1, maximum=65535)
    connect_timeout_ms: int = key(200, minimum=10, maximum=60_000)
    statement_timeout_ms: int = key(200, minimum=10, maximum=60_000)


@dataclass(frozen=True, kw_only=True)
class ProxyConfig:
    """Section `proxy`: Kamailio."""

    listen_address: str = key("127.0.0.1", check=ip_address)
    sip_port: int = key(5060, minimum=1, maximum=65535)
    tls_port: int = key(5061, minimum=1, maximum=65535)
    #: PEM files; None: one of our own, signed by itself.
    tls_certificate: Path | None = key(None)
    tls_private_key: Path | None = key(None)
    internal_port: int = key(5066, minimum=1, maximum=65535)
    workers: int = key(4, minimum=1, maximum=64)
    tcp_workers: int = key(2, minimum=1, maximum=64)
    digest_algorithm: str = key("MD5", check=one_of("MD5", "SHA-256"))
    max_message_bytes: int = key(16_384, minimum=1024, maximum=65_535)
    #: Requests of one source address in two seconds, before it is blocked; 0: no limit.
    flood_requests_per_2s: int = key(60, minimum=0, maximum=1_000_000)
    #: Lock-out of who guesses passwords (callcore/lockout.py). Wrong passwords of one user name from one source, and
    #: user names that failed from one source, before a lock; 0: none.
    lockout_failures: int = key(10, minimum=0, maximum=1_000_000)
    lockout_users: int = key(20, minimum=0, maximum=1_000_000)
    #: Failures count together within so many seconds from the first; a lock lasts so many.
    lockout_window_seconds: int = key(600, minimum=1, maximum=86_400)
    lockout_seconds: int = key(600, minimum=1, maximum=86_400)
    #: Both sides of an agent's conversation are asked so often whether they are still there; 0: never.
    far_end_seconds: int = key(0, minimum=0, maximum=3600)
    options_ping_seconds: int = key(10, minimum=1, maximum=3600)
    nat_ping_seconds: int = key(30, minimum=5, maximum=3600)
    default_expires_seconds: int = key(600, minimum=30, maximum=86_400)
    min_expires_seconds: int = key(60, minimum=10, maximum=86_400)
    max_expires_seconds: int = key(3600, minimum=60, maximum=86_400)
    shared_memory_mb: int = key(128, minimum=16, maximum=65_536)
    private_memory_mb: int = key(16, minimum=4, maximum=1024)


@dataclass(frozen=True, kw_only=True)
class RtpConfig:
    """Section `rtp`: RTPProxy nodes of this host."""

    #: Processes; None: one for each processor core.
    nodes: int | None = key(None, minimum=1, maximum=256)
    listen_address: str = key("127.0.0.1", check=ip_address)
    control_base_port: int = key(22_222, minimum=1, maximum=65_000)
    #: RTP controllers; each takes three ports, ten apart: commands, notifications, metrics.
    controllers: int = key(2, minimum=1, maximum=8)
    controller_base_port: int = key(22_100, minimum=1, maximum=65_000)
    #: With less than so much free space nothing is recorded.
    record_min_free_mb: int = key(500, minimum=1, maximum=1_000_000)
    port_min: int = key(10_000, minimum=1024, maximum=65_534)
    port_max: int = key(19_998, minimum=1024, maximum=65_534)


@dataclass(frozen=True)
class ControllerPorts:
    """Where one RTP controller listens."""

    address: str
    #: Commands: UDP and TCP.
    control: int
    #: What nodes tell: TCP.
    notify: int
    #: Prometheus text: HTTP.
    metrics: int


@dataclass(frozen=True, kw_only=True)
class MediaConfig:
    """Section `media`: media hosts of this machine."""

    #: Processes.
    hosts: int = key(1, minimum=0, maximum=64)
    listen_address: str = key("127.0.0.1", check=ip_address)
    #: UDP port of the first host for SIP, and its TCP port for what RTP nodes report; the next hosts follow.
    base_port: int = key(5080, minimum=1, maximum=65_000)
    #: Calls at once of one host.
    capacity: int = key(400, minimum=1, maximum=100_000)
    #: How long a host that is stopped waits for its conversations.
    stop_seconds: int = key(5, minimum=0, maximum=86_400)
    #: Connections of one host to the database.
    connections: int = key(3, minimum=1, maximum=32)


@dataclass(frozen=True, kw_only=True)
class StunConfig:
    """Section `stun`: coturn, answering STUN only."""

    enabled: bool = key(True)
    port: int = key(3478, minimum=1, maximum=65535)


@dataclass(frozen=True, kw_only=True)
class RoutingConfig:
    """Section `routing`."""

    #: Length of call for which prices of gateways are compared.
    expected_call_seconds: int = key(180, minimum=1, maximum=86_400)
    #: Failures in a row that take a gateway out.
    gateway_failure_limit: int = key(5, minimum=1, maximum=1000)
    gateway_penalty_seconds: int = key(30, minimum=1, maximum=3600)
    home_country_code: str = key("7", check=pattern(r"[1-9][0-9]{0,2}", '1 to 3 digits, as "7"'))


@dataclass(frozen=True, kw_only=True)
class JournalConfig:
    """Section `journal`."""

    #: None: <home>/journal.
    directory: Path | None = key(None)
    max_line_bytes: int = key(65_536, minimum=1024, maximum=1_048_576)


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """Section `index`: what ks-index builds."""

    #: None: <home>/index.
    directory: Path | None = key(None)
    fold_after_changes: int = key(2000, minimum=1, maximum=1_000_000)
    fold_after_seconds: int = key(300, minimum=1, maximum=86_400)


@dataclass(frozen=True, kw_only=True)
class RecordingConfig:
    """Section `recording`: ks-rec, and where recordings are kept."""

    #: None: <home>/recordings.
    directory: Path | None = key(None)
    #: Recordings worked on at once by one ks-rec.
    workers: int = key(1, minimum=1, maximum=64)
    #: A worker that has not renewed its claim for so long has lost it.
    lease_seconds: int = key(60, minimum=1, maximum=86_400)
    narrow_kbps: int = key(32, minimum=16, maximum=64)
    wide_kbps: int = key(64, minimum=24, maximum=160)
    #: Less free space than this raises an alarm; 0: never.
    alarm_free_mb: int = key(1024, minimum=0, maximum=1_000_000_000)
    #: dir:/path or s3://bucket/prefix; None: there is none.
    archive: str | None = key(None, check=_ARCHIVE)
    s3_endpoint: str | None = key(None, check=pattern(r"https?://.+", "a URL"))
    s3_region: str = key("us-east-1")
    #: Two lines: access key id, secret access key; None: as boto3 finds them.
    s3_credentials_file: Path | None = key(None)


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Section `prompt`."""

    #: None: <home>/prompts.
    directory: Path | None = key(None)
    #: Loudness of speech, in dB below full scale (RMS of what is not silence).
    speech_dbfs: int = key(-20, minimum=-40, maximum=-6)
    music_dbfs: int = key(-26, minimum=-50, maximum=-6)


@dataclass(frozen=True, kw_only=True)
class EarsConfig:
    """Section `ears`: ks-ears."""

    enabled: bool = key(True)
    #: Where RTP nodes send the copies that are listened to.
    listen_address: str = key("127.0.0.1", check=ip_address)
    #: Legs listened to at once.
    max_calls: int = key(100, minimum=1, maximum=2000)
    #: First of as many UDP ports; 0: whatever is free.
    base_port: int = key(0, minimum=0, maximum=65_535)
    #: Country of the tones (conf/tones.yaml), unless whoever asks names another.
    tones: str = key("ru", check=pattern(r"[a-z][a-z0-9_-]{0,15}", "a country of tones.yaml"))


@dataclass(frozen=True, kw_only=True)
class ApiConfig:
    """Section `api`: ks-api."""

    enabled: bool = key(True)
    listen_address: str = key("127.0.0.1", check=ip_address)
    port: int = key(8088, minimum=1, maximum=65535)
    #: Threads for methods, each with a connection to the database.
    threads: int = key(8, minimum=1, maximum=128)
    #: Requests that wait for a thread; more are refused.
    max_waiting: int = key(2000, minimum=1, maximum=100_000)
    max_connections: int = key(5000, minimum=10, maximum=100_000)
    max_request_bytes: int = key(16_777_216, minimum=1024, maximum=1_073_741_824)
    statement_timeout_ms: int = key(15_000, minimum=100, maximum=3_600_000)
    requests_per_second_per_token: int = key(100, minimum=1, maximum=100_000)
    requests_per_second_per_address: int = key(200, minimum=1, maximum=1_000_000)
    #: Wrong tokens and passwords of one address, or for one account, in a minute.
    failed_logins_per_minute: int = key(10, minimum=1, maximum=10_000)
    #: Whose X-Forwarded-For is believed; None: nobody's.
    trusted_proxy: str | None = key(None, check=ip_address)
    webhooks_to_private_addresses: bool = key(False)
    #: Where look-ups of callers may lead besides public addresses, with blanks between; None: nowhere.
    lookup_networks: str | None = key(None, check=networks)
    #: Look-ups of callers that one ks-api does at once.
    lookups_at_once: int = key(8, minimum=1, maximum=128)


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Section `worker`: ks-worker."""

    partitions_ahead_days: int = key(7, minimum=1, maximum=366)
    keep_calls_days: int = key(1826, minimum=1, maximum=36_500)
    keep_audit_days: int = key(1826, minimum=1, maximum=36_500)
    keep_reports_days: int = key(3653, minimum=1, maximum=36_500)
    keep_events_hours: int = key(48, minimum=1, maximum=8760)
    #: dir:/path or s3://bucket/prefix (endpoint and keys: those of recordings); None: nothing is archived.
    archive: str | None = key(None, check=_ARCHIVE)
    archive_after_days: int = key(35, minimum=1, maximum=36_500)
    #: None: no backup is made by itself.
    backup_directory: Path | None = key(None)
    keep_backups: int = key(7, minimum=1, maximum=1000)


@dataclass(frozen=True, kw_only=True)
class MailConfig:
    """Section `mail`: how e-mail leaves."""

    #: None: no e-mail is sent.
    host: str | None = key(None)
    port: int = key(25, minimum=1, maximum=65_535)
    security: str = key("plain", check=one_of("plain", "starttls", "tls"))
    #: None: without authentication.
    user: str | None = key(None)
    #: A file with the password in its first line, relative to home.
    password_file: Path | None = key(None)
    sender: str = key("kalibri@localhost", check=pattern(r"[^@\s<>,]+@[^@\s<>,]+", "an e-mail address"))
    timeout_seconds: int = key(30, minimum=1, maximum=600)


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """Section `log`."""

    level: str = key("info", check=level)
