"""ksctl campaign simulate: what the pacing of a campaign would reach, before it meets people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from callcore.dial import CampaignMode
from callcore.errors import BadInput, Unavailable
from callcore.pacing import Pacer, PacingSettings
from callcore.pacing_simulator import Result, World, simulate
from kalibri.services import campaign as campaigns
from kalibri.services.campaign import Campaign
from tools.ksctl.app import App, pass_app
from tools.ksctl.options import tenant_option
from tools.ksctl.output import output_option, say, show

#: More answers than any simulation has: the pacing stays at one call for one agent.
_NEVER = 1 << 60


@dataclass(frozen=True)
class Run:
    """What one seed gave; percentages of the agents' time and of the answers."""

    seed: int
    occupancy_pct: float
    abandoned_pct: float
    worst_half_hour_pct: float
    answers: int


@click.command("simulate")
@tenant_option
@click.argument("name")
@click.option("--agents", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option(
    "--answer-percent", type=click.FloatRange(1, 100), default=30.0, show_default=True, help="Of calls."
)
@click.option(
    "--talk-seconds", type=click.FloatRange(1, 3600), default=120.0, show_default=True, help="Mean."
)
@click.option("--wrapup-seconds", type=click.FloatRange(0, 3600), default=15.0, show_default=True)
@click.option("--hours", type=click.IntRange(1, 24), default=4, show_default=True, help="Simulated time.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the last run to this PNG."
)
@output_option
@pass_app
def cli(
    app: App, tenant: str, name: str, agents: int, answer_percent: float, talk_seconds: float,
    wrapup_seconds: float, hours: int, seeds: int, plot: Path | None, output: str,
) -> None:  # fmt: skip
    """Simulate the pacing of a campaign: occupancy of the agents, abandoned people.

    The pacing is the one that the engine runs, with the settings of the campaign.
    """
    campaign = campaigns.find(app.conn, tenant_id=app.tenant_id(tenant), name=name)
    settings = settings_of(campaign)
    world = World(
        agents=agents,
        answer_chance=lambda _second: answer_percent / 100,
        talk_mean_seconds=talk_seconds,
        wrapup_seconds=wrapup_seconds,
        patience_seconds=campaign.abandon_seconds,
    )
    runs, result = [], None
    for seed in range(seeds):
        result = simulate(world, Pacer(settings), seed, seconds=hours * 3600)
        runs.append(_run(seed, result))
    show(runs, ("seed", "occupancy_pct", "abandoned_pct", "worst_half_hour_pct", "answers"), output)
    if plot is not None and result is not None:
        _draw(result, agents, plot)
        say(f"drawn to {plot}")


def settings_of(campaign: Campaign) -> PacingSettings:
    """Return the pacing of a campaign; raises BadInput for a mode without pacing, or a setting that is none."""
    if campaign.mode not in (CampaignMode.PROGRESSIVE, CampaignMode.PREDICTIVE):
        raise BadInput(
            f"a campaign of the mode {campaign.mode} has no pacing: progressive and predictive have"
        )
    known: dict[str, Any] = {"abandon_cap": campaign.abandon_cap_percent / 100, **campaign.pacing}
    if campaign.mode is CampaignMode.PROGRESSIVE:
        known["warm_up_answers"] = _NEVER
    try:
        return PacingSettings(**known)
    except (TypeError, ValueError) as error:
        raise BadInput(f"pacing: {error}") from error


def _run(seed: int, result: Result) -> Run:
    return Run(
        seed,
        round(result.occupancy_pct, 1),
        round(result.abandoned_pct, 2),
        round(result.worst_half_hour_pct, 2),
        result.answers,
    )


def _draw(result: Result, agents: int, file: Path) -> None:
    """Draw busy agents, calls in the air and abandoned people over the time; raises Unavailable."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise Unavailable("matplotlib is not installed: without --plot the figures are shown") from error
    minutes = [sample.second / 60 for sample in result.samples]
    figure, (upper, lower) = pyplot.subplots(2, 1, sharex=True, figsize=(10, 6))
    upper.plot(minutes, [sample.busy_agents for sample in result.samples], label="busy agents")
    upper.plot(minutes, [sample.calls_in_air for sample in result.samples], label="calls in the air")
    upper.axhline(agents, linestyle=":", color="grey", label="agents")
    shares = [100 * sample.abandoned / max(sample.answers, 1) for sample in result.samples]
    lower.plot(minutes, shares, color="tab:red", label="abandoned, % of answers so far")
    lower.set_xlabel("minutes")
    for axis in (upper, lower):
        axis.legend(loc="upper right")
        axis.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(file, format="png", dpi=110)
    pyplot.close(figure)
