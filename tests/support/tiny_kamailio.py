"""A minimal Kamailio of our own: what the test equipment is tried on, apart from the proxy under test.

Native routing: registrar (digest with the fixed password below, or none; one contact each), record-route,
loose route, relay to registered contacts or to the Request-URI, NAT by `received`; UDP, TCP, and TLS with a
throw-away certificate.

    with TinyKamailio(tmp_path, auth="SHA-256") as proxy:
        phone = Phone(loop, "100", proxy.DOMAIN, password=proxy.PASSWORD, proxy=proxy.address)
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
from pathlib import Path
from types import TracebackType

from tests.support.kamailio_probe import KamailioProbe, NotAlive, ask_options
from tests.support.net_ports import free_port
from tests.support.waiting import wait_until

_STARTS = 3

_CONFIG = """#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=2
tcp_children=2
auto_aliases=no
alias="{domain}"
listen=udp:{ip}:{port}
listen=tcp:{ip}:{port}
{tls_core}
tcp_accept_no_cl=yes
tcp_connection_lifetime=3605

loadmodule "jsonrpcs.so"
loadmodule "kex.so"
loadmodule "corex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "sanity.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "nathelper.so"
loadmodule "auth.so"
{tls_module}

modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "{home}/rpc.sock")
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "nat_bflag", 6)
modparam("registrar|nathelper", "received_avp", "$avp(received)")
modparam("nathelper", "natping_interval", {ping_seconds})
modparam("nathelper", "ping_nated_only", 1)
modparam("nathelper", "sipping_bflag", 6)
modparam("nathelper", "sipping_from", "sip:keepalive@{domain}")
modparam("auth", "qop", "auth")
modparam("auth", "algorithm", "{algorithm}")
modparam("rr", "append_fromtag", 1)
modparam("rr", "enable_double_rr", 1)
modparam("tm", "fr_inv_timer", 30000)

request_route {{
    force_rport();
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (!sanity_check("17895", "7")) exit;
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    t_check_trans();
    if (has_totag()) {{
        if (loose_route()) {{
            # re-INVITE, UPDATE and their answers refresh the remote target: their Contact needs the alias
            if (nat_uac_test("1") || proto != UDP) set_contact_alias();
            handle_ruri_alias();
            route(RELAY); exit;
        }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not Here"); exit;
    }}
    if (is_method("OPTIONS") && uri==myself && $rU==$null) {{ sl_send_reply("200", "OK"); exit; }}
    # on a stream the way back is the connection, whatever Contact says
    if (nat_uac_test("19") || proto != UDP) {{
        if (is_method("REGISTER")) {{ fix_nated_register(); setbflag(6); }}
        else if (is_first_hop()) set_contact_alias();
    }}
    if (is_method("REGISTER")) {{
        {auth_register}
        save("location", "0x04"); exit;
    }}
    {auth_invite}
    if (is_method("INVITE|SUBSCRIBE|REFER")) record_route();
    if (uri==myself && $rU!=$null) {{
        if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    }}
    route(RELAY);
}}

# A host name is never looked up (a resolver that is silent would stop this worker): names go to the sink.
route[RELAY] {{
    $var(host) = $rd;
    if ($du != $null) $var(host) = $(du{{uri.host}});
    if (!($var(host) =~ "^[0-9.]+$")) {{
        if ("{sink}" == "") {{ sl_send_reply("404", "Unknown Domain"); exit; }}
        $du = "{sink}";
    }}
    t_on_reply("NAT");
    if (!t_relay()) sl_reply_error();
    exit;
}}

onreply_route[NAT] {{
    if (nat_uac_test("1") || proto != UDP) set_contact_alias();
}}
"""

_AUTH = """if (!pv_{check}_authenticate("{domain}", "{password}", "0")) {{
            {check}_challenge("{domain}", "0"); exit; }}
        consume_credentials();"""

_TLS_MODULE = """loadmodule "tls.so"
modparam("tls", "private_key", "{home}/key.pem")
modparam("tls", "certificate", "{home}/cert.pem")
modparam("tls", "tls_method", "TLSv1.2+")"""


def make_certificate(folder: Path, name: str = "tiny.example", ip: str = "127.0.0.1") -> Path:
    """Make key.pem and a self-signed cert.pem for `name` and `ip` in `folder`; returns the latter's path."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName=DNS:{name},IP:{ip}"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "cert.pem"


def client_context(certificate: Path) -> ssl.SSLContext:
    """Return a context for phones that trust exactly this certificate and check its name."""
    return ssl.create_default_context(cafile=str(certificate))


def server_context(folder: Path) -> ssl.SSLContext:
    """Return a context with the key and certificate of `folder`, for phones that accept connections."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


class TinyKamailio:
    """The running proxy; every file is in `home`."""

    DOMAIN = "tiny.example"
    #: The password of every user when `auth` is on.
    PASSWORD = "tiny-secret"

    def __init__(
        self,
        home: Path,
        *,
        auth: str = "",
        auth_calls: bool = False,
        tls: bool = False,
        ping_seconds: int = 0,
        sink: tuple[str, int] | None = None,
        ip: str = "127.0.0.1",
    ) -> None:
        self.home, self.ip = home, ip
        #: Where requests to any host name are sent (without it they get 404).
        self.sink = sink
        self.auth, self.auth_calls, self.tls, self.ping_seconds = auth, auth_calls, tls, ping_seconds
        self.port = self.tls_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        home.mkdir(parents=True, exist_ok=True)
        if tls:
            make_certificate(home, self.DOMAIN, ip)

    @property
    def address(self) -> tuple[str, int]:
        """UDP and TCP address."""
        return self.ip, self.port

    @property
    def tls_address(self) -> tuple[str, int]:
        """TLS address."""
        return self.ip, self.tls_port

    @property
    def probe(self) -> KamailioProbe:
        """Questions to it."""
        assert self.process
        return KamailioProbe(self.address, self.process.pid, self.home / "rpc.sock")

    def __enter__(self) -> TinyKamailio:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start on free ports and wait until it answers; a port taken meanwhile means another try."""
        for attempt in range(_STARTS):
            self.port, self.tls_port = free_port(self.ip), free_port(self.ip)
            try:
                self._launch()
                return
            except NotAlive:
                self.stop()
                if attempt == _STARTS - 1:
                    raise

    def kill(self) -> None:
        """End it without warning (kill -9 of its whole process group)."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        """Start again on the same ports; registrations are lost (no database)."""
        self._launch()

    def stop(self) -> None:
        """End it."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def log(self) -> str:
        """Return its log."""
        return (self.home / "log").read_text(errors="replace")

    def _launch(self) -> None:
        (self.home / "kamailio.cfg").write_text(self._config())
        command = ["kamailio", "-DD", "-E", "-f", f"{self.home}/kamailio.cfg", "-P", f"{self.home}/pid"]
        command += ["-Y", str(self.home), "-w", str(self.home), "-m", "64", "-M", "8"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        process = self.process
        wait_until(
            lambda: process.poll() is not None or ask_options(self.address, 0.3), "Kamailio's start", 15
        )
        if process.poll() is not None:
            raise NotAlive(f"Kamailio ended with {process.returncode}\n{self.log()[-3000:]}")

    def _config(self) -> str:
        def check(kind: str) -> str:
            return _AUTH.format(check=kind, domain=self.DOMAIN, password=self.PASSWORD)

        return _CONFIG.format(
            domain=self.DOMAIN,
            ip=self.ip,
            port=self.port,
            home=self.home,
            ping_seconds=self.ping_seconds,
            algorithm=self.auth or "MD5",
            sink=f"sip:{self.sink[0]}:{self.sink[1]}" if self.sink else "",
            auth_register=check("www") if self.auth else "",
            auth_invite=f'if (!is_method("ACK")) {{ {check("proxy")} }}' if self.auth_calls else "",
            tls_core=f"enable_tls=yes\nlisten=tls:{self.ip}:{self.tls_port}" if self.tls else "",
            tls_module=_TLS_MODULE.format(home=self.home) if self.tls else "",
        )
