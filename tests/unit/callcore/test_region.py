"""Region names: every spelling seen in the registry leads to one name."""

from __future__ import annotations

import pytest

from callcore.region import REGIONS, Region, normalise_region


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("г. Москва * Московская область", "Москва и Московская область"),
        ("г. Москва и Московская область", "Москва и Московская область"),
        ("Московская область и г.Москва", "Москва и Московская область"),
        ("Москва", "Москва"),
        ("г. Санкт-Петербург и Ленинградская область", "Санкт-Петербург и Ленинградская область"),
        ("г. Санкт - Петербург * Ленинградская обл.", "Санкт-Петербург и Ленинградская область"),
        ("Корякский округ|Камчатский край", "Камчатский край"),
        ("г. Уфа|Республика Башкортостан", "Республика Башкортостан"),
        ("г. Королев|г.о. Королёв|Московская область", "Московская область"),
        ("Республика Саха /Якутия/", "Республика Саха (Якутия)"),
        ("Ханты-Мансийский Автономный округ - Югра АО", "Ханты-Мансийский автономный округ - Югра"),
        ("Ханты - Мансийский - Югра АО", "Ханты-Мансийский автономный округ - Югра"),
        ("Чувашская Республика - Чувашия", "Чувашская Республика"),
        ("Кемеровская область - Кузбасс область", "Кемеровская область"),
        ("Республика Северная Осетия-Алания", "Республика Северная Осетия - Алания"),
        ("Еврейская АО", "Еврейская автономная область"),
        ("Ямало-Ненецкий АО", "Ямало-Ненецкий автономный округ"),
        ("Алтайский край", "Алтайский край"),
        ("Республика Алтай", "Республика Алтай"),
        ("  краснодарский   КРАЙ ", "Краснодарский край"),
        ("Российская Федерация", "Российская Федерация"),
    ],
)
def test_spellings_of_the_registry(spelling: str, name: str) -> None:
    assert normalise_region(spelling) == Region(name, True)


def test_unknown_name_stays_and_is_marked() -> None:
    assert normalise_region("г.  Тридевятое|Царство") == Region("г. Тридевятое|Царство", False)
    assert normalise_region("") == Region("", False)


def test_each_name_and_each_pair_of_names_is_its_own_normal_form() -> None:
    for name in REGIONS:
        assert normalise_region(name) == Region(name, True)
    pair = normalise_region("Московская область * г. Москва").name
    assert normalise_region(pair) == Region(pair, True)


def test_no_further_name_leads_to_two_regions() -> None:
    for name, others in REGIONS.items():
        for spelling in others:
            assert normalise_region(spelling) == Region(name, True), spelling
