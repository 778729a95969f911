"""The options of `ksctl queue add` and `edit`, one for each rule of a queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import click

from callcore.call_queue import QueueAnchor, QueueStaffing, QueueStrategy
from kalibri.services.queue_options import media_value, parse_overflow
from tools.ksctl.options import NUMBER_OR_NONE, TEXT_OR_NONE, enabled_option, given

Command = TypeVar("Command", bound=Callable[..., Any])


def _words(enum: type[StrEnum]) -> click.Choice[str]:
    return click.Choice([word.value for word in enum])


#: Rule, type, help. Where the type knows `none`, that means: no limit, never, not used.
RULES: tuple[tuple[str, Any, str], ...] = (
    ("strategy", _words(QueueStrategy), "Which ready agent gets a call."),
    ("anchor", _words(QueueAnchor), "Whether a media host carries calls though an agent is free."),
    ("priority", click.INT, "Callers of a higher one go first, over all queues."),
    ("ageing_seconds", NUMBER_OR_NONE, "One step of a caller's own priority is worth so much waiting."),
    ("ring_seconds", click.INT, "How long an agent rings."),
    ("ring_all_limit", click.INT, "Strategy ring_all: how many ring at once."),
    ("retry_seconds", click.INT, "Pause between two agents for the same caller."),
    ("wrapup_seconds", click.INT, "Work after a call."),
    ("max_size", NUMBER_OR_NONE, "Callers who may wait."),
    ("max_wait_seconds", NUMBER_OR_NONE, "How long a caller may wait."),
    ("join_when", _words(QueueStaffing), "Whom the queue must have so that callers may join."),
    ("stay_when", _words(QueueStaffing), "Whom the queue must have so that callers may stay."),
    ("schedule", TEXT_OR_NONE, "Opening hours: a schedule of the tenant."),
    ("sticky_seconds", NUMBER_OR_NONE, "How long a caller waits for the agent whom he had last."),
    ("sticky_days", click.INT, "How long that agent is remembered."),
    ("reject_exclusion_seconds", click.INT, "How long a caller is kept from who rejected him."),
    ("no_answer_delay_seconds", click.INT, "After no answer: no call for the agent so long."),
    ("no_answer_limit", NUMBER_OR_NONE, "After so many in a row he is paused."),
    ("reject_delay_seconds", click.INT, "After a rejection: no call for the agent so long."),
    ("reject_limit", NUMBER_OR_NONE, "After so many in a row he is paused."),
    ("busy_delay_seconds", click.INT, "After busy: no call for the agent so long."),
    ("busy_limit", NUMBER_OR_NONE, "After so many in a row he is paused."),
    ("unreachable_delay_seconds", click.INT, "After unreachable: no call for the agent so long."),
    ("unreachable_limit", NUMBER_OR_NONE, "After so many in a row he is paused."),
    ("grace_seconds", click.INT, "How long the place of a caller is kept whose host died."),
    ("service_level_seconds", click.INT, "Service level: answered within this time."),
    ("service_level_percent", click.INT, "Service level: the aim."),
    ("short_abandon_seconds", click.INT, "Who hangs up sooner does not count."),
    ("callback_first", click.Choice(["agent", "caller"]), "Who is called first for a callback."),
    ("callback_attempts", click.INT, "Calls to the person of a callback."),
    ("callback_retry_seconds", click.INT, "Time between them."),
    ("callback_ring_seconds", click.INT, "How long that person's phone rings."),
    ("callback_expires_seconds", click.INT, "A callback is given up after this time."),
    ("callback_schedule", TEXT_OR_NONE, "Hours in which callbacks are made."),
    ("callback_caller_id", click.STRING, "Number that the person sees."),
)
SWITCHES: tuple[tuple[str, str], ...] = (
    ("record", "Record the calls."),
    ("transferable", "Agents may hand callers on (needs a media host)."),
    ("supervised", "Supervisors may listen (needs a media host)."),
    ("callback_enabled", "Callers may ask for a callback."),
)


def rule_options(command: Command) -> Command:
    """Add an option for each rule; what was not given is None."""
    for name, help_text in reversed(SWITCHES):
        word = name.replace("_", "-").removesuffix("-enabled")
        command = click.option(f"--{word}/--no-{word}", name, default=None, help=help_text)(command)
    command = click.option(
        "--overflow",
        multiple=True,
        metavar="REASON=KIND:VALUE",
        help="Where callers go who are not served: timeout=queue:second; REASON=none takes it away.",
    )(command)
    command = click.option(
        "--media",
        multiple=True,
        metavar="NAME=VALUE",
        help="What callers hear and may press: music=jazz, announce_position=yes; NAME=none for the default.",
    )(command)
    command = click.option(
        "--tiers", metavar="0,S2,S3", help="Waits in seconds after which the tiers open, the first 0."
    )(command)
    for name, kind, help_text in reversed(RULES):
        command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=help_text)(command)
    return enabled_option(command)


def rules_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules that were given, as kalibri.services.queue takes them; raises BadInput, UsageError."""
    kept = given(
        {name: value for name, value in options.items() if name not in ("tiers", "media", "overflow")}
    )
    if options["tiers"] is not None:
        try:
            kept["tier_waits"] = tuple(int(part) for part in options["tiers"].split(","))
        except ValueError:
            raise click.UsageError(
                f"--tiers {options['tiers']}: write seconds with commas, as 0,30,60"
            ) from None
    if options["overflow"]:
        kept["overflow"] = dict(parse_overflow(text) for text in options["overflow"])
    if options["media"]:
        kept["media"] = dict(_media(text) for text in options["media"])
    return kept


def _media(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--media {text}: write NAME=VALUE, as music=jazz")
    return name, None if value == "none" else media_value(name, value)
