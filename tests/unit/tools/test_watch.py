"""When the watch restarts a process, and when `up` gives one up."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalibri.config import Config
from tools.instance import alone as without_database
from tools.instance import lifecycle
from tools.instance.lifecycle import FAILED_LIVES, Lives
from tools.instance.probes import Answer
from tools.instance.processes import DATABASE, Process, processes
from tools.instance.supervisord import State, Supervisor
from tools.instance.watch import SECOND_CHANCE_SECONDS, Trouble, Watch, judge

ITEM = Process(name="kamailio", argv=("kamailio",), patience_seconds=30)
SILENT, READY = Answer(False, "no answer"), Answer(True, "OPTIONS 200 OK")


def state(name: str = "RUNNING", started_at: int = 1) -> State:
    return State(name=name, pid=7, uptime_seconds=1, started_at=started_at)


def rounds(states: list[State], answers: list[Answer], times: list[float]) -> list[bool]:
    """Judge one round after the other and return when a restart was due."""
    trouble: Trouble | None = None
    decisions = []
    for one, answer, now in zip(states, answers, times, strict=True):
        trouble, due = judge(ITEM, one, answer, trouble, now=now)
        decisions.append(due)
    return decisions


def test_a_silent_process_is_restarted_when_patience_ends() -> None:
    assert rounds([state()] * 4, [SILENT] * 4, [0, 15, 29.9, 30]) == [False, False, False, True]


def test_one_answer_clears_the_record() -> None:
    answers = [SILENT, SILENT, READY, SILENT, SILENT]
    assert rounds([state()] * 5, answers, [0, 20, 25, 40, 60]) == [False] * 5


def test_a_new_life_begins_with_a_clean_record() -> None:
    states = [state(started_at=1), state(started_at=1), state(started_at=2), state(started_at=2)]
    assert rounds(states, [SILENT] * 4, [0, 20, 40, 69]) == [False] * 4


@pytest.mark.parametrize("name", ["STOPPED", "STOPPING", "STARTING", "BACKOFF", "EXITED"])
def test_what_supervisord_is_busy_with_or_somebody_stopped_is_left_alone(name: str) -> None:
    assert rounds([state(name)] * 3, [SILENT] * 3, [0, 100, 200]) == [False] * 3


def test_a_process_that_was_given_up_gets_another_chance() -> None:
    times = [0, SECOND_CHANCE_SECONDS - 1, SECOND_CHANCE_SECONDS]
    assert rounds([state("FATAL")] * 3, [SILENT] * 3, times) == [False, False, True]


def test_up_gives_a_process_up_when_it_ended_in_several_lives() -> None:
    lives = Lives()
    seen = [lives.failed({"kamailio": state("BACKOFF", started_at=life)}) for life in (1, 1, 2, 3)]
    assert seen == [set(), set(), set(), {"kamailio"}]
    assert FAILED_LIVES == 3


def test_up_gives_a_process_up_when_supervisord_did() -> None:
    assert Lives().failed({"stun": state("FATAL"), "rtp-1": state()}) == {"stun"}


@pytest.mark.parametrize(
    ("database", "proxy", "alone", "restarted"),
    [
        (READY, READY, True, ["kamailio"]),
        (SILENT, READY, True, []),
        (READY, SILENT, True, []),  # it is just being started, and takes over what was written
        (READY, READY, False, []),
    ],
)
def test_a_proxy_without_database_is_restarted_when_that_is_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database: Answer,
    proxy: Answer,
    alone: bool,
    restarted: list[str],
) -> None:
    config = Config(home=tmp_path)
    if alone:
        without_database.folder(config).mkdir()
    commands: list[str] = []

    class FakeSupervisor(Supervisor):
        def states(self) -> dict[str, State]:
            return {item.name: state() for item in processes(config)}

        def stop(self, name: str, *, wait: bool = True) -> None:
            commands.append(f"stop {name}")

        def start(self, name: str) -> None:
            commands.append(f"start {name}")

    def answers(_config: Config, _states: object, names: list[str]) -> dict[str, Answer]:
        return {name: {DATABASE: database, "kamailio": proxy}.get(name, READY) for name in names}

    monkeypatch.setattr(lifecycle, "answers_of", answers)
    assert Watch(config, FakeSupervisor(config)).round(0.0) == restarted
    assert commands == [f"{verb} {name}" for name in restarted for verb in ("stop", "start")]
