"""What a scenario says: prompts, numbers, money, dates and times in it, as prompts in a language. Pure.

Which words a number takes is callcore/speech.py's; here is which value of which variable is said how. A value that
cannot be said (a look-up gave nonsense) is left out and told, it never ends a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from callcore import speech
from callcore.ivr_lines import Fields, Item
from callcore.ivr_values import fill, names_in, to_date, to_number, to_time
from callcore.speech import BadSpeech, Gender, Prompts


class SayKind(StrEnum):
    """What one item of `say` is; its key in the scenario."""

    #: A prompt by its name.
    PROMPT = "prompt"
    #: A number, with a counted unit or alone.
    NUMBER = "number"
    #: Digits one by one.
    DIGITS = "digits"
    #: Money.
    AMOUNT = "amount"
    #: A day, ISO 8601.
    DATE = "date"
    #: A time of day, HH:MM.
    TIME = "time"
    #: "third".
    ORDINAL = "ordinal"
    #: One prompt of several, by a value.
    CHOOSE = "choose"


_GENDERS = {"masculine": Gender.MASCULINE, "feminine": Gender.FEMININE, "neuter": Gender.NEUTER}


@dataclass(frozen=True, slots=True, kw_only=True)
class SayItem:
    """One thing to say."""

    kind: SayKind
    line: int
    #: Name of a prompt, or a template of the value.
    value: str
    #: Of speech.UNITS, "" for none.
    unit: str = ""
    gender: Gender = Gender.MASCULINE
    #: ISO 4217, or a template of it.
    currency: str = ""
    with_year: bool = False
    #: Value → prompt.
    choices: tuple[tuple[str, str], ...] = ()
    #: Prompt when no choice fits; "": nothing.
    otherwise: str = ""

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts that it names itself."""
        if self.kind is SayKind.PROMPT:
            return (self.value,)
        named = tuple(name for _, name in self.choices)
        return (*named, self.otherwise) if self.otherwise else named

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that it needs."""
        return () if self.kind is SayKind.PROMPT else (*names_in(self.value), *names_in(self.currency))

    def render(self, variables: Mapping[str, str], language: str) -> Prompts:
        """Return the prompts; raises BadSpeech for a value that cannot be said so."""
        if self.kind is SayKind.PROMPT:
            return (self.value,)
        return _RENDER[self.kind](self, fill(self.value, variables).strip(), variables, language)


def _render_number(item: SayItem, value: str, variables: Mapping[str, str], language: str) -> Prompts:
    number = to_number(value)
    if number is None:
        raise BadSpeech(f"{value!r} is no number")
    whole = int(number.to_integral_value())
    if item.unit:
        return speech.counted(whole, item.unit, language)
    return speech.number(whole, language, item.gender)


def _render_amount(item: SayItem, value: str, variables: Mapping[str, str], language: str) -> Prompts:
    number = to_number(value)
    if number is None:
        raise BadSpeech(f"{value!r} is no amount")
    return speech.amount(Decimal(number), fill(item.currency, variables).strip().upper(), language)


def _render_ordinal(item: SayItem, value: str, variables: Mapping[str, str], language: str) -> Prompts:
    number = to_number(value)
    if number is None or number != int(number):
        raise BadSpeech(f"{value!r} has no ordinal")
    return speech.ordinal(int(number), language)


def _render_date(item: SayItem, value: str, variables: Mapping[str, str], language: str) -> Prompts:
    day = to_date(value)
    if day is None:
        raise BadSpeech(f"{value!r} is no date")
    return speech.day(day, language, with_year=item.with_year)


def _render_time(item: SayItem, value: str, variables: Mapping[str, str], language: str) -> Prompts:
    moment = to_time(value)
    if moment is None:
        raise BadSpeech(f"{value!r} is no time of day")
    return speech.clock(moment, language)


def _render_choice(item: SayItem, value: str, variables: Mapping[str, str], language: str) -> Prompts:
    chosen = dict(item.choices).get(value, item.otherwise)
    return (chosen,) if chosen else ()


_RENDER = {
    SayKind.NUMBER: _render_number,
    SayKind.DIGITS: lambda item, value, variables, language: speech.digits(value, language),
    SayKind.AMOUNT: _render_amount,
    SayKind.DATE: _render_date,
    SayKind.TIME: _render_time,
    SayKind.ORDINAL: _render_ordinal,
    SayKind.CHOOSE: _render_choice,
}


def read_say(fields: Fields, name: str = "say") -> tuple[SayItem, ...]:
    """Read a field that says something: a name, or a list of names and mappings."""
    return tuple(_items(fields, fields.list_of(name), name))


def _items(fields: Fields, items: tuple[Item, ...], name: str) -> Iterator[SayItem]:
    for item in items:
        if isinstance(item.value, str) and item.value:
            yield SayItem(kind=SayKind.PROMPT, line=item.line, value=item.value)
        elif isinstance(item.value, Mapping):
            read = _read_mapping(Fields(fields.problems, item, fields.node))
            if read is not None:
                yield read
        else:
            fields.complain(
                item.line, f'"{name}" takes names of prompts, and mappings such as number: "{{x}}"'
            )


def _read_mapping(inner: Fields) -> SayItem | None:
    kinds = [kind for kind in SayKind if kind in inner.names()]
    if len(kinds) != 1:
        inner.complain(inner.item.line, f"say exactly one of {', '.join(SayKind)}")
        return None
    kind = kinds[0]
    value = inner.text(kind, None, longest=200)
    more: dict[str, object] = {}
    if kind is SayKind.NUMBER:
        more["unit"] = inner.one_of("unit", ("", *speech.UNITS), "")
        more["gender"] = _GENDERS[inner.one_of("gender", _GENDERS, "masculine")]
    elif kind is SayKind.AMOUNT:
        more["currency"] = _currency(inner)
    elif kind is SayKind.DATE:
        more["with_year"] = inner.flag("with_year", False)
    elif kind is SayKind.CHOOSE:
        of = inner.texts("of")
        if not of:
            inner.complain(inner.item.line, '"of" must give at least one value with its prompt')
        more["choices"] = tuple((key, text) for key, (text, _) in of.items())
        more["otherwise"] = inner.text("otherwise")
    inner.done()
    return SayItem(kind=kind, line=inner.item.line, value=value, **more)  # type: ignore[arg-type]


def _currency(inner: Fields) -> str:
    currency = inner.text("currency", None)
    if currency and not names_in(currency) and currency.upper() not in speech.CURRENCIES:
        inner.complain(
            inner.line_of("currency"),
            f'"currency" must be one of {", ".join(speech.CURRENCIES)} or a variable',
        )
    return currency


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a list of items becomes."""

    prompts: tuple[str, ...]
    #: What could not be said, and why.
    left_out: tuple[str, ...] = ()


def render(items: tuple[SayItem, ...], variables: Mapping[str, str], language: str) -> Spoken:
    """Return everything that can be said, in order."""
    prompts: list[str] = []
    left_out: list[str] = []
    for item in items:
        try:
            prompts += item.render(variables, language)
        except BadSpeech as error:
            left_out.append(error.message)
    return Spoken(tuple(prompts), tuple(left_out))
