"""What is said of numbers, read back: every sequence of prompts means the number that it was made of."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from callcore.speech import (
    CURRENCIES,
    LANGUAGES,
    LIMIT,
    UNITS,
    BadSpeech,
    Gender,
    all_names,
    amount,
    clock,
    counted,
    day,
    digits,
    mailbox,
    moment,
    number,
    ordinal,
    plural_form,
    position,
    wait,
)
from kalibri.prompt_files import TEXTS

SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}

languages = st.sampled_from(LANGUAGES)
#: Half past one in the night of the 23rd, by the clock of Moscow.
NOW = datetime(2026, 11, 22, 22, 30, tzinfo=UTC).astimezone(ZoneInfo("Europe/Moscow"))


def value_of(prompts: tuple[str, ...]) -> int:
    """Read cardinals and ordinals back into a number."""
    total = part = 0
    for name in prompts:
        word, _, rest = name.partition("-")
        if word in ("number", "ordinal"):
            part += int(rest.partition("-")[0])
        elif word in ("hundred", "hundredth"):
            part *= 100
        elif word in SCALES:
            total, part = total + part * SCALES[word], 0
        else:
            assert word == "oh", name
    return total + part


def texts(language: str) -> dict[str, str]:
    content = yaml.safe_load((TEXTS / f"{language}.yaml").read_text(encoding="utf-8"))
    assert content["language"] == language
    return dict(content["prompts"])


def told(prompts: tuple[str, ...], language: str) -> str:
    spoken = texts(language)
    return " ".join(spoken[name] for name in prompts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_prompt_that_may_be_asked_for_has_a_text(language: str) -> None:
    assert all_names(language) <= texts(language).keys()


@given(st.integers(0, LIMIT - 1), languages)
def test_a_number_read_back_is_the_number(value: int, language: str) -> None:
    assert value_of(number(value, language)) == value


@given(st.integers(0, LIMIT - 1), languages, st.sampled_from(Gender))
def test_every_number_is_said_with_known_prompts(value: int, language: str, gender: Gender) -> None:
    assert set(number(value, language, gender)) <= all_names(language)


@given(st.integers(1, 999), languages)
def test_an_ordinal_read_back_is_the_number(value: int, language: str) -> None:
    said = ordinal(value, language)
    assert value_of(said) == value
    assert said[-1].startswith(("ordinal-", "hundredth"))


@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)), st.sampled_from(["ru"]))
def test_the_counted_word_agrees_with_the_last_digits(value: int, unit: str, language: str) -> None:
    *_, last = counted(value, unit, language)
    form = last.rpartition("-")[2]
    teens = value % 100 in range(11, 15)
    expected = "many" if teens or value % 10 in (0, *range(5, 10)) else "one" if value % 10 == 1 else "few"
    assert form == expected == plural_form(value, "ru")


@given(st.integers(0, 10**8), st.sampled_from(sorted(CURRENCIES)), languages)
def test_an_amount_read_back_is_the_amount(cents: int, currency: str, language: str) -> None:
    said = amount(Decimal(cents) / 100, currency, language)
    large, small = CURRENCIES[currency]
    parts: dict[str, tuple[str, ...]] = {}
    collected: list[str] = []
    for name in said:
        word = name.partition("-")[0]
        if word in (large, small):
            parts[word], collected = tuple(collected), []
        else:
            collected.append(name)
    assert not collected
    assert value_of(parts.get(large, ())) * 100 + value_of(parts.get(small, ())) == cents


@given(st.times(), languages)
def test_a_time_of_day_is_said_with_known_prompts(value: time, language: str) -> None:
    assert set(clock(value, language)) <= all_names(language)


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)), languages)
def test_a_date_is_said_with_known_prompts(value: date, language: str) -> None:
    said = day(value, language, with_year=True)
    assert set(said) <= all_names(language)
    assert f"month-{value.month}" in said


@given(st.integers(0, 100), st.integers(0, 100), languages)
def test_a_wait_is_said_with_known_prompts(low: int, more: int, language: str) -> None:
    assert set(wait(low, low + more, language)) <= all_names(language)


@given(st.integers(1, 5000), languages)
def test_a_position_names_its_number(value: int, language: str) -> None:
    said = tuple(name for name in position(value, language) if not name.startswith("position"))
    assert value_of(said) == value


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (number(21, "ru", Gender.FEMININE), "двадцать одна"),
        (number(2_001_512, "ru"), "два миллиона одна тысяча пятьсот двенадцать"),
        (number(-7, "ru"), "минус семь"),
        (counted(112, "minute", "ru"), "сто двенадцать минут"),
        (counted(22, "second", "ru"), "двадцать две секунды"),
        (amount(Decimal("1001.01"), "RUB", "ru"), "одна тысяча один рубль одна копейка"),
        (amount(Decimal("0.50"), "RUB", "ru"), "пятьдесят копеек"),
        (amount(Decimal("0"), "RUB", "ru"), "ноль рублей"),
        (
            day(date(2026, 11, 22), "ru", with_year=True),
            "двадцать второе ноября две тысячи двадцать шестого года",
        ),
        (day(date(2000, 5, 3), "ru", with_year=True), "третье мая двухтысячного года"),
        (clock(time(21, 5), "ru"), "двадцать один час пять минут"),
        (position(3, "ru"), "Вы третий в очереди."),
        (position(121, "ru"), "Вы сто двадцать первый в очереди."),
        (wait(0, 1, "ru"), "Вам ответят меньше чем через минуту."),
        (wait(5, 10, "ru"), "Примерное время ожидания: от пяти до десяти минут"),
        (wait(1, 21, "ru"), "Примерное время ожидания: от одной до двадцати одной минуты"),
        (wait(2, 2, "ru"), "Примерное время ожидания: около двух минут"),
        (wait(0, 5, "en"), "The waiting time is less than five minutes"),
        (number(215_000, "en"), "two hundred fifteen thousand"),
        (day(date(2026, 11, 22), "en", with_year=True), "November twenty second twenty twenty six"),
        (day(date(2005, 1, 1), "en", with_year=True), "January first two thousand five"),
        (clock(time(9, 5), "en"), "nine oh five a m"),
        (clock(time(0, 30), "en"), "twelve thirty a m"),
        (position(23, "en"), "You are twenty third in the queue."),
        (digits("+7495", "en"), "plus seven four nine five"),
        (mailbox(0, 0, "ru"), "У вас нет сообщений."),
        (mailbox(1, 0, "ru"), "У вас одно новое сообщение"),
        (mailbox(22, 1, "ru"), "У вас двадцать два новых сообщения и одно старое сообщение"),
        (mailbox(11, 5, "ru"), "У вас одиннадцать новых сообщений и пять старых сообщений"),
        (mailbox(0, 3, "ru"), "У вас три старых сообщения"),
        (mailbox(1, 2, "en"), "You have one new message and two old messages"),
        (moment(NOW.replace(hour=9, minute=5, day=23), NOW, "ru"), "сегодня девять часов пять минут"),
        (moment(NOW - timedelta(days=1), NOW, "en"), "yesterday one thirty a m"),
        (moment(NOW - timedelta(days=3), NOW, "ru"), "двадцатого ноября один час тридцать минут"),
        (
            moment(NOW.replace(year=2025, day=3), NOW, "ru"),
            "третьего ноября две тысячи двадцать пятого года один час тридцать минут",
        ),
    ],
)
def test_words(said: tuple[str, ...], text: str) -> None:
    assert told(said, "en" if text.isascii() else "ru") == text


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: number(1, "de"),
        lambda: digits("12a", "ru"),
        lambda: ordinal(0, "ru"),
        lambda: position(0, "ru"),
        lambda: wait(5, 4, "ru"),
        lambda: amount(Decimal(1), "XXX", "ru"),
        lambda: day(date(1899, 1, 1), "ru", with_year=True),
    ],
)
def test_what_cannot_be_said_is_refused(attempt: object) -> None:
    with pytest.raises(BadSpeech):
        attempt()  # type: ignore[operator]
