"""What Kamailio reads and writes: with its own role, through its own driver, and not more than that."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from kalibri import pg_cluster
from kalibri.db import Conn
from kalibri.rpc import KamailioRpc, ProxyDown
from kalibri.services import gateway, trunk
from tests.support.fix_pg import RunningCluster
from tests.support.kamailio_probe import wait_until
from tests.support.net_ports import free_port

CONFIG = """
debug=2
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:{port}
loadmodule "db_postgres.so"
loadmodule "jsonrpcs.so"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "usrloc.so"
loadmodule "dialog.so"
loadmodule "dispatcher.so"
loadmodule "uac.so"
modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "{home}/rpc.sock")
modparam("usrloc", "db_url", "{db_url}")
modparam("usrloc", "db_mode", 1)
modparam("usrloc", "use_domain", 1)
modparam("usrloc", "preload", "location")
modparam("dialog", "db_url", "{db_url}")
modparam("dialog", "db_mode", 1)
modparam("dispatcher", "db_url", "{db_url}")
modparam("uac", "reg_db_url", "{db_url}")
modparam("uac", "reg_contact_addr", "127.0.0.1:{port}")
request_route {{ sl_send_reply("404", "Nothing here"); }}
"""


@pytest.fixture
def role_parameters(pg_server: RunningCluster, pg_dsn: str) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": pg_server.cluster.port,
        "dbname": psycopg.conninfo.conninfo_to_dict(pg_dsn)["dbname"],
        "user": "kamailio",
        "password": pg_cluster.kamailio_password(pg_server.cluster),
    }


@pytest.fixture
def as_kamailio(role_parameters: dict[str, Any]) -> Iterator[Conn]:
    with psycopg.connect(**role_parameters, autocommit=True) as conn:
        yield conn


def test_role_finds_its_tables_without_a_schema_and_reads_them_all(as_kamailio: Conn) -> None:
    for table in [
        "version",
        "location",
        "dialog",
        "dialog_vars",
        "dispatcher",
        "uacreg",
        "subscriber",
        "address",
    ]:
        as_kamailio.execute(f"SELECT * FROM {table}")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM public.account",
        "SELECT * FROM public.trunk",
        "UPDATE version SET table_version = 1",
        "DELETE FROM dispatcher",
        "UPDATE subscriber SET ha1 = ''",
        "CREATE TABLE mine ()",
        "CREATE TABLE public.mine ()",
        "TRUNCATE location",
    ],
)
def test_role_can_do_no_more_than_it_needs(as_kamailio: Conn, statement: str) -> None:
    with pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)):
        as_kamailio.execute(statement)


def test_views_give_kamailio_text_as_varchar(db: Conn) -> None:
    """Its driver takes the type text for a binary object and unescapes backslashes in it."""
    rows = db.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'kamailio' AND data_type NOT IN"
        " ('character varying', 'integer', 'real', 'timestamp without time zone')"
    ).fetchall()
    assert rows == []


@pytest.fixture
def kamailio(db: Conn, role_parameters: dict[str, Any], tmp_path: Path) -> Iterator[KamailioRpc]:
    """A real Kamailio on the test's database; gateways and registrations are there before it starts."""
    port = free_port()  # nobody answers there
    gateway.add(db, tenant_id=0, name="plain", host="127.0.0.1", port=port)
    gateway.add(db, tenant_id=0, name="secure", host="sip.carrier.example", transport="tls", probe=False)
    trunk.add(db, tenant_id=0, gateway="plain", username="0042", password="pw", auth_realm="carrier")
    db.execute(
        "INSERT INTO kamailio.location (ruid, username, domain, contact, expires)"
        " VALUES ('uloc-1', 'alice', 'acme.example', 'sip:alice@127.0.0.1:5099', '2038-01-01')"
    )
    db_url = "postgres://{user}:{password}@{host}:{port}/{dbname}".format(**role_parameters)
    config = tmp_path / "kamailio.cfg"
    config.write_text(CONFIG.format(port=free_port(), home=tmp_path, db_url=db_url))
    options = f"-DD -E -f {config} -Y {tmp_path} -w {tmp_path} -m 32"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["/usr/sbin/kamailio", *options.split()], stdout=log, stderr=log)
    try:
        with KamailioRpc(tmp_path / "rpc.sock") as rpc:
            wait_for_answer(rpc, process, tmp_path / "log")
            yield rpc
    finally:
        process.terminate()
        process.wait(30)


def wait_for_answer(rpc: KamailioRpc, process: subprocess.Popen[bytes], log: Path) -> None:
    def registrations_are_loaded() -> bool:
        """They are the last: one of Kamailio's processes reads them after it has begun to answer."""
        assert process.poll() is None, log.read_text()
        try:
            return bool(rpc.call("uac.reg_dump"))
        except ProxyDown:
            return False

    wait_until(registrations_are_loaded, 60, "Kamailio answers and has loaded the registrations")


def test_real_kamailio_reads_gateways_registrations_and_locations(kamailio: KamailioRpc, db: Conn) -> None:
    told = str(kamailio.call("dispatcher.list"))
    assert "sip:127.0.0.1:" in told
    assert "sip.carrier.example" not in told  # not probed
    registration = str(kamailio.call("uac.reg_dump"))
    for value in ("0042", "carrier", db.execute("SELECT auth_ha1 FROM trunk").fetchall()[0][0]):
        assert value in registration
    assert "sip:alice@127.0.0.1:5099" in str(kamailio.call("ul.dump"))


def test_real_kamailio_writes_a_location_through(kamailio: KamailioRpc, db: Conn) -> None:
    kamailio.call(
        "ul.add", "location", "bob@acme.example", "sip:bob@127.0.0.1:5098", 300, "1.0", ".", 0, 0, 0
    )
    rows = db.execute("SELECT username, domain, contact FROM kamailio.location ORDER BY username").fetchall()
    assert rows[1] == ("bob", "acme.example", "sip:bob@127.0.0.1:5098")
    kamailio.call("ul.rm", "location", "alice@acme.example")
    assert db.execute("SELECT count(*) FROM kamailio.location").fetchone() == (1,)
