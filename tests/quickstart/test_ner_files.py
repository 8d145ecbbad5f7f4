"""Labelled sentences: IOB2, true to the facts, and no sentence or pair of template and entity in two splits."""

import itertools
import random

import pytest

from unibert.errors import DataError
from unibert.quickstart.ner_files import SPLITS, labelled, labelled_sentences, write_ner
from unibert.quickstart.templates import Segment, text_of
from unibert.quickstart.words import words
from unibert.quickstart.world import DESCRIBED_KINDS

SIZES = (400, 80, 150)


@pytest.fixture(scope="module")
def made(world):
    return {code: labelled_sentences(world, language, 1, SIZES) for code, language in world.languages.items()}


def spans(tokens, tags):
    """(type, words) of the entities of an IOB2 sentence; an I without its B is an error."""
    found = []
    for previous, (token, tag) in itertools.pairwise([("", "O"), *zip(tokens, tags, strict=True)]):
        if tag.startswith("B-"):
            found.append((tag[2:], [token]))
        elif tag.startswith("I-"):
            assert previous[1][1:] == tag[1:], f"{tag} after {previous[1]}"
            found[-1][1].append(token)
        else:
            assert tag == "O"
    return found


def test_as_many_as_asked_for(made):
    for splits in made.values():
        assert tuple(len(splits[split]) for split in SPLITS) == SIZES


def test_labels_are_those_of_the_facts(world, made):
    for code, splits in made.items():
        language = world.languages[code]
        labels = {}
        for entity, forms in language.names.items():
            for form in forms.values():
                # A form may have a preposition before the entity, or a suffix behind it.
                for part in parts_of(tuple(words(form))):
                    labels.setdefault(part, set()).add(world.entities[entity].label)
        for sentence in itertools.chain.from_iterable(splits.values()):
            for label, span in spans(sentence.tokens, sentence.tags):
                assert label in labels.get(tuple(span), ()), (code, span, label)


def parts_of(form):
    return {form[start:end] for start, end in itertools.combinations(range(len(form) + 1), 2)}


def test_every_type_is_in_every_split(made):
    for splits in made.values():
        for sentences in splits.values():
            kinds = {label for sentence in sentences for label, _ in spans(sentence.tokens, sentence.tags)}
            assert kinds == {"PER", "ORG", "LOC"}


def test_no_sentence_is_repeated(made):
    for splits in made.values():
        tokens = [sentence.tokens for sentences in splits.values() for sentence in sentences]
        assert len(set(tokens)) == len(tokens)


def test_no_template_meets_an_entity_in_two_splits(made):
    for splits in made.values():
        for one, other in itertools.combinations(SPLITS, 2):
            assert not {s.pair for s in splits[one]} & {s.pair for s in splits[other]}


def test_tested_templates_are_trained_with_other_entities(made):
    for splits in made.values():
        trained = {sentence.pair.template for sentence in splits["train"]}
        known = sum(sentence.pair.template in trained for sentence in splits["test"])
        assert known >= 0.9 * len(splits["test"])


def test_files_hold_the_sentences_and_are_the_same_every_time(world, made, tmp_path):
    paths = write_ner(world, tmp_path / "a", 1, SIZES)
    again = write_ner(world, tmp_path / "b", 1, SIZES)
    other = write_ner(world, tmp_path / "c", 2, SIZES)
    assert set(paths) == set(world.languages)
    for code, splits in paths.items():
        assert splits["train"] == tmp_path / "a" / code / "train.txt"
        for split, path in splits.items():
            text = path.read_text(encoding="utf-8")
            read = [
                tuple(zip(*(line.split(" ") for line in block.split("\n")), strict=True))
                for block in text.strip("\n").split("\n\n")
            ]
            assert read == [(sentence.tokens, sentence.tags) for sentence in made[code][split]]
            assert text == again[code][split].read_text(encoding="utf-8")
        assert splits["train"].read_bytes() != other[code]["train"].read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        [f"{split}.txt" for split in SPLITS] * 3 * len(paths)
    )


def test_a_size_of_nothing_is_an_empty_file(world, tmp_path):
    paths = write_ner(world, tmp_path, 1, (3, 0, 2))
    assert all(splits["dev"].read_text(encoding="utf-8") == "" for splits in paths.values())


def test_more_than_the_world_holds_is_an_error_and_leaves_no_file(world, tmp_path):
    with pytest.raises(DataError, match="different train sentences"):
        write_ner(world, tmp_path, 1, (1_000_000, 1, 1))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_words_of_a_label_are_the_words_of_the_mention(world):
    chooser = random.Random(3)
    for language in world.languages.values():
        for kind in DESCRIBED_KINDS:
            entity = chooser.choice(world.of_kind(kind))
            for template in language.sentences[kind]:
                segments = world.render(language, template, entity, chooser)
                if segments is None:
                    continue
                tokens, tags = labelled(segments)
                mentions = [(segment.label, words(segment.text)) for segment in segments if segment.entity]
                assert spans(tokens, tags) == mentions
                assert "".join(tokens) == "".join("".join(words(s.text)) for s in segments)
                assert "".join(tokens) == "".join(text_of(segments).split())


def test_entities_touching_their_neighbours_stay_apart():
    paris = Segment("巴黎", "paris", "LOC", "巴黎")
    ankara = Segment("Ankara", "ankara", "LOC", "Ankara")
    assert labelled([Segment("在"), paris, paris, Segment("的")]) == (
        ("在", "巴", "黎", "巴", "黎", "的"),
        ("O", "B-LOC", "I-LOC", "B-LOC", "I-LOC", "O"),
    )
    assert labelled([ankara, Segment("lı")]) == (("Ankara", "lı"), ("B-LOC", "O"))
