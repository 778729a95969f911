"""Patterns made to stall a matcher: what the worst one that may be saved costs a call.

python -m bench.route_evil
"""

from __future__ import annotations

import random
import time

from bench.report import write_report
from kemi.ks_route.model import PatternClass
from kemi.ks_route.patterns import Matcher, classify, make_matcher
from tests.support.regex_fuzz import RegexMaker

#: Classics, and patterns just below the limits of the classifier.
PATTERNS = (
    r"(a+)+$", r"^(\d+)+x$", r"(.*)*=", r"^\d*\d*\d*\d*\d*\d*\d*\d*8!$", r"(?=(\d+)+x)7", r"^(a|a)*$", r"(x+x+)+y",
    r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(\d+)\1x", r"^(\d+)\1x", r"(\d)\1{3,}$", r"(?=.*5)(?=.*6).*7x", r"(?:1?){12}x",
    r"(?:1?){9}x", r"(a{1,30}){1,30}x", r"(a{1,15}){1,15}x", r"(?:a?){40}a{40}b", r"[01]*1[01]{60}2", r"\d+x", r".*.*x",
    r"^.*@.*\.com$", r"(?:1)?(?:\d){1,3}(?:(?:[12]){0,40})?x", r"^[^a]\d(?:([^a](?:\d){2,5})){2,5}((?:(?:1)?){3})$",
    r"^(?!(?:1|11|111)+$)1+$", r"(?<!1)(1|11)+x", r"(1?)\1\1\1\1\1\1\1\1\1x", r"(?:(?=(1+))\1)+x",
)  # fmt: skip
TEXTS = (
    "1" * 128, "a" * 128, "a" * 127 + "!", "x" * 128, "12" * 64, "1a" * 64, "1" * 127 + "a", "0" * 128, "@.co" * 32,
    "01101000110111" * 9, "7" * 64 + "8" * 64,
)  # fmt: skip
RANDOM_PATTERNS = 3_000
#: What a random pattern # is put into.
WRAPPERS = ("#", "(?:#)*x", "((#)+)+x", "^(?:#)+$", "(?:#){1,9}x", r"\d*(?:#)\d*x")


def measure() -> dict[str, float]:
    """Return the worst CPU milliseconds of one search over all patterns that may be saved and all texts."""
    worst, first_use, refused = 0.0, 0.0, 0
    rnd = random.Random(4)
    maker = RegexMaker(rnd)
    wild = [rnd.choice(WRAPPERS).replace("#", maker.pattern()) for _number in range(RANDOM_PATTERNS)]
    for pattern in (*PATTERNS, *wild):
        kind = classify(pattern).pattern_class
        if kind is None or kind is PatternClass.NONE:
            refused += 1
            continue
        started = time.thread_time()
        matcher = make_matcher(pattern, kind)
        matcher(TEXTS[0])
        first_use = max(first_use, time.thread_time() - started)
        worst = max(worst, *(_search(matcher, text) for text in TEXTS))
    return {
        "evil_regex_worst_ms": 1000 * worst,
        "evil_regex_first_use_ms": 1000 * first_use,
        "evil_regex_refused": refused,
    }


def _search(matcher: Matcher, text: str) -> float:
    """Return the CPU seconds of a search; a slow one is repeated, because other work may have disturbed it."""
    times = []
    for _attempt in range(5):
        started = time.thread_time()
        matcher(text)
        times.append(time.thread_time() - started)
        if times[-1] < 0.0002:
            break
    return min(times)


if __name__ == "__main__":
    write_report("route", measure())
