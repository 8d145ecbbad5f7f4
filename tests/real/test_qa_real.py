"""MLQA and XQuAD beside the project: every question is read, every answer found again in mBERT's pieces."""

import pytest

from unibert.recipe import FineTune
from unibert.tasks import qa
from unibert.tasks.answers import answer_f1, answer_tokens, exact_match
from unibert.tasks.squad import read_questions

MLQA = {"ar": 517, "de": 512, "en": 1148, "es": 500, "hi": 507, "vi": 511, "zh": 504}
XQUAD = "ar de el en es hi ro ru th tr vi zh".split()


def mlqa(shared_data, language):
    return read_questions(
        shared_data / "qa" / "mlqa" / "dev" / f"dev-context-{language}-question-{language}.json.gz", {}
    )


@pytest.mark.parametrize("language", MLQA)
def test_mlqa_is_read_whole(shared_data, language):
    """Reading refuses an answer whose offset does not fit, so all of them do."""
    samples = mlqa(shared_data, language)
    assert len(samples) == MLQA[language]
    assert all(len(sample.answers) == 1 for sample in samples)


@pytest.mark.parametrize("language", XQUAD)
def test_xquad_is_read_whole(shared_data, language):
    samples = read_questions(shared_data / "qa" / "xquad" / f"xquad.{language}.json.gz", {})
    assert len(samples) == 1190
    assert len({sample.context for sample in samples}) == 240
    golds = [sample.answers[0].text for sample in samples]
    # An answer is right against itself, but for the few of which normalisation leaves nothing.
    empty = sum(not answer_tokens(gold, language) for gold in golds)
    assert sum(answer_f1(gold, gold, language) for gold in golds) == 1190 - empty
    assert all(exact_match(gold, f" {gold}.", language) for gold in golds)
    assert empty <= 3


def test_xquad_is_parallel(shared_data):
    files = [read_questions(shared_data / "qa" / "xquad" / f"xquad.{code}.json.gz", {}) for code in ("en", "th")]
    assert [sample.id for sample in files[0]] == [sample.id for sample in files[1]]


@pytest.fixture(scope="module")
def mbert(shared_data):
    from transformers import PreTrainedTokenizerFast

    from unibert.tokenizer_files import load_tokenizer_file

    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    backend = load_tokenizer_file(str(shared_data / "mbert" / "vocab.txt"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


@pytest.mark.parametrize("language", MLQA)
def test_answers_are_found_again_in_mbert_pieces(shared_data, mbert, language):
    samples = mlqa(shared_data, language)
    settings = FineTune(max_length=384, stride=128)
    found = {}
    windows = list(qa.windows(samples, mbert, 384, 128))
    features = qa.features(samples, mbert, [], settings)
    for window, feature in zip(windows, features, strict=True):
        assert len(window.ids) <= 384
        if feature["start_positions"]:
            first, last = feature["start_positions"], feature["end_positions"]
            context = samples[window.sample].context
            found[window.sample] = context[window.places[first, 0] : window.places[last, 1]]
    assert len(found) == len(samples)
    answers = [found[number] for number in range(len(samples))]
    for sample, answer in zip(samples, answers, strict=True):
        # Ten Spanish answers end in a zero-width space, which has no piece.
        assert sample.answers[0].text.strip().strip("\u200b") in answer
    # Not all in full: some answers are a part of a word or number, which is one piece.
    scores = qa.scores(samples, answers, language)
    assert scores["f1"] > 98
    assert scores["exact_match"] > 95
