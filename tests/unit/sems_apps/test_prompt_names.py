"""Every prompt and tone that a machine asks for exists in every language of the system."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from callcore import speech, synthesis
from kalibri.config import PROJECT_ROOT
from sems_apps import machines
from sems_apps.actions import split_target
from sems_apps.settings import QueueSettings

ASKED = re.compile(r'(?:prompt|say_and_leave)\((?:call, )?"([a-z-]+)"\)')
TONES = re.compile(r'tone\("([a-z-]+)"\)')


def found(pattern: re.Pattern[str]) -> set[str]:
    files = Path(next(iter(machines.__path__))).glob("*.py")
    return {name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("language", speech.LANGUAGES)
def test_prompts_of_the_machines_are_spoken(language: str) -> None:
    path = PROJECT_ROOT / "conf" / "prompts" / f"{language}.yaml"
    texts = yaml.safe_load(path.read_text(encoding="utf-8"))["prompts"]
    assert len(found(ASKED)) >= 7
    assert found(ASKED) <= set(texts)
    assert QueueSettings().survey_prompt in texts


def test_tones_of_the_machines_exist() -> None:
    assert found(TONES)
    assert found(TONES) <= set(synthesis.TONES)


@pytest.mark.parametrize(
    ("target", "split"),
    [
        ("+7495", ("", "+7495")),
        ("sip:eve@acme.example", ("", "sip:eve@acme.example")),
        ("account:eve", ("account", "eve")),
    ],
)
def test_target_has_a_kind_or_is_a_number(target: str, split: tuple[str, str]) -> None:
    assert split_target(target) == split
