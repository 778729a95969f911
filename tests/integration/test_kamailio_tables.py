"""What Kamailio reads and writes: with its own role, through its own driver, and not more than that."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from callcore.ids import uuid7
from kalibri import pg_cluster
from kalibri.db import Conn
from kalibri.rpc import KamailioRpc, ProxyDown
from kalibri.services import gateway, trunk
from tests.support.fix_pg import RunningCluster
from tests.support.net_ports import free_port
from tests.support.waiting import wait_until

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
        columns = as_kamailio.execute(f"SELECT * FROM {table} LIMIT 0").description
        assert columns, table


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM public.account",
        "SELECT * FROM public.trunk",
        "SELECT * FROM acc",
        "SELECT * FROM missed_calls",
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


def test_each_proxy_sees_its_own_dialogs_only(role_parameters: dict[str, Any], db: Conn) -> None:
    """The dialog module reads all rows, and updates and deletes by hash: two proxies must not meet in one table."""
    variables = (
        "INSERT INTO dialog_vars (hash_entry, hash_id, dialog_key, dialog_value) VALUES (1, 2, 'ks_call', %s)"
    )
    with (
        psycopg.connect(**role_parameters, options="-c kalibri.server_id=11", autocommit=True) as first,
        psycopg.connect(**role_parameters, options="-c kalibri.server_id=12", autocommit=True) as second,
    ):
        for conn, call in ((first, "one"), (second, "two")):
            conn.execute(variables, [call])
        read = "SELECT dialog_value FROM dialog_vars WHERE hash_entry = 1 AND hash_id = 2"
        assert [conn.execute(read).fetchall() for conn in (first, second)] == [[("one",)], [("two",)]]
        assert second.execute("DELETE FROM dialog_vars WHERE hash_entry = 1 AND hash_id = 2").rowcount == 1
        assert first.execute(read).fetchall() == [("one",)]
    rows = db.execute("SELECT server_id, dialog_value FROM kamailio.dialog_vars").fetchall()
    assert rows == [(11, "one")]


def test_views_give_kamailio_text_as_varchar(db: Conn) -> None:
    """Its driver takes the type text for a binary object and unescapes backslashes in it."""
    rows = db.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'kamailio' AND data_type NOT IN"
        " ('character varying', 'integer', 'real', 'timestamp without time zone')"
        " AND (table_name, column_name) NOT IN (('acc', 'id'), ('missed_calls', 'id'))"  # nor does it read them
    ).fetchall()
    assert rows == []


def add_call(db: Conn, number: int, *, answered: int | None, ended: int | None, **columns: Any) -> None:
    """Add the row of a call; times are seconds after the start of the number-th second."""
    start = datetime(2026, 11, 22, 10, 0, number, tzinfo=UTC)
    db.execute("SELECT ensure_day_partitions(%s)", [start.date()])
    columns |= {
        "call_id": uuid7(int(start.timestamp() * 1000), bytes(9) + bytes([number])),
        "started_at": start,
        "answered_at": None if answered is None else start + timedelta(seconds=answered),
        "ended_at": None if ended is None else start + timedelta(seconds=ended),
        "sip_call_id": f"{number}@phone",
    }
    names, marks = ", ".join(columns), ", ".join(f"%({name})s" for name in columns)
    db.execute(f"INSERT INTO call ({names}) VALUES ({marks})".encode(), columns)


def test_calls_in_the_shape_of_acc(db: Conn) -> None:
    add_call(db, 1, answered=3, ended=63, final_code=200, cause="normal", hung_up_by="caller")
    add_call(db, 2, answered=None, ended=5, final_code=486, cause="busy", hung_up_by="callee")
    add_call(db, 3, answered=2, ended=None)
    add_call(db, 4, answered=None, ended=9, cause="proxy_restart", hung_up_by="system")
    add_call(db, 5, answered=None, ended=None)
    columns = "method, callid, sip_code, sip_reason, to_char(time, 'HH24:MI:SS')"
    acc = db.execute(f"SELECT {columns}, id FROM kamailio.acc ORDER BY id".encode()).fetchall()
    assert [row[:-1] for row in acc] == [
        ("INVITE", "1@phone", "200", "OK", "10:00:04"),
        ("BYE", "1@phone", "200", "OK", "10:01:04"),
        ("INVITE", "3@phone", "200", "OK", "10:00:05"),
    ]
    missed = db.execute(f"SELECT {columns}, id FROM kamailio.missed_calls ORDER BY id".encode()).fetchall()
    assert [row[:-1] for row in missed] == [
        ("INVITE", "2@phone", "486", "busy", "10:00:07"),
        ("INVITE", "4@phone", "", "proxy_restart", "10:00:13"),
    ]
    assert len({row[-1] for row in acc + missed}) == 5


@pytest.mark.parametrize("table", ["acc", "missed_calls"])
def test_acc_has_the_columns_of_kamailios_own_script(db: Conn, table: str) -> None:
    script = Path("/usr/share/kamailio/postgres/acc-create.sql").read_text()
    body = script.partition(f"CREATE TABLE {table} (")[2].partition("\n);")[0]
    wanted = [line.split()[0] for line in body.strip().splitlines()]
    found = db.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'kamailio' AND table_name = %s ORDER BY ordinal_position",
        [table],
    ).fetchall()
    assert [name for (name,) in found] == wanted


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

    wait_until(registrations_are_loaded, "Kamailio answers and has loaded the registrations", 60)


def test_real_kamailio_reads_gateways_registrations_and_locations(kamailio: KamailioRpc, db: Conn) -> None:
    told = str(kamailio.call("dispatcher.list"))
    assert "sip:127.0.0.1:" in told
    assert "sip.carrier.example" not in told  # not probed
    registration = str(kamailio.call("uac.reg_dump"))
    for value in ("0042", "carrier", db.execute("SELECT auth_ha1 FROM trunk").fetchall()[0][0]):
        assert value in registration
    # A process of its own reads the locations, and on a busy machine it may be the last after all.
    wait_until(
        lambda: "sip:alice@127.0.0.1:5099" in str(kamailio.call("ul.dump")), "locations are loaded", 30
    )


def test_real_kamailio_writes_a_location_through(kamailio: KamailioRpc, db: Conn) -> None:
    kamailio.call(
        "ul.add", "location", "bob@acme.example", "sip:bob@127.0.0.1:5098", 300, "1.0", ".", 0, 0, 0
    )
    rows = db.execute("SELECT username, domain, contact FROM kamailio.location ORDER BY username").fetchall()
    assert rows[1] == ("bob", "acme.example", "sip:bob@127.0.0.1:5098")
    kamailio.call("ul.rm", "location", "alice@acme.example")
    assert db.execute("SELECT count(*) FROM kamailio.location").fetchone() == (1,)
