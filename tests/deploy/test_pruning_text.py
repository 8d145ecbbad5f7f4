import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from ner_support import tiny_tokenizer
from prune_support import make_model, sentences, write_texts
from unibert.deploy.pruning_text import TextMaterial, read_texts
from unibert.errors import DataError
from unibert.recipe import Masking
from unibert.tokens.masking import held_out_generator, mask_tokens


def make_material(counts: dict[str, int], seed: int = 1) -> TextMaterial:
    texts = {code: sentences(count, number) for number, (code, count) in enumerate(counts.items())}
    return TextMaterial(texts, make_model(), tiny_tokenizer(), seed)


def test_what_is_held_out_is_not_learned_from() -> None:
    material = make_material({"de": 50, "fr": 700})
    assert material.described() == {"de": {"learned": 40, "held_out": 10}, "fr": {"learned": 600, "held_out": 100}}
    for code in ("de", "fr"):
        learned = {tuple(sample.tolist()) for sample in material.learned[code]}
        assert not learned & {tuple(sample.tolist()) for sample in material.held_out[code]}


def test_samples_to_measure_on_are_taken_from_the_languages_in_turn() -> None:
    material = make_material({"de": 20, "fr": 200})
    batches = material.batches(50)
    languages = torch.cat([batch.packed.languages for batch in batches]).tolist()
    assert (len(languages), languages.count(0)) == (50, 16)  # all of the smaller one
    assert sum(batch.samples for batch in material.batches(10_000)) == 16 + 160


def test_samples_fit_the_models_positions_and_masks_are_drawn_anew_every_step() -> None:
    material = make_material({"de": 60})
    assert material.longest == 40
    lessons = material.lessons(64)
    first, second = next(lessons), next(lessons)
    assert max(batch.packed.lengths[0] for batch in first) <= 40
    assert sum(batch.samples for batch in first) == 64
    assert [batch.packed.rows.tolist() for batch in first] != [batch.packed.rows.tolist() for batch in second]
    again = next(material.lessons(64))
    assert [batch.packed.input_ids.tolist() for batch in first] == [batch.packed.input_ids.tolist() for batch in again]


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_the_held_out_loss_is_the_mean_over_masked_pieces(architecture: str) -> None:
    model = make_model(architecture).float()
    material = TextMaterial({"de": sentences(60, 1), "fr": sentences(30, 2)}, model, tiny_tokenizer(), 1)
    attention = model.config._attn_implementation
    losses, scores = material.measure(model)
    assert scores == {}
    assert list(losses) == ["de", "fr"]
    assert material.measure(model)[0] == losses
    assert model.config._attn_implementation == attention
    naive = []
    for place, sample in enumerate(material.held_out["fr"]):
        generator = held_out_generator(1, zlib.crc32(b"fr"), place)
        ids, chosen = mask_tokens(sample, material.special, Masking(), generator)
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(ids[None])).logits[0, chosen]
        naive += torch.nn.functional.cross_entropy(logits, torch.from_numpy(sample[chosen]), reduction="none").tolist()
    assert losses["fr"] == pytest.approx(np.mean(naive), rel=1e-5)


def test_text_is_refused_that_is_too_little_or_of_no_language(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts", 60)
    (texts / "ru.txt").write_text("\n".join(sentences(9, 5)), encoding="utf-8")
    found, left_out = read_texts([texts], None, 200, 1)
    assert {code: len(its) for code, its in found.items()} == {"de": 60, "fr": 60}
    assert "9 different texts" in left_out["ru"]
    with pytest.raises(DataError, match="too little text to prune by"):
        read_texts([texts / "ru.txt"], None, 200, 1)
    with pytest.raises(DataError, match="too little text"):
        read_texts([texts], ["sw"], 200, 1)
    with pytest.raises(DataError, match=r"too little text .*5 texts, fewer than 10"):
        read_texts([texts / "de.txt"], None, 5, 1)
    (tmp_path / "empty").mkdir()
    with gzip.open(tmp_path / "empty" / "de.txt.gz", "wt") as stream:
        stream.write("")
    with pytest.raises(DataError):
        read_texts([tmp_path / "empty"], None, 200, 1)
    nameless = tmp_path / "some text.txt"
    nameless.write_text("\n".join(sentences(60, 1)), encoding="utf-8")
    with pytest.raises(DataError, match="no language"):
        read_texts([nameless], None, 200, 1)


def test_text_of_another_script_than_the_tokenizers_is_refused() -> None:
    texts = {"ru": [f"{letter}{other} река течёт через город" for letter in "абвг" for other in "деёж"]}
    with pytest.raises(DataError, match="nothing that this tokenizer has pieces for"):
        TextMaterial(texts, make_model(), tiny_tokenizer(), 1)
