"""What the doctor says of what it found: where ok ends, where trouble begins, and what to do."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kalibri.config import Config
from kalibri.config_sections import RtpConfig
from kalibri.index_dir import Current
from kalibri.services.health import Backlog, IndexState, Server, UsedZone
from kalibri.services.schema import SchemaState
from tools.doctor import certificates, database, host, ports, processes
from tools.doctor.finding import Level, size
from tools.doctor.sockets import Listener, listeners
from tools.instance.lifecycle import Status
from tools.instance.ports import WantedPort

MB, GB = 1024**2, 1024**3
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OK, WARN, FAIL = Level.OK, Level.WARN, Level.FAIL


@pytest.mark.parametrize(
    ("total", "free", "level"),
    [
        (100 * GB, 50 * GB, OK),
        (100 * GB, 9 * GB, WARN),
        (10_000 * GB, 100 * GB, OK),
        (100 * GB, 1 * GB, FAIL),
        (2 * GB, 900 * MB, WARN),
        (300 * MB, 150 * MB, FAIL),
    ],
)
def test_disk(total: int, free: int, level: Level) -> None:
    finding = host.judge_disk(Path("/data"), total=total, free=free)
    assert finding.level is level
    assert bool(finding.todo) is (level is not OK)


@pytest.mark.parametrize(("available", "level"), [(50, OK), (9, WARN), (2, FAIL)])
def test_memory(available: int, level: Level) -> None:
    assert host.judge_memory(total=100 * MB, available=available * MB).level is level


def test_clock() -> None:
    assert host.judge_clock(synchronised=True).level is OK
    assert "chrony" in host.judge_clock(synchronised=False).todo


def test_limits_name_what_is_short() -> None:
    needed = {"kamailio": 16_448, "rtp-1": 5064}
    good = host.KernelLimits(4 * MB, 4096, {"kamailio": 65_536, "rtp-1": 65_536})
    assert [finding.level for finding in host.judge_limits(good, needed)] == [OK] * 3
    bad = host.KernelLimits(212_992, 128, {"kamailio": 65_536, "rtp-1": 1024})
    findings = list(host.judge_limits(bad, needed))
    assert [finding.level for finding in findings] == [WARN] * 3
    assert findings[2].found == "open files: rtp-1 1024 (needs 5064)"


# ------------------------------------------------------------------------------------------------- ports


def port(process: str = "kamailio") -> WantedPort:
    return WantedPort(process, "proxy.sip_port", "127.0.0.1", 5060, "udp")


def test_free_port_is_fine_only_while_nobody_should_listen() -> None:
    assert ports.judge_port(port(), [], {}) is None
    finding = ports.judge_port(port(), [], {"kamailio": 1})
    assert finding is not None
    assert (finding.level, finding.found) == (
        FAIL,
        "proxy.sip_port: port 5060/udp of 127.0.0.1: kamailio runs, but does not listen",
    )


def test_port_of_a_socket_whose_owner_is_hidden() -> None:
    hidden = Listener("udp", "127.0.0.1", 5060, "0")
    assert ports.judge_port(port(), [hidden], {"kamailio": 1}) is None
    finding = ports.judge_port(port(), [hidden], {})
    assert finding is not None
    assert "held by a process that you may not see" in finding.found


@pytest.mark.parametrize(
    ("address", "taken"),
    [("127.0.0.1", True), ("0.0.0.0", True), ("::", True), ("127.0.0.2", False), ("::1", False)],
)
def test_socket_takes_what_is_sent_to_its_address(address: str, taken: bool) -> None:
    assert Listener("udp", address, 5060, "1").takes("udp", "127.0.0.1", 5060) is taken
    assert not Listener("tcp", address, 5060, "1").takes("udp", "127.0.0.1", 5060)


def test_tables_of_the_kernel_are_read(tmp_path: Path) -> None:
    heading = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    )
    row = " 0: {} 00000000:0000 {} 00000000:00000000 00:00000000 00000000 1000 0 {} 1 0 100 0\n"
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        heading + row.format("0100007F:13C4", "0A", 11) + row.format("0100007F:13C4", "01", 12)
    )
    (tmp_path / "net" / "udp").write_text(heading)
    (tmp_path / "net" / "udp6").write_text(
        heading + row.format("00000000000000000000000001000000:0D96", "07", 13)
    )
    assert listeners(tmp_path) == [
        Listener("tcp", "127.0.0.1", 5060, "11"),
        Listener("udp", "::1", 3478, "13"),
    ]


def test_media_ports_that_the_kernel_hands_out_too() -> None:
    config = Config(rtp=RtpConfig(nodes=2, port_min=10_000, port_max=19_998))
    assert ports.media_ports(config, (32_768, 60_999)).level is OK
    assert "room for 2498 relayed calls" in ports.media_ports(config, (32_768, 60_999)).found
    assert ports.media_ports(config, (19_000, 60_999)).level is WARN


# ---------------------------------------------------------------------------------------------- database


def test_server() -> None:
    server = Server(
        version_number=150_008, version="15.8 (Debian)", clock=NOW, connections=9, max_connections=100
    )

    def levels(state: Server, ahead: float) -> list[Level]:
        findings = database.judge_server(state, answer_seconds=0.001, clock_ahead_seconds=ahead)
        return [finding.level for finding in findings]

    assert levels(server, 0.2) == [OK, OK]
    assert levels(server, -3.0) == [OK, WARN, OK]
    assert levels(server, 30.0) == [OK, FAIL, OK]
    assert levels(replace(server, version_number=140_000, connections=90), 0.0) == [FAIL, WARN]


@pytest.mark.parametrize(
    ("state", "level", "found"),
    [
        (SchemaState(empty=False, applied=("0001",), pending=(), unknown=()), OK, "schema 0001 is applied"),
        (SchemaState(empty=True, applied=(), pending=("0001",), unknown=()), FAIL, "there are no tables yet"),
        (SchemaState(empty=False, applied=(), pending=("0002",), unknown=()), FAIL, "not applied: 0002"),
        (SchemaState(empty=False, applied=("9",), pending=(), unknown=("9",)), WARN, "newer version"),
    ],
)
def test_schema(state: SchemaState, level: Level, found: str) -> None:
    finding = database.judge_schema(state)
    assert finding.level is level
    assert found in finding.found


def test_partitions() -> None:
    both = {"call": ["20261121", "20261122"], "call_event": ["20261121", "20261122"]}
    fine = database.judge_partitions(both, today="20261122")
    assert (fine.level, fine.found) == (OK, "partitions of 2 days, 20261121 to 20261122")
    assert "that of today comes" in database.judge_partitions(both, today="20261123").found
    assert database.judge_partitions({"call": [], "call_event": []}, today="20261122").level is OK
    lacking = database.judge_partitions({"call": [], "call_event": ["20261122"]}, today="20261122")
    assert lacking.level is FAIL
    assert lacking.todo == "SELECT ensure_day_partitions('20261122')"


CURRENT = Current(generation=7, seq=5, routes="r", directory="d", system="s")


@pytest.mark.parametrize(
    ("state", "level", "found"),
    [
        (IndexState(current=CURRENT, missing=(), behind=0, waits_seconds=0), OK, "every change is live"),
        (IndexState(current=CURRENT, missing=(), behind=2, waits_seconds=1), OK, "2 changes behind for 1 s"),
        (IndexState(current=CURRENT, missing=(), behind=2, waits_seconds=9), WARN, "generation 7, 30 s old"),
        (IndexState(current=CURRENT, missing=(), behind=2, waits_seconds=90), FAIL, "for 90 s"),
        (IndexState(current=CURRENT, missing=("r",), behind=0, waits_seconds=0), FAIL, "not there: r"),
        (IndexState(current=None, missing=(), behind=0, waits_seconds=0), FAIL, "no index in /index"),
    ],
)
def test_index(state: IndexState, level: Level, found: str) -> None:
    finding = database.judge_index(state, Path("/index"), age_seconds=30)
    assert finding.level is level
    assert found in finding.found


@pytest.mark.parametrize(
    ("waiting", "level", "found"),
    [
        ([], OK, "0 B not stored yet, in 0 of 3 files"),
        ([Backlog("a", 100, 0.2)], OK, "100 B not stored yet, in 1 of 3 files"),
        (
            [Backlog("a", 100, 20.0), Backlog("b", 1948, None)],
            WARN,
            "2.0 KB not stored yet, in 2 of 3 files, for 20 s",
        ),
        ([Backlog("a", 100, 400.0)], FAIL, "for 400 s"),
        ([Backlog("a", 5 * MB, None)], WARN, "5.0 MB"),
        ([Backlog("a", 300 * MB, 1.0)], FAIL, "300.0 MB"),
    ],
)
def test_journal_backlog(waiting: list[Backlog], level: Level, found: str) -> None:
    finding = database.judge_backlog(waiting, files=3)
    assert finding.level is level
    assert found in finding.found


def test_zones() -> None:
    assert database.judge_zones([UsedZone("Europe/Moscow", ("tenant acme",))]).level is OK
    bad = database.judge_zones([UsedZone("Mars/Base", ("schedule work of acme", "tenant acme"))])
    assert (bad.level, bad.found) == (
        FAIL,
        "unknown zones: Mars/Base (schedule work of acme, tenant acme)",
    )


# --------------------------------------------------------------------------------------------- processes


def test_processes() -> None:
    status = Status("rtp-1", "RUNNING", 7, 10, True, "protocol 20040107")
    assert processes.judge_process(status).found == "protocol 20040107"
    assert processes.judge_process(replace(status, ready=False, detail="no answer")).level is FAIL
    stopped = processes.judge_process(replace(status, pid=None, state="FATAL", ready=False))
    assert (stopped.found, stopped.todo) == (
        "does not run (FATAL)",
        "ksinit restart rtp-1; ksinit logs rtp-1",
    )


@pytest.mark.parametrize(("free", "level"), [(50, OK), (10, WARN), (1, FAIL)])
def test_shared_memory_of_the_proxy(free: int, level: Level) -> None:
    finding = processes.judge_memory("kamailio 5.6.3 (x86_64/linux)", {"total": 100 * MB, "free": free * MB})
    assert finding.level is level
    assert "kamailio 5.6.3, shared memory" in finding.found


# ------------------------------------------------------------------------------------------ certificates


def make_pair(folder: Path, days: int, name: str = "tls") -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}_key.pem"
    words = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} -subj /CN=x"
    )
    subprocess.run([*words.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_certificate_by_its_last_day(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, 100)
    now = datetime.now(UTC)
    for days, level in ((0, OK), (78, OK), (80, WARN), (101, FAIL)):
        finding = certificates.judge(certificate, key, now=now + timedelta(days=days), own=True)
        assert finding.level is level
        assert "self-signed, good until" in finding.found
    assert "renewed" in certificates.judge(certificate, key, now=now + timedelta(days=90), own=False).todo


def test_certificate_and_key_must_be_a_pair(tmp_path: Path) -> None:
    certificate, _ = make_pair(tmp_path, 100)
    _, foreign = make_pair(tmp_path, 100, "other")
    mixed = certificates.judge(certificate, foreign, now=NOW, own=False)
    assert mixed.level is FAIL
    assert "is not the key of" in mixed.found
    assert "is not there" in certificates.judge(certificate, tmp_path / "none", now=NOW, own=False).found
    (tmp_path / "bad.pem").write_text("nonsense")
    broken = certificates.judge(tmp_path / "bad.pem", foreign, now=NOW, own=False)
    assert (broken.level, "bad.pem cannot be read" in broken.found) == (FAIL, True)


def test_sizes_for_people() -> None:
    assert [size(count) for count in (0, 1023, 1536, 20 * GB, 5000 * GB)] == [
        "0 B", "1023 B", "1.5 KB", "20.0 GB", "4.9 TB",
    ]  # fmt: skip
