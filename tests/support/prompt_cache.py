"""The system's prompts, compiled once a machine and linked into the home of each test's instance.

Speaking four hundred texts takes seconds, which every instance would spend anew. Files of prompts are never changed in
place, so links to them are as good as copies.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kalibri.config import Config
from kalibri.prompt_files import PromptFolder
from kalibri.services import prompt as prompts

CACHE = Path(f"/tmp/kalibri-test-prompts-{os.getuid()}")


def lay_down_prompts(home: Path) -> None:
    """Give an instance that has not been started yet its compiled prompts."""
    if (home / "prompts").exists():
        return
    cache = Config(home=CACHE)
    prompts.compile_system(cache)
    with PromptFolder(cache).locked():
        shutil.copytree(
            cache.prompt_directory,
            home / "prompts",
            copy_function=os.link,
            ignore=shutil.ignore_patterns(".*"),
        )
