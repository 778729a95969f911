"""The files that the programs of an instance read, made from its configuration: written anew at each start.

    <home>/etc/      supervisord.conf, kamailio.cfg, tls.cfg, turnserver.conf
    <home>/secrets/  kamailio_auth; key and certificate for TLS where none are configured

Texts are made by pure functions; `write_files` puts them in place. It starts no server.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from callcore.errors import BadInput, Unavailable
from kalibri.config import PROJECT_ROOT, Config
from kalibri.pg_cluster import DATABASE, KAMAILIO_ROLE, PgCluster, kamailio_password
from kalibri.services.node import server_id
from tools.instance import alone as without_database
from tools.instance import supervisord
from tools.instance.processes import reachable

AUTH_SECRET = "kamailio_auth"
CERTIFICATE = "tls_certificate.pem"
PRIVATE_KEY = "tls_private_key.pem"
CERTIFICATE_DAYS = 3650

#: sun_path of unix(7) holds 108 bytes with the closing zero; this is the longest socket below a home.
#: supervisord first binds its own under a longer name, with a dot and its pid behind it.
LONGEST_SOCKET = "run/supervisor.sock.1234567"
LONGEST_SOCKET_PATH_BYTES = 107

#: What may stand in a #!substdef line whose separator is "!", and inside a quoted string of kamailio.cfg.
SUBSTITUTABLE = re.compile(r"""[^!"'\\$\x00-\x1f]*""")

TLS_CFG = """\
# Written by ksinit: changes here are lost.
[server:default]
method = TLSv1.2+
verify_certificate = no
require_certificate = no
certificate = {certificate}
private_key = {private_key}

[client:default]
method = TLSv1.2+
verify_certificate = no
require_certificate = no
"""


def write_files(config: Config) -> None:
    """Make the folders, secrets and generated files of an instance; safe to repeat, and at the same time.

    Raises BadInput for a value that a program's file format cannot hold, Unavailable if no certificate can
    be made.
    """
    make_folders(config)
    with locked(config.etc_directory / "files.lock"):
        secret = auth_secret(config)
        certificate, private_key = certificate_files(config)
        if config.proxy.tls_certificate is None and not certificate.exists():
            _make_certificate(config, certificate, private_key)
        etc = config.etc_directory
        write(supervisord.configuration_file(config), supervisord.configuration(config))
        write(etc / "kamailio.cfg", kamailio_cfg(config, secret))
        write(etc / "kamailio_alone.cfg", kamailio_cfg(config, secret, alone=True))
        write(etc / "tls.cfg", TLS_CFG.format(certificate=certificate, private_key=private_key))
        write(etc / "turnserver.conf", turnserver_conf(config))


def make_folders(config: Config) -> None:
    """Make the folders below the home; what lies in them is nobody else's business.

    Raises BadInput if the home's path is too long for the sockets in it.
    """
    longest = config.home / LONGEST_SOCKET
    if len(os.fsencode(longest)) > LONGEST_SOCKET_PATH_BYTES:
        raise BadInput(f"the path of the home is too long for the sockets in it: {config.home}")
    config.home.mkdir(mode=0o750, parents=True, exist_ok=True)
    for folder in (
        config.etc_directory,
        config.run_directory,
        config.secrets_directory,
        config.log_directory,
        config.prompt_directory,
    ):
        folder.mkdir(mode=0o700, exist_ok=True)
    for folder in (config.journal_directory, config.index_directory):
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out while the block runs; the kernel lets go when the holder dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in one step.

    Leave it alone if it holds this text already.
    """
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    part = path.with_name(path.name + ".new")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.rename(path)


def auth_secret(config: Config) -> str:
    """Return the secret with which the proxy makes nonces and tokens; it is made at the first call."""
    path = config.secrets_directory / AUTH_SECRET
    if not path.exists():
        write(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text(encoding="utf-8").strip()


# ---------------------------------------------------------------------------------------------- Kamailio


def kamailio_cfg(config: Config, secret: str, *, alone: bool = False) -> str:
    """Return Kamailio's configuration: our values as definitions, then the project's conf/kamailio.cfg.

    alone: for a start without the database (alone.py).
    """
    lines = ["#!KAMAILIO", "# Written by ksinit: changes here are lost. See conf/kamailio.cfg."]
    definitions = kamailio_definitions(config, secret)
    if alone:
        lines.append("#!define WITHOUT_DATABASE")
        definitions["KS_DB_URL"] = f"text://{without_database.folder(config)}"
    for name, value in definitions.items():
        if not SUBSTITUTABLE.fullmatch(value):
            raise BadInput(f"kamailio.cfg cannot hold the value of {name}: {value}")
        lines.append(f'#!substdef "!{name}!{value}!g"')
    lines.append(f'include_file "{PROJECT_ROOT}/conf/kamailio.cfg"')
    return "\n".join([*lines, *_relay_sets(config), ""])


def _relay_sets(config: Config) -> list[str]:
    """Return one set of Kamailio's rtpproxy module for each relay: kemi/media_relay.py chooses, not the module."""
    return [
        f'modparam("rtpproxy", "rtpproxy_sock", "{number} == udp:{host}:{port}")'
        for number, (host, port) in enumerate(config.relay_controls, 1)
    ]


def kamailio_definitions(config: Config, secret: str) -> dict[str, str]:
    """Return what conf/kamailio.cfg is told, by name."""
    proxy = config.proxy
    return {
        "KS_LISTEN_ADDR": f"[{proxy.listen_address}]"
        if ":" in proxy.listen_address
        else proxy.listen_address,
        "KS_SIP_PORT": str(proxy.sip_port),
        "KS_TLS_PORT": str(proxy.tls_port),
        "KS_INTERNAL_PORT": str(proxy.internal_port),
        "KS_WORKERS": str(proxy.workers),
        "KS_TCP_WORKERS": str(proxy.tcp_workers),
        "KS_DB_URL": kamailio_db_url(config),
        "KS_RUN_DIR": str(config.run_directory),
        "KS_SCRIPT": str(PROJECT_ROOT / "kemi" / "kamailio.py"),
        "KS_TLS_CFG": str(config.etc_directory / "tls.cfg"),
        "KS_DIGEST_ALGORITHM": proxy.digest_algorithm,
        "KS_AUTH_SECRET": secret,
        "KS_PING_SECONDS": str(proxy.options_ping_seconds),
        "KS_NATPING_SECONDS": str(proxy.nat_ping_seconds),
        "KS_FLOOD_REQUESTS": str(proxy.flood_requests_per_2s),
        "KS_LOCKOUT_WINDOW": str(proxy.lockout_window_seconds),
        "KS_LOCKOUT_LASTS": str(proxy.lockout_seconds),
        # A phone that is there proves itself at least that often.
        "KS_LOCKOUT_PROVEN": str(2 * proxy.max_expires_seconds),
        "KS_MAX_MESSAGE_BYTES": str(proxy.max_message_bytes),
        "KS_SERVER_ID": str(server_id(config.node_name)),
    }


def kamailio_db_url(config: Config) -> str:
    """Return the database as Kamailio's db_postgres takes it: role kamailio, over TCP, no socket path."""
    password = quote(kamailio_password(PgCluster.of(config)), safe="")
    parts = conninfo_to_dict(config.database_dsn)
    host = str(parts.get("host") or "127.0.0.1")
    if host.startswith("/"):
        host = "127.0.0.1"
    port, name = parts.get("port") or 5432, parts.get("dbname") or DATABASE
    return f"postgres://{KAMAILIO_ROLE}:{password}@{host}:{port}/{name}"


# ---------------------------------------------------------------------------------------------- STUN and TLS


def turnserver_conf(config: Config) -> str:
    """Return coturn's configuration, from the template conf/turnserver.conf."""
    template = Template((PROJECT_ROOT / "conf" / "turnserver.conf").read_text(encoding="utf-8"))
    address = config.proxy.listen_address
    return template.substitute(
        address=address, relay=reachable(address), port=config.stun.port, run=config.run_directory
    )


def certificate_files(config: Config) -> tuple[Path, Path]:
    """Return certificate and private key for TLS: the configured ones, or our own."""
    if config.proxy.tls_certificate is not None and config.proxy.tls_private_key is not None:
        return config.proxy.tls_certificate, config.proxy.tls_private_key
    return config.secrets_directory / CERTIFICATE, config.secrets_directory / PRIVATE_KEY


def _make_certificate(config: Config, certificate: Path, private_key: Path) -> None:
    """Make a certificate that nobody else has signed: phones must be told to accept it."""
    part = certificate.with_name(certificate.name + ".new")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", str(CERTIFICATE_DAYS), "-subj", f"/CN={config.node_name}"]
    command += ["-addext", f"subjectAltName=IP:{reachable(config.proxy.listen_address)}"]
    command += ["-keyout", str(private_key), "-out", str(part)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, umask=0o077, check=False
    )
    if done.returncode != 0:
        raise Unavailable(f"openssl could not make a certificate: {done.stderr.strip()}")
    part.rename(certificate)
