"""What a node does before RTPProxy starts: its flags, and the recordings of an earlier life."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from rtpproxy_ctl.node import NodeOptions, main, sweep_spool


def options(tmp_path: Path, advertised: str = "") -> NodeOptions:
    return NodeOptions(("127.0.0.1", 22000), "10.0.0.1", advertised, 20000, 20999, tmp_path, tmp_path)


def test_an_ordinary_user_does_not_silence_the_check_for_root(tmp_path: Path) -> None:
    assert "-F" not in options(tmp_path).extra_args(is_root=False)
    assert "-F" in options(tmp_path).extra_args(is_root=True)


def test_the_advertised_address_is_given_only_where_it_differs(tmp_path: Path) -> None:
    assert "-A" not in options(tmp_path).extra_args(is_root=False)
    args = options(tmp_path, "203.0.113.7").extra_args(is_root=False)
    assert args[args.index("-A") + 1] == "203.0.113.7"


def test_a_left_over_recording_is_moved_and_overwrites_nothing(tmp_path: Path) -> None:
    spool, final = tmp_path / "spool", tmp_path / "rec"
    spool.mkdir()
    final.mkdir()
    (spool / "call.pcap").write_bytes(b"cut short")
    (spool / "other.pcap").write_bytes(b"other")
    (final / "call.pcap").write_bytes(b"earlier")
    assert [path.name for path in sweep_spool(spool, final)] == ["call.1.pcap", "other.pcap"]
    assert (final / "call.pcap").read_bytes() == b"earlier"
    assert (final / "call.1.pcap").read_bytes() == b"cut short"
    assert list(spool.iterdir()) == []


def test_a_bad_port_range_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main,
        [
            "--control",
            "127.0.0.1:1",
            "--ports",
            "9-3",
            "--spool",
            str(tmp_path),
            "--recordings",
            str(tmp_path),
        ],
    )
    assert result.exit_code == 2
    assert "'9-3' is not a range of ports" in result.output
