"""Masks rewrite numbers as `re.sub` does, within bounds."""

from __future__ import annotations

import random
import re

import pytest

from kemi.ks_route.masks import MaskTooLong, compile_mask
from kemi.ks_route.model import PatternClass
from kemi.ks_route.patterns import PatternRefused, classify
from tests.support.regex_fuzz import RegexMaker, Sampler, rounds


@pytest.mark.parametrize(
    ("pattern", "replacement", "number", "expected"),
    [
        (r"^8(\d{10})$", r"7\1", "84951234567", "74951234567"),
        (r"^8(\d{10})$", r"7\1", "112", "112"),
        (r"^\+", "", "+7495", "7495"),
        ("^", "9#", "7495", "9#7495"),
        ("$", "@x", "7495", "7495@x"),
        (r"[^0-9]", "", "+7 (495) 123-45-67", "74951234567"),
        (r"^(?P<code>\d{3})(\d+)$", r"\g<2>-\g<code>", "4951234", "1234-495"),
        (r"^(\d)(x)?", r"\2\g<1>", "7", "7"),
        (r"^(.*)$", r"\g<0>0", "7", "70"),
        (r"^7", r"\\", "7495", r"\495"),
        (r"^(\d+)+$", r"9\1", "7495", "97495"),
        (r"(7|8)\1", r"\1", "7788", "78"),
    ],
)
def test_rewriting(pattern: str, replacement: str, number: str, expected: str) -> None:
    assert compile_mask(pattern, replacement).apply(number) == expected


@pytest.mark.parametrize(
    ("pattern", "replacement", "reason"),
    [
        ("", "7", "no pattern"),
        ("(", "7", "not a regular expression"),
        (r"(?=(\d+)+x)7", "7", "could take very long"),
        ("a", r"\1", "refers to group '1'"),
        ("(a)", r"\g<name>", "refers to group 'name'"),
        ("(a)", r"\12", "refers to group '12'"),
        ("(a)", r"\123", "character 1"),
        ("a", r"x\n", "character 2"),
        ("a", "x y", "character 2"),
        ("a", "é", "character 1"),
        ("a", "x\\", "character 2"),
        ("a", "7" * 129, "longer than 128"),
    ],
)
def test_a_refused_mask_says_why(pattern: str, replacement: str, reason: str) -> None:
    with pytest.raises(PatternRefused) as refusal:
        compile_mask(pattern, replacement)
    assert reason in refusal.value.message


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [(r"\d", "12"), (r"(?=(.*))", r"\1" * 40), ("^", "7" * 100), ("(x*)*", "0123")],
)
def test_a_mask_cannot_make_a_number_longer_than_the_limit(pattern: str, replacement: str) -> None:
    with pytest.raises(MaskTooLong):
        compile_mask(pattern, replacement).apply("7" * 100)


def test_fuzz_masks_equal_re_sub() -> None:
    rnd = random.Random(9)
    maker, compared, classes = RegexMaker(rnd), 0, set()
    for _round in rounds(1):
        pattern = maker.pattern()
        result = classify(pattern, mask=True)
        if result.tree is None:
            continue
        replacement = rnd.choice(["", "7", r"<\g<0>>", r"\g<0>\g<0>"])
        mask = compile_mask(pattern, replacement)
        for _sample in range(5):
            text = Sampler(rnd).text(result.tree)[:12]
            if not text.isascii() or not text.isprintable():
                continue
            assert mask.apply(text) == re.sub(pattern, replacement, text, flags=re.ASCII), (pattern, text)
            compared += 1
            classes.add(result.pattern_class)
    assert compared > 200
    assert classes == {PatternClass.RE, PatternClass.RE2}
