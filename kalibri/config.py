"""Configuration: conf/kalibri.yaml, environment and command line into one frozen `Config`.

Decides which value counts (command line > environment > file > default), refuses unknown keys, wrong types
and values out of range, and derives every path below the run directory. It never creates a file, opens a
socket or reads a secret. The sample file conf/kalibri.yaml is the manual; a test keeps it equal to the
defaults here.
"""

# ruff: noqa: RUF009 (key() makes a dataclass field, as dataclasses.field() does)

from __future__ import annotations

import os
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from callcore.errors import BadInput
from kalibri.config_checks import directory_name, node_name, port_conflict
from kalibri.config_sections import (
    ApiConfig,
    ControllerPorts,
    DatabaseConfig,
    EarsConfig,
    IndexConfig,
    JournalConfig,
    LogConfig,
    MailConfig,
    MediaConfig,
    PromptConfig,
    ProxyConfig,
    RecordingConfig,
    RoutingConfig,
    RtpConfig,
    StunConfig,
    WorkerConfig,
    key,
)

PROJECT_ROOT = Path(__file__).resolve().parent.parent
SAMPLE_FILE = PROJECT_ROOT / "conf" / "kalibri.yaml"
ENVIRONMENT_PREFIX = "KALIBRI_"

#: From the ports of one controller to those of the next.
CONTROLLER_PORT_STEP = 10
#: RTPProxy's control protocol knows no password: never reachable from another machine.
CONTROL_ADDRESS = "127.0.0.1"

NOTHING = ("", "null", "none", "~")
TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")


class ConfigError(BadInput):
    """The configuration is not valid."""

    error_id = "bad-configuration"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that an instance is told. Build it with `load_config`; tests may build it directly."""

    #: Run directory of the instance: data, sockets, logs, generated files.
    home: Path = key(Path("run"), check=directory_name)
    node_name: str = key("n1", check=node_name)
    database: DatabaseConfig = field(default_factory=DatabaseConfig)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    rtp: RtpConfig = field(default_factory=RtpConfig)
    media: MediaConfig = field(default_factory=MediaConfig)
    stun: StunConfig = field(default_factory=StunConfig)
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    journal: JournalConfig = field(default_factory=JournalConfig)
    index: IndexConfig = field(default_factory=IndexConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    ears: EarsConfig = field(default_factory=EarsConfig)
    api: ApiConfig = field(default_factory=ApiConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    mail: MailConfig = field(default_factory=MailConfig)
    log: LogConfig = field(default_factory=LogConfig)

    @property
    def pg_directory(self) -> Path:
        """The private PostgreSQL cluster: its data and its socket (mode 0700)."""
        return self.home / "pg"

    @property
    def database_dsn(self) -> str:
        """The connection string that counts: the configured one, or the private cluster by its socket."""
        if self.database.dsn is not None:
            return self.database.dsn
        directory = str(self.pg_directory).replace("\\", "\\\\").replace("'", "\\'")
        return f"host='{directory}' port={self.database.port} dbname=kalibri user=kalibri"

    @property
    def private_database(self) -> bool:
        """Whether this instance runs its own PostgreSQL."""
        return self.database.dsn is None

    @property
    def journal_directory(self) -> Path:
        """Where every process of this instance writes its journal."""
        return self.journal.directory or self.home / "journal"

    @property
    def index_directory(self) -> Path:
        """Where ks-index puts what the proxy's workers read."""
        return self.index.directory or self.home / "index"

    @property
    def media_hosts(self) -> list[str]:
        """Names of this machine's media hosts."""
        return [f"media-{number}" for number in range(1, self.media.hosts + 1)]

    def media_port(self, name: str) -> int:
        """UDP and TCP port of a media host, by its name (media-1)."""
        return self.media.base_port + int(name.removeprefix("media-")) - 1

    @property
    def rtp_controllers(self) -> list[str]:
        """Names of this host's RTP controllers."""
        return [f"rtpc-{number}" for number in range(1, self.rtp.controllers + 1)]

    @property
    def rtp_nodes(self) -> int:
        """How many RTPProxy processes run."""
        return self.rtp.nodes or len(os.sched_getaffinity(0))

    def rtp_controller_ports(self, number: int) -> ControllerPorts:
        """Where a controller listens; the first has number 1. Never reachable from another machine."""
        first = self.rtp.controller_base_port + CONTROLLER_PORT_STEP * (number - 1)
        return ControllerPorts(CONTROL_ADDRESS, first, first + 1, first + 2)

    def rtp_controller_socket(self, name: str) -> Path:
        """Stream socket of a controller, by its name (rtpc-1)."""
        return self.run_directory / f"{name}.sock"

    @property
    def rtp_state_directory(self) -> Path:
        """What controllers remember over a restart."""
        return self.home / "rtp" / "state"

    @property
    def relay_controls(self) -> list[tuple[str, int]]:
        """Where the proxy commands its relays, the RTP controllers; a number is a place in this list, from 1."""
        ports = [self.rtp_controller_ports(number + 1) for number in range(self.rtp.controllers)]
        return [(each.address, each.control) for each in ports]

    def rtp_ports(self, number: int) -> tuple[int, int]:
        """First and last media port of a node: an equal share, beginning at an even port; the first has number 1."""
        first = self.rtp.port_min + self.rtp.port_min % 2
        share = (self.rtp.port_max - first + 1) // self.rtp_nodes // 2 * 2
        return first + (number - 1) * share, first + number * share - 1

    @property
    def rtp_spool_directory(self) -> Path:
        """Where RTPProxy writes recordings that are still going on."""
        return self.home / "rtp" / "spool"

    @property
    def ears_socket(self) -> Path:
        """Where ks-ears is asked to listen (docs/ears.md)."""
        return self.run_directory / "ks-ears.sock"

    @property
    def ears_directory(self) -> Path:
        """What ks-ears keeps: a copy of the known recordings, early media that waits for the database."""
        return self.home / "ears"

    @property
    def rtp_recording_directory(self) -> Path:
        """Where RTPProxy moves recordings that have ended (same file system as the spool)."""
        return self.home / "rtp" / "rec"

    @property
    def rtp_manifest_directory(self) -> Path:
        """Where the RTP controller tells what is recorded, one file a recording."""
        return self.home / "rtp" / "manifest"

    @property
    def rtp_work_directory(self) -> Path:
        """Where ks-rec keeps what it has half done (same file system as the recordings, best)."""
        return self.home / "rtp" / "work"

    @property
    def recording_directory(self) -> Path:
        """Where finished recordings lie, by tenant and date."""
        return self.recording.directory or self.home / "recordings"

    @property
    def prompt_directory(self) -> Path:
        """Compiled prompts, and the index by which media hosts find them."""
        return self.prompt.directory or self.home / "prompts"

    @property
    def log_directory(self) -> Path:
        """Logs of every process."""
        return self.home / "log"

    @property
    def etc_directory(self) -> Path:
        """Generated files: kamailio.cfg, tls.cfg, supervisord.conf, turnserver.conf."""
        return self.home / "etc"

    @property
    def run_directory(self) -> Path:
        """Sockets and pid files."""
        return self.home / "run"

    @property
    def kamailio_rpc_socket(self) -> Path:
        """Datagram socket on which Kamailio answers JSON-RPC."""
        return self.run_directory / "kamailio_rpc.sock"

    @property
    def supervisor_socket(self) -> Path:
        """Socket of supervisord."""
        return self.run_directory / "supervisor.sock"

    @property
    def secrets_directory(self) -> Path:
        """Generated secrets, one a file of mode 0600, in a directory of mode 0700."""
        return self.home / "secrets"

    @property
    def kamailio_password_file(self) -> Path:
        """Password of the database role kamailio."""
        return self.secrets_directory / "kamailio_db_password"


@dataclass(frozen=True)
class Setting:
    """One value as somebody wrote it, and where; YAML gives typed values, the others give text."""

    value: Any
    source: str
    #: Folder from which a relative path of this source starts.
    base: Path


def load_config(
    *,
    path: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Read the configuration of this instance.

    path: the file; None: KALIBRI_CONFIG, else conf/kalibri.yaml of the project if it exists.
    overrides: values of the command line, as {"home": …, "proxy.sip_port": …}.
    Relative paths of the command line and of the environment start from the working directory, those of the
    file from KALIBRI_BASE (default: the project's root); paths below a section start from `home`.
    Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    settings: dict[str, Setting] = {}
    settings.update(_from_file(_config_file(path, environ), _base(environ)))
    settings.update(_from_environment(environ))
    settings.update(_from_command_line(overrides or {}))
    config = _build(settings, _base(environ))
    _check_together(config)
    return config


def key_names() -> list[str]:
    """All keys, as `section.key`, in the order of the dataclasses."""
    return list(_known_keys())


@cache
def _known_keys() -> dict[str, Field[Any]]:
    known: dict[str, Field[Any]] = {}
    for item in fields(Config):
        if item.default is not MISSING:
            known[item.name] = item
        else:
            known.update({f"{item.name}.{sub.name}": sub for sub in fields(_section_class(item.name))})
    return known


def _section_class(section: str) -> Any:
    return typing.get_type_hints(Config)[section]


def _sections() -> list[str]:
    return [item.name for item in fields(Config) if item.default is MISSING]


def _base(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("KALIBRI_BASE") or PROJECT_ROOT)


def _config_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is None and environ.get("KALIBRI_CONFIG"):
        path = Path(environ["KALIBRI_CONFIG"])
    if path is None:
        return SAMPLE_FILE if SAMPLE_FILE.exists() else None
    return path


def _from_file(path: Path | None, base: Path) -> dict[str, Setting]:
    if path is None:
        return {}
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", file=str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: not valid YAML: {' '.join(str(error).split())}", file=str(path)
        ) from error
    settings: dict[str, Setting] = {}
    for name, node in _pairs(path, root, ""):
        if name in _sections():
            for sub, value in _pairs(path, node, f"{name}."):
                settings[f"{name}.{sub}"] = _file_setting(path, f"{name}.{sub}", value, base)
        else:
            settings[name] = _file_setting(path, name, node, base)
    return settings


def _pairs(path: Path, node: yaml.Node | None, prefix: str) -> list[tuple[str, yaml.Node]]:
    """Return the keys and values of a YAML mapping (an absent one is empty); refuse what is given twice."""
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
        return []
    where = f"{path}, line {node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(
            f"{where}: {prefix.rstrip('.') or 'the file'} must hold keys and values, as `key: value`"
        )
    seen: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        name = str(key_node.value)
        if name in seen:
            raise ConfigError(f"{path}, line {key_node.start_mark.line + 1}: {prefix}{name} is given twice")
        seen[name] = value
    return list(seen.items())


def _file_setting(path: Path, name: str, node: yaml.Node, base: Path) -> Setting:
    where = f"{path}, line {node.start_mark.line + 1}"
    _require_known(name, where)
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{where}: {name} must be one value", key=name)
    return Setting(yaml.SafeLoader("").construct_object(node), where, base)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Setting]:
    """Take KALIBRI_<SECTION>_<KEY>. Other KALIBRI_ names belong to other programs and are left alone."""
    names = {_variable(name): name for name in _known_keys()}
    sections = tuple(f"{ENVIRONMENT_PREFIX}{section.upper()}_" for section in _sections())
    settings = {}
    for variable, value in environ.items():
        if variable in names:
            settings[names[variable]] = Setting(value, f"environment variable {variable}", Path.cwd())
        elif variable.startswith(sections):
            near = get_close_matches(variable, names, 1)
            raise ConfigError(f"environment variable {variable}: no such key{_hint(near)}", key=variable)
    return settings


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.replace(".", "_").upper()


def _from_command_line(overrides: Mapping[str, str]) -> dict[str, Setting]:
    for name in overrides:
        _require_known(name, "command line")
    return {name: Setting(value, "command line", Path.cwd()) for name, value in overrides.items()}


def _require_known(name: str, where: str) -> None:
    known = list(_known_keys())
    if name in known:
        return
    near = get_close_matches(name, known, 1, cutoff=0.6)
    if not near:  # the right key in the wrong section
        near = [full for full in known if full.rpartition(".")[2] == name.rpartition(".")[2]][:1]
    raise ConfigError(f"{where}: unknown key {name}{_hint(near)}", key=name)


def _hint(near: list[str]) -> str:
    return f" (did you mean {near[0]}?)" if near else ""


def _build(settings: Mapping[str, Setting], base: Path) -> Config:
    values = {name: _value(name, item, settings.get(name), base) for name, item in _known_keys().items()}
    home = values["home"]
    arguments: dict[str, Any] = {"home": home, "node_name": values["node_name"]}
    for section in _sections():
        inside = {
            name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{section}.")
        }
        for name, value in inside.items():
            if isinstance(value, Path):
                inside[name] = home / value
        arguments[section] = _section_class(section)(**inside)
    return Config(**arguments)


def _value(name: str, item: Field[Any], setting: Setting | None, base: Path) -> Any:
    if setting is None:
        return _absolute(base, Path("run")) if name == "home" else item.default
    value = _typed(name, item, setting)
    if value is None:
        return None
    problem = _range_problem(item, value)
    if problem is None and item.metadata["check"] is not None:
        problem = item.metadata["check"](value)
    if problem is not None:
        raise ConfigError(f"{setting.source}: {name} is {setting.value!r}, but must be {problem}", key=name)
    return _absolute(setting.base, value) if name == "home" else value


def _absolute(base: Path, path: Path) -> Path:
    return Path(os.path.normpath(base.absolute() / path.expanduser()))


def _typed(name: str, item: Field[Any], setting: Setting) -> Any:
    """Turn what was written into the type of the key: one rule for YAML, environment and command line."""
    kind, nullable = _kind(name)
    raw = setting.value
    if raw is None or (isinstance(raw, str) and raw.lower() in NOTHING):
        if nullable:
            return None
        raise ConfigError(f"{setting.source}: {name} must have a value", key=name)
    if kind is bool and isinstance(raw, str) and raw.lower() in TRUE + FALSE:
        return raw.lower() in TRUE
    if kind is int and isinstance(raw, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", raw):
        return int(raw)
    if kind in (str, Path) and isinstance(raw, str):
        return kind(raw)
    if type(raw) is kind:
        return raw
    wanted = {bool: "true or false", int: "a whole number", str: "text (put it in quotes)", Path: "a path"}[
        kind
    ]
    raise ConfigError(f"{setting.source}: {name} is {raw!r}, but must be {wanted}", key=name)


@cache
def _kind(name: str) -> tuple[type, bool]:
    """Return the plain type of a key and whether it may be null."""
    section, _, inner = name.rpartition(".")
    hint = typing.get_type_hints(_section_class(section) if section else Config)[inner]
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None)), True
    return hint, False


def _range_problem(item: Field[Any], value: Any) -> str | None:
    minimum, maximum = item.metadata["minimum"], item.metadata["maximum"]
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        return f"{minimum} to {maximum}"
    return None


def _check_together(config: Config) -> None:
    """Refuse values that are each right but do not fit together."""
    proxy, rtp = config.proxy, config.rtp
    if rtp.port_min >= rtp.port_max:
        raise ConfigError(f"rtp.port_min ({rtp.port_min}) must be smaller than rtp.port_max ({rtp.port_max})")
    if (proxy.tls_certificate is None) != (proxy.tls_private_key is None):
        raise ConfigError("proxy.tls_certificate and proxy.tls_private_key must be given together")
    if not proxy.min_expires_seconds <= proxy.default_expires_seconds <= proxy.max_expires_seconds:
        raise ConfigError(
            "proxy: min_expires_seconds ≤ default_expires_seconds ≤ max_expires_seconds does not hold"
        )
    problem = port_conflict(
        {
            "proxy.sip_port": (proxy.listen_address, proxy.sip_port, 1),
            "proxy.tls_port": (proxy.listen_address, proxy.tls_port, 1),
            "proxy.internal_port": (proxy.listen_address, proxy.internal_port, 1),
            "media.base_port": (config.media.listen_address, config.media.base_port, config.media.hosts),
            "ears.base_port": (
                config.ears.listen_address,
                config.ears.base_port,
                config.ears.max_calls if config.ears.enabled and config.ears.base_port else 0,
            ),
            "api.port": (config.api.listen_address, config.api.port if config.api.enabled else 0, 1),
            "stun.port": (proxy.listen_address, config.stun.port if config.stun.enabled else 0, 1),
            "rtp.control_base_port": (rtp.listen_address, rtp.control_base_port, config.rtp_nodes),
            "rtp.controller_base_port": (
                CONTROL_ADDRESS,
                rtp.controller_base_port,
                CONTROLLER_PORT_STEP * rtp.controllers,
            ),
            "rtp.port_min": (rtp.listen_address, rtp.port_min, rtp.port_max - rtp.port_min + 1),
        }
    )
    if problem is not None:
        raise ConfigError(problem)
