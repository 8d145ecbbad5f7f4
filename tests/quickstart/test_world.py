"""Loading the world: what is wrong in a file is told with file, line and remedy; what is right is usable everywhere."""

import random
import re

import pytest

from unibert.errors import DataError
from unibert.quickstart.facts import City, Country, Person
from unibert.quickstart.templates import text_of
from unibert.quickstart.world import DESCRIBED_KINDS, load_world


def damage(folder, file, old, new):
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text, "the test's own premise: the text to damage is there"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("facts.toml", 'capital = "paris"', 'capital = "pari"', r"facts\.toml:\d+: capital of 'france' names 'pari'"),
        ("facts.toml", 'capital = "paris"', 'capital = "seine"', r"'seine', which is not the id of a city"),
        ("facts.toml", 'capital = "paris", ', "", r"facts\.toml:\d+: country lacks 'capital'"),
        ("facts.toml", '{ id = "germany"', '{ id = "france"', r"facts\.toml:\d+: id 'france' is used twice"),
        ("facts.toml", "area = 551", 'area = "551"', r"facts\.toml:\d+: area is not a whole number"),
        ("facts.toml", "area = 551", "surface = 551", r"country has no key 'surface'"),
        ("facts.toml", "continent = [", "planet = [", r"unknown kind 'planet'"),
        ("facts.toml", 'gender = "m"', 'gender = "x"', r"facts\.toml:\d+: gender is 'x'"),
        ("en.toml", 'code = "en"', 'code = "fr"', r"en\.toml:\d+: language.code is 'fr'"),
        ("en.toml", 'code = "en"', "", r"language\.code is missing"),
        ("en.toml", "[headings]", "[heading]", r"no section \[headings\]"),
        ("en.toml", 'france = "France"\n', "", r"names\.france is missing"),
        ("en.toml", 'france = "France"', 'france = "[[France]]"', r"en\.toml:\d+: a name with '\['"),
        ("en.toml", 'france = "France"', 'france = "France"\natlantis = "A"', r"names\.atlantis is not an id"),
        ("en.toml", 'poet = "poet"', 'poet = { m = "poet" }', r"occupations\.poet lacks the form m and f"),
        ("en.toml", "{capital}", "{captial}", r"en\.toml:\d+: unknown placeholder \{captial\}"),
        ("en.toml", "{capital}", "{capital", r"en\.toml:\d+: a brace without its placeholder"),
        ("en.toml", 'code = "en"', "code = en", r"en\.toml: not valid TOML"),
    ],
)
def test_damage_is_named_with_its_place(english_folder, file, old, new, message):
    damage(english_folder, file, old, new)
    with pytest.raises(DataError, match=message) as caught:
        load_world(english_folder)
    assert caught.value.fix


def test_the_line_is_the_right_one(english_folder):
    damage(english_folder, "facts.toml", 'capital = "paris"', 'capital = "pari"')
    lines = (english_folder / "facts.toml").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if '"pari"' in text)
    with pytest.raises(DataError, match=f"facts.toml:{line}:"):
        load_world(english_folder)


def test_a_kind_needs_a_template_that_always_fits(english_folder):
    path = english_folder / "en.toml"
    text = path.read_text(encoding="utf-8")
    only = 'country = ["{subject} and {neighbour}"]'
    path.write_text(re.sub(r"^country = \[.*?^\]", only, text, count=1, flags=re.M | re.S), encoding="utf-8")
    with pytest.raises(DataError, match="no template that every country can fill"):
        load_world(english_folder)


def test_missing_folder_and_missing_files(tmp_path, english_folder):
    with pytest.raises(DataError, match="no such folder"):
        load_world(tmp_path / "nowhere")
    (english_folder / "en.toml").unlink()
    with pytest.raises(DataError, match="no language beside"):
        load_world(english_folder)
    (english_folder / "facts.toml").unlink()
    with pytest.raises(DataError, match="no facts"):
        load_world(english_folder)


def test_not_utf8_is_told(english_folder):
    (english_folder / "en.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(DataError, match=r"en\.toml: cannot be read"):
        load_world(english_folder)


def test_a_folder_gives_the_same_as_the_package(world, english_folder):
    small = load_world(english_folder)
    assert small.entities == world.entities
    assert list(small.languages) == ["en"]
    assert small.languages["en"] == world.languages["en"]


def test_facts_are_typed_and_refer_to_each_other(world):
    country = world.entities["france"]
    assert isinstance(country, Country)
    capital = world.entities[country.capital]
    assert isinstance(capital, City)
    assert capital.country == "france"
    for city, natives in world.born_in.items():
        for native in natives:
            person = world.entities[native]
            assert isinstance(person, Person)
            assert person.birthplace == city


def test_titles_are_unique(world):
    for language in world.languages.values():
        assert len(set(language.titles.values())) == len(world.entities)


def test_two_entities_of_one_name_get_different_titles(english_folder):
    damage(english_folder, "en.toml", 'seine = "Seine"', 'seine = "Paris"')
    language = load_world(english_folder).languages["en"]
    assert (language.titles["paris"], language.titles["seine"]) == ("Paris", "Paris (2)")


def test_every_template_about_every_entity_reads_as_its_segments(world):
    chooser = random.Random(0)
    for language in world.languages.values():
        for kind in DESCRIBED_KINDS:
            for entity in world.of_kind(kind):
                told = 0
                for template in (*language.templates[kind], *language.sentences[kind]):
                    segments = world.render(language, template, entity, chooser)
                    if segments is None:
                        continue
                    told += 1
                    for segment in segments:
                        if segment.entity is not None:
                            assert segment.target == language.titles[segment.entity]
                            assert segment.label == world.entities[segment.entity].label
                            assert segment.text in "\n".join(language.names[segment.entity].values())
                    text = text_of(segments)
                    assert "{" not in text
                    if "{subject}" in template:
                        assert language.names[entity.id]["name"] in text
                assert told >= 3


def test_an_occupation_follows_the_gender_and_numbers_the_language(world):
    german = world.languages["de"]
    chooser = random.Random(0)
    fillers = world.fillers(german, world.entities["marie_curie"], chooser)
    assert fillers["occupation"].forms["name"] == "Physikerin"
    assert world.fillers(german, world.entities["fermi"], chooser)["occupation"].forms["name"] == "Physiker"
    assert german.number(10.4) == "10,4"
    assert world.languages["en"].number(10.4) == "10.4"
    assert german.number(2.0) == "2"
    assert german.number(17098) == "17098"
