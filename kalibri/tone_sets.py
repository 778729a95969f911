"""Reads the call-progress tones by country: conf/tones.yaml, or the file of this name in the instance's etc/.

Decides nothing: callcore/ears_tones.py checks the table and listens.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from callcore.ears_tones import ToneSet, parse_tone_sets
from callcore.errors import BadInput
from kalibri.config import PROJECT_ROOT, Config

NAME = "tones.yaml"


def tone_sets_of(config: Config) -> dict[str, ToneSet]:
    """Return the tone sets of an instance by country; raises BadInput, OSError."""
    own = config.etc_directory / NAME
    return read_tone_sets(own if own.exists() else PROJECT_ROOT / "conf" / NAME)


def read_tone_sets(path: Path) -> dict[str, ToneSet]:
    """Return the tone sets of a file by country; raises BadInput, OSError."""
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {error}") from error
    return parse_tone_sets(table)
