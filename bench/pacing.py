"""What pacing reaches: occupancy and abandonment of simulated campaigns, ours beside other rules, seed by seed.

    python -m bench.pacing [--seeds N] [--hours N]

The pacer is the object that the engine runs (callcore/pacing.py). Every figure of one line comes from the same worlds
and seeds. Prints a table, writes bench/out/pacing.json.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table

from bench import pacing_rules as rules
from bench.report import write_report
from callcore.pacing import Pacer
from callcore.pacing_simulator import Pacing, Result, World, simulate

RULES: dict[str, Callable[[], Pacing]] = {
    "kalibri": Pacer,
    "progressive 1:1": rules.Progressive,
    "ratio 2 × idle": lambda: rules.FixedRatio(2),
    "ratio 3 × idle": lambda: rules.FixedRatio(3),
    "adaptive, hard limit": rules.AdaptiveHard,
    "tail predictor .97": lambda: rules.TailPredictor(0.97),
    "failed ÷ answered": rules.FailedOverAnswered,
}
CHANCES: dict[str, Callable[[int], float]] = {
    "0.2": lambda second: 0.2,
    "0.4": lambda second: 0.4,
    "step": lambda second: 0.45 if second // 3600 % 2 else 0.25,
}
#: Agents of a campaign; the targets hold for 20.
TEAMS = (5, 20, 50)
TARGET_TEAM = 20


@dataclass(frozen=True)
class Run:
    rule: str
    agents: int
    chance: str
    seed: int
    hours: int

    def result(self) -> Result:
        world = World(agents=self.agents, answer_chance=CHANCES[self.chance])
        return simulate(world, RULES[self.rule](), self.seed, seconds=self.hours * 3600)


def _result(run: Run) -> Result:
    return run.result()


@click.command(help=__doc__)
@click.option("--seeds", default=10, show_default=True, help="Seeds of our own pacing; others get a third.")
@click.option("--hours", default=6, show_default=True, help="Length of each campaign.")
def main(seeds: int, hours: int) -> None:
    others = max(1, seeds // 3)
    runs = [
        Run(rule, agents, chance, seed, hours)
        for rule in RULES
        for agents in TEAMS
        for chance in CHANCES
        for seed in range(seeds if rule == "kalibri" and agents == TARGET_TEAM else others)
    ]
    with ProcessPoolExecutor(2) as pool:
        results = dict(zip(runs, pool.map(_result, runs, chunksize=2), strict=True))
    _print(results)
    ours = [result for run, result in results.items() if run.rule == "kalibri" and run.agents == TARGET_TEAM]
    metrics = {
        "occupancy_min_pct_20_agents": min(result.occupancy_pct for result in ours),
        "abandon_max_pct_20_agents": max(result.abandoned_pct for result in ours),
        "abandon_worst_half_hour_pct_20_agents": max(result.worst_half_hour_pct for result in ours),
        "seeds": seeds,
    }
    for agents in TEAMS:
        some = [result for run, result in results.items() if run.rule == "kalibri" and run.agents == agents]
        metrics[f"occupancy_mean_pct_{agents}_agents"] = sum(one.occupancy_pct for one in some) / len(some)
        metrics[f"abandon_mean_pct_{agents}_agents"] = sum(one.abandoned_pct for one in some) / len(some)
    write_report("pacing", metrics)


def _print(results: dict[Run, Result]) -> None:
    table = Table("rule", *(f"{agents} agents, {chance}" for agents in TEAMS for chance in CHANCES))
    for rule in RULES:
        cells = []
        for agents in TEAMS:
            for chance in CHANCES:
                some = [
                    result
                    for run, result in results.items()
                    if (run.rule, run.agents, run.chance) == (rule, agents, chance)
                ]
                occupancy = sum(one.occupancy_pct for one in some) / len(some)
                cells.append(f"{occupancy:.0f} / {max(one.abandoned_pct for one in some):.1f}")
        table.add_row(rule, *cells)
    console = Console(width=150)
    console.print("occupancy % (mean) / abandoned % (worst seed)")
    console.print(table)


if __name__ == "__main__":
    main()
