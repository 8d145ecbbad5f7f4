"""The best stretch, the text it stands for, a whole training, the scores, and learning from a teacher."""

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_support import ENDINGS, FILLERS, tiny_tokenizer, write_tiny_bert
from qa_support import asked, fine_tune
from unibert.tasks import qa
from unibert.tasks.encoder import find_encoder
from unibert.tasks.squad import Question
from unibert.tasks.task import find_task


def test_it_is_a_task():
    task = find_task("qa")
    assert (task.NAME, next(iter(task.METRICS)), task.label_names([])) == ("qa", "f1", [])


# Prediction ---------------------------------------------------------------------------------------------------------

LOGIT = st.sampled_from([-2.0, -0.5, 0.0, 1.0, 3.0])


@given(st.integers(1, 8), st.integers(1, 12), st.data())
def test_best_stretches_equal_a_search_of_all(length, longest, data):
    def rows(kind):
        return data.draw(st.lists(st.lists(kind, min_size=length, max_size=length), min_size=2, max_size=2))

    starts, ends, allowed = rows(LOGIT), rows(LOGIT), rows(st.booleans())
    found = qa.best_stretches(torch.tensor(starts), torch.tensor(ends), torch.tensor(allowed), longest)
    for start, end, free, (score, first, last) in zip(starts, ends, allowed, found, strict=True):
        sums = [
            start[i] + end[j] for i in range(length) for j in range(i, min(length, i + longest)) if free[i] and free[j]
        ]
        assert score == max(sums, default=-math.inf)
        if sums:
            assert start[first] + end[last] == score
            assert free[first]
            assert free[last]
            assert first <= last < first + longest


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    torch.manual_seed(3)
    model, tokenizer = qa.load(find_encoder(write_tiny_bert(tmp_path_factory.mktemp("model"))), [], fine_tune())
    with torch.no_grad():
        model.qa_outputs.weight.mul_(20)
    return model, tokenizer


CONTEXTS = [" ".join(FILLERS[start : start + length]) for start, length in [(0, 3), (2, 20), (5, 1), (1, 23), (4, 9)]]


def test_prediction_is_the_best_of_all_windows(loaded):
    model, tokenizer = loaded
    samples = [asked(context * 2, number=number) for number, context in enumerate(CONTEXTS)]
    chosen = fine_tune(max_length=24, max_answer_tokens=3)
    expected = {}
    for window in qa.windows(samples, tokenizer, 24, chosen.stride):
        ids, types = torch.tensor(window.ids[None]).long(), torch.tensor(window.types[None]).long()
        with torch.no_grad():
            output = model.eval()(input_ids=ids, token_type_ids=types)
        text = samples[window.sample].context
        for first, (begin, there) in enumerate(window.places):
            for last, (_, end) in enumerate(window.places[: first + 3]):
                if first <= last and there and end:
                    score = float(output.start_logits[0, first] + output.end_logits[0, last])
                    expected.setdefault(window.sample, []).append((score, text[begin:end]))
    answers = qa.predict(model, tokenizer, samples, chosen)
    assert answers == [max(expected[number])[1] for number in range(len(samples))]
    assert len(set(answers)) > 2


def test_prediction_does_not_depend_on_the_batch(loaded, monkeypatch):
    model, tokenizer = loaded
    samples = [asked(context, number=number) for number, context in enumerate(CONTEXTS)]
    done = []
    model.train()
    together = qa.predict(model, tokenizer, samples, fine_tune(max_length=24), done.append)
    assert model.training, "prediction must leave the model in the mode it was in"
    assert sum(done) == len(samples)
    alone = [qa.predict(model, tokenizer, [sample], fine_tune(max_length=24))[0] for sample in samples]
    monkeypatch.setattr("unibert.tasks.batches.BATCH_TOKENS", 1)
    monkeypatch.setattr(qa, "_QUESTIONS_AT_ONCE", 2)
    assert qa.predict(model, tokenizer, samples, fine_tune(max_length=24)) == together == alone
    assert qa.predict(model, tokenizer, [], fine_tune()) == []


TEXT = st.text(st.sampled_from("aboZQ. \n\u00e9\u4e2d\u200b\U0001f600"), min_size=1, max_size=40).filter(str.strip)


@settings(max_examples=40)
@given(TEXT, TEXT, st.integers(1, 40))
def test_answers_are_stretches_of_the_context_and_never_empty(loaded, question, context, longest):
    model, tokenizer = loaded
    chosen = fine_tune(max_length=20, max_answer_tokens=longest)
    answer = qa.predict(model, tokenizer, [Question("1", question, context, ())], chosen)[0]
    assert answer.strip() == answer != ""
    assert answer in context
    assert qa.described(Question("1", question, context, ()), answer) == {
        "id": "1",
        "question": question,
        "answer": answer,
    }


def test_a_context_without_any_piece_answers_itself(loaded):
    model, tokenizer = loaded
    assert tokenizer.tokenize("\u200b\u200b") == []
    assert qa.predict(model, tokenizer, [asked(" \u200b\u200b")], fine_tune()) == ["\u200b\u200b"]


def test_a_pattern_is_learnt_and_kept(tmp_path):
    """The answer is the word after `mister`; the model is saved, loaded and right again."""
    chooser = random.Random(0)

    def sample(number):
        words = chooser.choices(FILLERS, k=chooser.randint(2, 8))
        place = chooser.randrange(len(words) - 1)
        words[place : place + 1] = ["mister", name := f"Z{chooser.choice(ENDINGS)}"]
        return asked(" ".join(words), name, number=number)

    samples = [sample(number) for number in range(360)]
    torch.manual_seed(0)
    model, tokenizer = qa.load(find_encoder(write_tiny_bert(tmp_path / "encoder")), [], fine_tune())
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    features = qa.features(samples[:320], tokenizer, [], fine_tune())
    for _ in range(6):
        for start in range(0, len(features), 32):
            loss = model(**qa.collate(features[start : start + 32], tokenizer)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    answers = qa.predict(model, tokenizer, samples[320:], fine_tune())
    assert qa.scores(samples[320:], answers, "en")["exact_match"] > 70
    model.save_pretrained(tmp_path / "qa")
    tokenizer.save_pretrained(tmp_path / "qa")
    again, its_own = qa.load(find_encoder(tmp_path / "qa"), [], fine_tune())
    assert qa.predict(again, its_own, samples[320:], fine_tune()) == answers


def test_a_model_of_another_task_gets_a_new_head(tmp_path):
    from transformers import AutoModelForTokenClassification

    tagger = AutoModelForTokenClassification.from_pretrained(write_tiny_bert(tmp_path / "encoder"), num_labels=5)
    tagger.save_pretrained(tmp_path / "tagger")
    tiny_tokenizer().save_pretrained(tmp_path / "tagger")
    model, tokenizer = qa.load(find_encoder(tmp_path / "tagger"), [], fine_tune())
    assert qa.predict(model, tokenizer, [asked("bona")], fine_tune()) == ["bona"]


@pytest.mark.parametrize("kind", ["RobertaConfig", "DistilBertConfig"])
def test_models_without_token_types(tmp_path, kind):
    """The tokenizer tells question from context by types; the model has no embedding for them."""
    import transformers

    sizes = {"vocab_size": 200, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if kind == "RobertaConfig":
        config = transformers.RobertaConfig(**sizes, intermediate_size=16, type_vocab_size=1)
    else:
        config = transformers.DistilBertConfig(vocab_size=200, dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model, tokenizer = qa.load(find_encoder(tmp_path), [], fine_tune())
    batch = qa.collate(qa.features([asked("bona dora", "dora")], tokenizer, [], fine_tune()), tokenizer)
    assert "token_type_ids" not in batch
    assert torch.isfinite(model(**batch).loss)
    assert qa.predict(model, tokenizer, [asked("bona")], fine_tune()) == ["bona"]


# Scores and distillation --------------------------------------------------------------------------------------------


def test_scores_are_means_in_per_cent():
    samples = [asked("the red house", "red house"), asked("bona", "bona"), asked("dora gona", "dora")]
    assert qa.scores(samples, ["the red house", "bona", "gona"], "en") == {
        "f1": pytest.approx(200 / 3),
        "exact_match": pytest.approx(200 / 3),
        "support": 3,
    }
    assert qa.scores(samples, ["the red house", "bona", "gona"], "fr")["f1"] == pytest.approx(60)
    assert qa.scores([], [], "en") == {"f1": 0.0, "exact_match": 0.0, "support": 0}


@given(st.lists(st.tuples(st.sampled_from(CONTEXTS), st.sampled_from(CONTEXTS)), min_size=1))
def test_statistics_give_the_first_metric(pairs):
    samples = [asked(context, context) for context, _ in pairs]
    answers = [answer for _, answer in pairs]
    statistics = qa.statistics(samples, answers, "en")
    assert statistics.shape == (len(pairs), 2)
    assert float(qa.value(statistics.sum(axis=0))) == qa.scores(samples, answers, "en")["f1"]
    several = np.stack([statistics.sum(axis=0), statistics[:1].sum(axis=0), np.zeros(2)])
    assert qa.value(several).tolist() == [float(qa.value(row)) for row in several]


def test_distillation_sees_the_real_pieces_only():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 2, 6, generator=generator)
    batch = {"attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2])}

    def output(start, end):
        return SimpleNamespace(start_logits=start, end_logits=end)

    student = output(logits[0].requires_grad_(), logits[1])
    loss = qa.distillation_loss(student, output(logits[2], logits[3]), batch, 2.0)
    expected = 0.0
    for ours, theirs in ((logits[0], logits[2]), (logits[1], logits[3])):
        for row, length in ((0, 6), (1, 4)):
            p, q = (torch.softmax(x[row, :length].detach() / 2, -1) for x in (theirs, ours))
            expected += 4 * float((p * (p / q).log()).sum()) / 4
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert torch.isfinite(logits.grad if logits.grad is not None else torch.zeros(1)).all()
    assert float(qa.distillation_loss(student, student, batch, 2.0).detach()) == pytest.approx(0, abs=1e-6)
