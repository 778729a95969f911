"""A TLS phone for the demonstration: baresip, which speaks TLS as Debian's SIPp does not."""

from __future__ import annotations

import select
import signal
import ssl
import subprocess
import time
from pathlib import Path
from socket import create_connection

from kalibri.config import Config

#: What baresip prints when the call it dialled is answered.
_ANSWERED = b"Call established"
_HANG_UP_SECONDS = 10

_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:0
sip_cafile {certificate}
net_interface 127.0.0.1
call_local_timeout 60
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module_tmp account.so
module_app menu.so
audio_source aufile,{tone}
audio_player aubridge,void
audio_alert aubridge,void_alert
audio_level no
ringback_disabled yes
"""


def handshake(config: Config, certificate: Path, seconds: float) -> str:
    """Connect as a phone that believes this certificate only; return protocol and cipher. Raises OSError."""
    context = ssl.create_default_context(cafile=str(certificate))
    host = config.proxy.listen_address
    with (
        create_connection((host, config.proxy.tls_port), seconds) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        cipher = connection.cipher()
        return f"{connection.version()}, {cipher[0] if cipher else 'no cipher'}"


class TlsPhone:
    """One baresip that dials as soon as it runs, and hangs up when it is stopped."""

    def __init__(self, config: Config, folder: Path, certificate: Path) -> None:
        self._config, self._folder, self._certificate = config, folder, certificate

    def call(self, user: str, password: str, domain: str, number: str, *, talk: float, answer: float) -> str:
        """Call a number and talk (seconds); returns "" or what went wrong. answer: longest wait for it, seconds."""
        process = self._start(user, password, domain, number)
        try:
            said = _read_until(process, _ANSWERED, answer)
            if _ANSWERED not in said:
                return f"not answered: {said.decode(errors='replace')[-200:].strip()}"
            time.sleep(talk)  # the conversation itself
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_HANG_UP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return ""

    def _start(self, user: str, password: str, domain: str, number: str) -> subprocess.Popen[bytes]:
        proxy = f"sip:{self._config.proxy.listen_address}:{self._config.proxy.tls_port};transport=tls"
        account = (
            f"<sip:{user}@{domain};transport=tls>;auth_user={user};auth_pass={password}"
            f';outbound="{proxy}";regint=0;audio_codecs=pcma\n'
        )
        tone = self._folder / "tone.wav"
        _make_tone(tone)
        self._folder.joinpath("accounts").write_text(account)
        self._folder.joinpath("config").write_text(_CONFIG.format(certificate=self._certificate, tone=tone))
        return subprocess.Popen(
            ["baresip", "-4", "-f", str(self._folder), "-e", f"/dial sip:{number}@{domain}"],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


def _read_until(process: subprocess.Popen[bytes], wanted: bytes, seconds: float) -> bytes:
    """Return what the process printed until it printed this, ended, or the time was up."""
    assert process.stdout is not None
    said, deadline = b"", time.monotonic() + seconds
    while wanted not in said and (left := deadline - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            break
        chunk = process.stdout.read1(65536)  # type: ignore[attr-defined]
        if not chunk:
            break
        said += chunk
    return said


def _make_tone(path: Path) -> None:
    source = ("-f", "lavfi", "-i", "sine=frequency=425:duration=30")
    command = ["ffmpeg", "-v", "error", "-y", *source, "-ar", "8000", "-ac", "1", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
