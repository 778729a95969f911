"""The options of `ksctl campaign add` and `edit`, one for each rule of a campaign."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar

import click

from callcore.dial import CampaignMode
from tools.ksctl.options import NOTHING, NUMBER_OR_NONE, TEXT_OR_NONE, Nullable, given

Command = TypeVar("Command", bound=Callable[..., Any])

_FLOAT_OR_NONE = Nullable(click.FLOAT)
MODES = click.Choice([mode.value for mode in CampaignMode])

#: Rule, type, help. `none` takes a value away.
RULES: tuple[tuple[str, Any, str], ...] = (
    ("queue", TEXT_OR_NONE, "Queue of the agents; where a pressed key leads unless it names another."),
    ("prompt", click.STRING, "What who answers hears (broadcast)."),
    ("machine_prompt", TEXT_OR_NONE, "What is left on voice mail."),
    ("abandon_prompt", TEXT_OR_NONE, "What a person hears for whom no agent is free."),
    ("language", click.STRING, "Language of the prompts."),
    ("priority", click.INT, "The higher goes first."),
    ("weight", click.INT, "Share among campaigns of one priority."),
    ("lines", click.INT, "Most calls at once."),
    ("calls_per_second", click.FLOAT, "Most new calls a second."),
    ("hours", click.STRING, 'Where the callee is: "mon-fri 09:00-21:00; sat 10:00-18:00".'),
    ("on_holidays", click.Choice(["closed", "open", "ignore"]), "What holidays mean."),
    ("retry_table", click.STRING, "Table of retry rules."),
    ("max_attempts", click.INT, "Attempts for one lead, over all of its numbers."),
    ("ring_seconds", click.INT, "How long a customer rings."),
    ("agent_ring_seconds", click.INT, "How long an agent rings (agent first)."),
    ("reading_seconds", click.INT, "Time for the agent to read before the customer is called."),
    ("preview_seconds", click.INT, "Preview: how long an agent may look at a lead."),
    ("preview_action", click.Choice(["skip", "dial"]), "Preview: what happens when he lets that time pass."),
    ("preview_again_seconds", click.INT, "Preview: who skipped a lead is not offered it again for so long."),
    ("wrapup_seconds", NUMBER_OR_NONE, "Work after a call; none: as the queue."),
    ("max_call_seconds", click.INT, "Longest call."),
    ("load_limit", _FLOAT_OR_NONE, "Load average of a minute per core at which the campaign waits."),
    ("load_resume", _FLOAT_OR_NONE, "Load below which it goes on (default: nine tenths)."),
    ("gateway", TEXT_OR_NONE, "Gateway or group that is tried first."),
    ("purpose", TEXT_OR_NONE, "Why people are called, as the contract with the operator states."),
    ("contract", TEXT_OR_NONE, "Number or label of that contract."),
    ("consent_exemption", TEXT_OR_NONE, "Why no consent is needed; none: it is."),
    ("abandon_cap_percent", click.FLOAT, "Abandoned answers of 100 that are never exceeded."),
    ("abandon_seconds", click.INT, "An answer is abandoned when no agent has it after so long."),
    ("machine_action", click.Choice(["hangup", "message"]), "What a machine gets."),
    ("note", TEXT_OR_NONE, "Remark."),
)
SWITCHES: tuple[tuple[str, str], ...] = (
    ("record", "Record the calls."),
    ("detect_machines", "Tell machines from people after the answer, too (the default)."),
    ("keep_running", "Do not finish when no lead is left."),
)
#: Rules whose "nothing" is an empty text.
_TEXTS = frozenset(
    {"machine_prompt", "abandon_prompt", "gateway", "purpose", "contract", "consent_exemption", "note"}
)


class KeyType(click.ParamType[Any]):
    """KEY=ACTION, KEY=queue:QUEUE, KEY=callback:QUEUE, KEY=opt_out:PROMPT, or KEY=none."""

    name = "key=action"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the key and what it does, None to take it away."""
        key, equals, action = str(value).partition("=")
        if not equals or len(key) != 1:
            self.fail(f'"{value}": write KEY=ACTION, as 2=queue:sales', param, ctx)
        if action == "none":
            return key, None
        word, _, name = action.partition(":")
        field = "queue" if word in ("queue", "callback") else "prompt"
        return key, {"action": word, **({field: name} if name else {})}


class PacingType(click.ParamType[Any]):
    """NAME=VALUE of a pacing setting, or NAME=none."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name and its number, None to take it away."""
        name, _, text = str(value).partition("=")
        try:
            return name, None if text == "none" else json.loads(text)
        except ValueError:
            self.fail(f'"{value}": write NAME=NUMBER, as warm_up_answers=100', param, ctx)


class Day(click.ParamType[Any]):
    """A date as 2026-12-31."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a date."""
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail(f'"{value}": write a date as 2026-12-31', param, ctx)


def rule_options(command: Command) -> Command:
    """Add an option for each rule; what was not given is None or empty."""
    for name, help_text in reversed(SWITCHES):
        word = name.replace("_", "-")
        command = click.option(f"--{word}/--no-{word}", name, default=None, help=help_text)(command)
    command = click.option(
        "--pacing", multiple=True, type=PacingType(), help="Setting of the pacing, as warm_up_answers=100."
    )(command)
    command = click.option(
        "--key",
        "keys",
        multiple=True,
        type=KeyType(),
        help="What a key does: 1=repeat, 2=queue:sales, 3=callback, 9=opt_out; KEY=none takes it away.",
    )(command)
    command = click.option(
        "--unknown-zone",
        "unknown_zones",
        multiple=True,
        help="Zones whose hours count for a number of unknown zone; none: such numbers are not dialled.",
    )(command)
    command = click.option(
        "--holiday", "holidays", multiple=True, type=Nullable(Day()), help="Holidays (all of them); none."
    )(command)
    for name, kind, help_text in reversed(RULES):
        command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=help_text)(command)
    return command


def rules_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules that were given, as the service takes them."""
    rules = given(options)
    for name in ("keys", "pacing"):
        if name in rules:
            rules[name] = dict(rules[name])
    for name in ("holidays", "unknown_zones"):
        if name in rules:
            rules[name] = tuple(value for value in rules[name] if value is not NOTHING and value != "none")
    return {name: "" if value is None and name in _TEXTS else value for name, value in rules.items()}
