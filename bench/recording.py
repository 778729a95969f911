"""What the recording pipeline costs: CPU seconds for one hour of a stereo call, from pcap to stored MP3.

    python -m bench.recording [--minutes N] [--rounds N]

The whole pipeline with a real PostgreSQL: claim, mix, MP3 by ffmpeg, checksums, rows. Counted is the CPU of the worker
and of ffmpeg. Both sides speak all the time (espeak-ng), which is the dearest case. Prints a table and writes
bench/out/rtp.json; bench/rtp.py calls `measure` and has it among its own figures.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
from itertools import cycle, islice
from pathlib import Path

import click
import numpy as np

from bench.report import write_report
from callcore.resample import halve
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.prompt_audio import master, speak
from tests.support.fix_pg import temporary_cluster
from tests.support.recordings import Samples, recorded_call
from tools.ks_rec import settle

TEXTS = {
    "en-gb": "The quick brown fox jumps over the lazy dog, while seven wizards make toxic brew for the evil queen.",
    "ru": "Съешь же ещё этих мягких французских булок, да выпей чаю, а потом расскажи, как прошёл твой день.",
}
TARGET_CPU_SECONDS = 36.0


def _speech(voice: str, minutes: float) -> Samples:
    """Return so many minutes of speech at 8 kHz."""
    sentence = halve(master(speak(TEXTS[voice], voice=voice), -20))
    count = round(minutes * 60 * 8000)
    return np.fromiter(islice(cycle(sentence.tolist()), count), np.int16, count)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(*, minutes: float = 60, rounds: int = 3) -> dict[str, float]:
    """Return the metrics; the median of several rounds."""
    caller, callee = _speech("ru", minutes), _speech("en-gb", minutes)
    spent = []
    with temporary_cluster() as server, tempfile.TemporaryDirectory(prefix="ksbench-") as home:
        config = Config(
            home=Path(home), database=DatabaseConfig(dsn=server.dsn("kalibri"), connect_timeout_ms=30_000)
        )
        for _ in range(rounds):
            length = minutes * 60
            recorded_call(config, caller=caller, callee=callee, seconds=length, age_seconds=length + 60)
            before = _cpu_seconds()
            if not settle(config) or list(config.rtp_manifest_directory.glob("*.jsonl")):
                raise RuntimeError("the recording was not finished")
            spent.append((_cpu_seconds() - before) * 60 / minutes)
    seconds = statistics.median(spent)
    return {
        "pipeline_cpu_s_per_hour": seconds,
        "pipeline_cpu_s_per_hour_target": TARGET_CPU_SECONDS,
        "pipeline_times_real_time": 3600 / seconds,
        "pipeline_peak_memory_mb": max(
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        / 1024,
    }


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="Length of the call.")
@click.option("--rounds", default=3, show_default=True)
def main(minutes: float, rounds: int) -> None:
    """Measure the recording pipeline."""
    write_report("rtp", measure(minutes=minutes, rounds=rounds))


if __name__ == "__main__":
    main()
