"""A daemon's sign of life."""

from __future__ import annotations

from pathlib import Path

from kalibri.heartbeat import Beat, Heartbeat, forget_beat, read_beat


class Clock:
    """Seconds since boot, set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_a_daemon_says_is_read_with_its_age(tmp_path: Path) -> None:
    clock = Clock()
    Heartbeat(tmp_path, "ks-cdr", clock=clock).beat("2 lines behind")
    clock.now += 4
    assert read_beat(tmp_path, "ks-cdr", clock=clock) == Beat(4.0, "2 lines behind")


def test_a_daemon_that_never_said_anything_has_no_beat(tmp_path: Path) -> None:
    assert read_beat(tmp_path, "ks-cdr") is None


def test_a_quick_loop_does_not_write_at_every_turn(tmp_path: Path) -> None:
    clock = Clock()
    heartbeat = Heartbeat(tmp_path, "ks-cdr", clock=clock)
    for detail in ("first", "too early"):
        heartbeat.beat(detail)
        clock.now += 0.25
    assert read_beat(tmp_path, "ks-cdr", clock=clock) == Beat(0.5, "first")
    clock.now += 0.5
    heartbeat.beat("second")
    assert read_beat(tmp_path, "ks-cdr", clock=clock) == Beat(0.0, "second")


def test_a_new_life_forgets_the_old_beat(tmp_path: Path) -> None:
    Heartbeat(tmp_path, "ks-cdr").beat()
    forget_beat(tmp_path, "ks-cdr")
    forget_beat(tmp_path, "ks-cdr")
    assert read_beat(tmp_path, "ks-cdr") is None
