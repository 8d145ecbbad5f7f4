"""Made parts: fixed by content, whole, apart, and of the sizes that were asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.benchmark.splitting import draw, group_keys, split_parts
from unibert.tasks.conll import Sentence
from unibert.tasks.data import Split, Splits
from unibert.tasks.nli import Pair
from unibert.tasks.squad import Answer, Question, read_questions
from unibert.tasks.sts import ScoredPair


def part(samples, name="file"):
    return Split(name, "0" * 64, list(samples))


def sentences(count, start=0):
    return [Sentence((f"w{number}",), ("O",)) for number in range(start, start + count)]


def question(number, context, language="en"):
    return Question(str(number), f"{language} {number}?", context, (Answer("a", 0),))


def sizes(splits):
    return {name: len(getattr(splits, name).samples) for name in ("train", "dev", "test") if getattr(splits, name)}


@pytest.mark.parametrize(
    ("there", "shares"),
    [
        ({"dev": 5000}, {"train": 4000, "dev": 500, "test": 500}),
        ({"test": 5000}, {"train": 4000, "dev": 500, "test": 500}),
        ({"train": 5000}, {"train": 4000, "dev": 500, "test": 500}),
        ({"train": 90, "dev": 1000}, {"train": 90, "dev": 500, "test": 500}),
        ({"dev": 1800, "test": 90}, {"train": 1600, "dev": 200, "test": 90}),
        ({"train": 1800, "test": 90}, {"train": 1600, "dev": 200, "test": 90}),
        ({"train": 9, "dev": 8, "test": 7}, {"train": 9, "dev": 8, "test": 7}),
    ],
)
def test_shares_of_what_is_there(there, shares):
    splits = Splits(**{name: part(sentences(count, start)) for start, (name, count) in enumerate(there.items())})
    divided = split_parts("ner", {"de": splits}, False)
    found = sizes(divided.languages["de"])
    assert found.keys() == shares.keys()
    for name, share in shares.items():
        assert abs(found[name] - share) <= 4 * share**0.5 if share > 100 else found[name] == share
    assert len(divided.notes) == 1


@given(st.lists(st.integers(0, 10**6), max_size=60, unique=True), st.randoms())
def test_a_sample_goes_where_it_goes_whatever_else_there_is(numbers, random):
    """No sample is lost or doubled; its part depends on its content only."""
    samples = [Sentence((str(number),), ("O",)) for number in numbers]
    whole = split_parts("ner", {"de": Splits(dev=part(samples))}, False).languages["de"] if samples else Splits()
    placed = {
        sample: name for name in ("train", "dev", "test") for sample in (getattr(whole, name) or part([])).samples
    }
    assert sorted(sample.words for sample in placed) == sorted(sample.words for sample in samples)
    some = random.sample(samples, len(samples) // 2)
    if some:
        again = split_parts("ner", {"fr": Splits(test=part(some))}, False).languages["fr"]
        for name in ("train", "dev", "test"):
            assert all(placed[sample] == name for sample in (getattr(again, name) or part([])).samples)


def test_a_fixed_split():
    """A change of the rule would change what published results were on."""
    divided = split_parts("ner", {"de": Splits(dev=part(sentences(40)))}, False).languages["de"]
    assert [sample.words[0] for sample in divided.dev.samples] == ["w3", "w12", "w20", "w30", "w36"]
    assert [sample.words[0] for sample in divided.test.samples] == ["w0", "w2", "w10", "w19", "w24", "w29"]
    assert [sample.words[0] for sample in draw("ner", part(sentences(40)), 3, False).samples] == ["w10", "w30", "w32"]


def test_questions_on_one_text_stay_together_in_all_languages():
    contexts = {number: number // 3 for number in range(300)}
    languages = {
        language: Splits(test=part([question(n, f"{language} {contexts[n]}", language) for n in chosen]))
        for language, chosen in {"en": range(300), "de": range(0, 300, 2), "zh": range(299, 100, -1)}.items()
    }
    places = {}
    for splits in split_parts("qa", languages, False).languages.values():
        for name in ("train", "dev", "test"):
            for found in getattr(splits, name).samples:
                assert places.setdefault(contexts[int(found.id)], name) == name
    assert set(places.values()) == {"train", "dev", "test"}


def test_questions_that_are_only_numbered_are_not_parallel(tmp_path):
    """Linked over their lines' numbers, questions on 4 and on 5 to a text would all be one group."""
    languages = {}
    for language, on_one_text in (("de", 4), ("en", 5)):
        answers = {"text": [language], "answer_start": [0]}
        rows = [
            {"context": f"{language} {line // on_one_text}", "question": f"{line}?", "answers": answers}
            for line in range(400)
        ]
        path = tmp_path / f"{language}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        languages[language] = Splits(train=part(read_questions(path, {})))
    divided = split_parts("qa", languages, None).languages
    for splits in divided.values():
        assert set(sizes(splits)) == {"train", "dev", "test"}
        texts = [{found.context for found in split.samples} for split in splits.parts]
        assert not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])


def test_parallel_pairs_stay_together_and_so_do_those_of_one_premise():
    rows = range(600)
    languages = {
        language: Splits(
            dev=part([Pair(f"{language} premise {row // 3}", f"{language} {row}", "neutral") for row in rows])
        )
        for language in ("en", "de")
    }
    divided = split_parts("nli", languages, True).languages
    for name in ("train", "dev", "test"):
        english, german = (getattr(divided[language], name).samples for language in ("en", "de"))
        assert [pair.premise.split()[-1] for pair in english] == [pair.premise.split()[-1] for pair in german]
    premises = [{pair.premise for pair in getattr(divided["en"], name).samples} for name in ("train", "dev", "test")]
    assert not (premises[0] & premises[1] or premises[0] & premises[2] or premises[1] & premises[2])
    alone = split_parts("nli", {"en": languages["en"]}, True).languages
    assert alone["en"] == divided["en"]
    del languages["de"].dev.samples[7]
    assert any("translations of one sample" in note for note in split_parts("nli", languages, True).notes)
    assert not any("translations" in note for note in split_parts("nli", {"en": languages["en"]}, True).notes)


def test_own_pairs_of_equal_number_count_as_parallel():
    languages = {
        code: Splits(train=part([ScoredPair(f"{code} {row}", "x", 1.0) for row in range(200)])) for code in ("en", "de")
    }
    divided = split_parts("sts", languages, None).languages
    assert [pair.first[3:] for pair in divided["en"].test.samples] == [
        pair.first[3:] for pair in divided["de"].test.samples
    ]
    del languages["de"].train.samples[0]
    uneven = split_parts("sts", languages, None).languages
    assert len(uneven["en"].test.samples) + len(uneven["de"].test.samples) > 0
    # Another language has moved samples of this one: they are another part, and results on it other results.
    assert uneven["en"].test.samples != divided["en"].test.samples
    assert uneven["en"].test.sha256 != divided["en"].test.sha256


def test_where_a_sample_stands_in_its_file_does_not_count():
    keys = group_keys("nli", {"de": [Pair("a", "b", "x", 1)], "fr": []}, False)
    assert keys == group_keys("nli", {"de": [Pair("a", "b", "x", 99)], "fr": []}, False)
    drawn = [draw("nli", part([Pair(f"a{n}", "b", "x", n + shift) for n in range(50)]), 9, False) for shift in (0, 7)]
    assert drawn[0].samples == drawn[1].samples


@given(st.integers(0, 60), st.integers(1, 70), st.integers(1, 70))
def test_a_draw_is_of_the_size_asked_for_in_order_and_nested(count, one, other):
    whole = part(sentences(count))
    fewer, more = (draw("ner", whole, most, False).samples for most in sorted((one, other)))
    assert len(fewer) == min(count, one, other)
    assert [sample for sample in whole.samples if sample in fewer] == fewer
    assert set(fewer) <= set(more)


def test_digests_tell_parts_apart():
    splits = Splits(dev=part(sentences(100)))
    divided = split_parts("ner", {"de": splits}, False).languages["de"]
    made = [divided.train, divided.dev, divided.test, draw("ner", divided.train, 5, False), splits.dev]
    assert len({split.sha256 for split in made}) == len(made)
    assert draw("ner", splits.dev, 100, False) is splits.dev


def test_a_part_of_so_few_samples_may_be_missing():
    divided = split_parts("ner", {"de": Splits(dev=part(sentences(1)))}, False).languages["de"]
    assert len(divided.parts) == 1
