"""The watch: restarts a process that lives but is of no use. `python -m tools.instance.watch`

supervisord sees only that a process ended. Kamailio whose workers are gone, a database that accepts and
never answers, a node that hangs: all these keep their pid. The watch asks every running process for a real
answer (probes.py) and restarts one that has given none for as long as its patience; and it gives those
another chance that supervisord has given up. It never touches a process that somebody stopped on purpose.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callcore.errors import KalibriError
from kalibri import remembered
from kalibri.config import Config, load_config
from kalibri.heartbeat import Heartbeat
from tools.instance import lifecycle
from tools.instance.alone import is_alone
from tools.instance.node_beats import NodeBeats
from tools.instance.probes import Answer
from tools.instance.processes import Process, processes
from tools.instance.supervisord import State, Supervisor

EVERY_SECONDS = 2.0
#: A process that supervisord has given up is started again after this time.
SECOND_CHANCE_SECONDS = 30.0


@dataclass(frozen=True)
class Trouble:
    """A process that was found unready, again and again since a moment, in one life of it."""

    since: float
    started_at: int
    detail: str


def judge(
    item: Process, state: State, answer: Answer, trouble: Trouble | None, *, now: float
) -> tuple[Trouble | None, bool]:
    """Return what to remember of a process until the next round, and whether to restart it now.

    `now` is monotonic. A new life of the process (another start) begins with a clean record.
    """
    if state.name not in ("RUNNING", "FATAL") or (state.name == "RUNNING" and answer.ready):
        return None, False
    if trouble is None or trouble.started_at != state.started_at:
        return Trouble(now, state.started_at, answer.detail), False
    limit = SECOND_CHANCE_SECONDS if state.name == "FATAL" else item.patience_seconds
    if now - trouble.since < limit:
        return trouble, False
    return None, True


class Watch:
    """Goes round all processes; holds what it has against each."""

    def __init__(self, config: Config, supervisor: Supervisor) -> None:
        self._items = [item for item in processes(config) if item.name != "watch"]
        self._config = config
        self._supervisor = supervisor
        self._troubles: dict[str, Trouble | None] = {}
        #: What answered in the last round.
        self.ready: frozenset[str] = frozenset()

    def round(self, now: float) -> list[str]:
        """Ask every process once, restart those whose time is up, and return their names."""
        states = self._supervisor.states()
        questions = sorted(
            {item.name for item in self._items} | {need for item in self._items for need in item.needs}
        )
        answers = lifecycle.answers_of(self._config, states, questions)
        self.ready = frozenset(name for name, answer in answers.items() if answer.ready)
        restarted = [item.name for item in self._items if self._is_due(item, states, answers, now)]
        for name in restarted:
            self._restart(name, states[name], answers[name].detail)
        for item in self._items:
            if item.name not in restarted and self._is_alone_in_vain(item, states, answers):
                self._restart(item.name, states[item.name], "the database is back")
                restarted.append(item.name)
        return restarted

    def _is_alone_in_vain(
        self, item: Process, states: Mapping[str, State], answers: Mapping[str, Answer]
    ) -> bool:
        """Tell whether a process runs without the database though it is back."""
        return (
            bool(item.alone_argv)
            and is_alone(self._config)
            and item.name in states
            and states[item.name].name == "RUNNING"
            and answers[item.name].ready  # not one that is just being started, and takes the files over
            and all(answers[need].ready for need in item.needs)
        )

    def _is_due(
        self, item: Process, states: Mapping[str, State], answers: Mapping[str, Answer], now: float
    ) -> bool:
        if item.name not in states or not all(answers[need].ready for need in item.needs):
            # Without the database a restarted process would only wait in vain: leave it what it still has.
            self._troubles[item.name] = None
            return False
        trouble = self._troubles.get(item.name)
        self._troubles[item.name], due = judge(item, states[item.name], answers[item.name], trouble, now=now)
        return due

    def _restart(self, name: str, state: State, why: str) -> None:
        _say(f"restarting {name} ({state.name}): {why}")
        try:
            if state.name == "RUNNING":
                self._supervisor.stop(name)
            self._supervisor.start(name)
        except KalibriError as error:  # it ended, or was stopped, just now: the next round sees
            _say(f"{name}: {error.message}")


def main() -> None:
    config = load_config(environ=remembered.recall(Path(os.environ["KALIBRI_HOME"]), os.environ))
    watch, heartbeat = Watch(config, Supervisor(config)), Heartbeat(config.run_directory, "watch")
    beats = NodeBeats(config)
    while True:
        began = time.monotonic()
        try:
            watch.round(began)
            beats.beat(watch.ready, began)
        except KalibriError as error:
            _say(error.message)
        heartbeat.beat()
        time.sleep(max(0.1, EVERY_SECONDS - (time.monotonic() - began)))


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} watch: {text}\n")


if __name__ == "__main__":
    main()
