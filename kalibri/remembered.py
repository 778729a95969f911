"""What an instance was told when it was started, so that later commands find it without being told again.

    KALIBRI_PROXY_SIP_PORT=7060 ./ksinit up     and later, in another shell:     ./ksinit status

`ksinit up` writes the settings that came by environment and command line to <home>/etc/environment (one
NAME="value" a line, as systemd's EnvironmentFile); every other command, and every process of the instance,
reads them there and lets its own environment go first. The home itself is never remembered: it is where the
file lies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from callcore.errors import BadInput
from kalibri.config import ENVIRONMENT_PREFIX, key_names

#: What a shell, and systemd, take for more than a character inside double quotes.
SPECIAL = re.compile(r'["\\$`]')
LINE = re.compile(r'([A-Z0-9_]+)="((?:[^"\\]|\\.)*)"')


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that is configuration, without the home."""
    names = {setting_name(key) for key in key_names() if key != "home"} | {"KALIBRI_CONFIG", "KALIBRI_BASE"}
    return {name: environ[name] for name in sorted(names) if name in environ}


def setting_name(key: str) -> str:
    """Return the environment variable of a configuration key: proxy.sip_port -> KALIBRI_PROXY_SIP_PORT."""
    return ENVIRONMENT_PREFIX + key.replace(".", "_").upper()


def remembered_file(home: Path) -> Path:
    """Return where an instance keeps what it was told."""
    return home / "etc" / "environment"


def to_text(environ: Mapping[str, str]) -> str:
    """Return the file's text; BadInput for a value of more than one line."""
    lines = []
    for name, value in settings(environ).items():
        if "\n" in value:
            raise BadInput(f"{name} has more than one line")
        escaped = SPECIAL.sub(lambda special: "\\" + special[0], value)
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


def recall(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment completed by what the instance at `home` was told; its own values count first."""
    try:
        text = remembered_file(home).read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    told = {name: re.sub(r"\\(.)", r"\1", value) for name, value in LINE.findall(text)}
    return {**told, **environ, "KALIBRI_HOME": str(home)}
