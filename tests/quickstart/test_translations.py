"""Translations in the miniature world: the same facts on both sides, enough of them, the same every time."""

from unibert.quickstart.templates import parse
from unibert.quickstart.translations import translations, write_translations


def test_both_sides_name_the_same_entities(world):
    for code, language in world.languages.items():
        if code == "en":
            continue
        pairs = translations(world, language, world.languages["en"], 1)
        assert len(pairs) >= 100, code
        assert len({first for first, _ in pairs}) == len({second for _, second in pairs}) == len(pairs)
        for first, second in pairs:
            # Whatever person, place or organisation one side names by its whole name, the other knows as well.
            named = {
                entity
                for entity, forms in world.languages["en"].names.items()
                if forms["name"] in second and len(forms["name"]) > 5
            }
            theirs = {
                entity for entity, forms in language.names.items() if any(form in first for form in forms.values())
            }
            assert len(named - theirs) <= len(named) / 2, (first, second)


def test_files_are_aligned_and_the_same_every_time(world, tmp_path):
    files = write_translations(world, tmp_path / "a", 1)
    again = write_translations(world, tmp_path / "b", 1)
    assert [path.name for path in files] == [path.name for path in again]
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    assert len(files) == 2 * (len(world.languages) - 1)
    for first, second in zip(files[::2], files[1::2], strict=True):
        assert len(first.read_text("utf-8").splitlines()) == len(second.read_text("utf-8").splitlines())


def test_no_placeholder_is_left(world):
    pairs = translations(world, world.languages["de"], world.languages["en"], 1)
    assert all(parse(text) == (text,) for pair in pairs for text in pair)
