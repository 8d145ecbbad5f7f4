import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers
from transformers import AutoTokenizer, BertForMaskedLM
from transformers import logging as transformers_logging
from transformers.models.bert import BertConfig

from unibert.errors import DataError
from unibert.tokenizer_files import load_tokenizer_file, wordpiece_tokenizer
from unibert.tokens.vocabulary import (
    SpecialIds,
    load_tokenizer,
    save_tokenizer,
    tokenizer_fingerprint,
    train_tokenizer,
    vocabulary_size_of,
)

TEXTS = [
    "Der Fluss fließt durch die Stadt, und die Straße führt über den Fluss.",
    "The river flows through the town; the town's bridge is older than the road.",
    "Река течёт через город, а дорога идёт через реку.",
    "河流穿过城市，道路穿过河流。",
    "Mto unapita katikati ya mji, na barabara inapita juu ya mto.",
] * 3

TRAIN_AND_PRINT = """
import sys
from unibert.tokens.vocabulary import train_tokenizer
texts = sys.stdin.buffer.read().decode().split("\\n")
vocabulary = train_tokenizer(texts, 200).get_vocab()
print("\\n".join(sorted(vocabulary, key=vocabulary.get)))
"""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 200)


def test_special_tokens_come_first(tokenizer):
    special = SpecialIds.of(tokenizer)
    assert special == SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4, vocabulary_size=200)
    assert special.all == (0, 1, 2, 3, 4)
    assert np.flatnonzero(special.is_special).tolist() == [0, 1, 2, 3, 4]
    assert special.pieces.tolist() == list(range(5, 200))
    assert tokenizer.encode("Fluss").ids[0] == 2 and tokenizer.encode("Fluss").ids[-1] == 3


def test_case_and_accents_are_kept_and_chinese_characters_apart(tokenizer):
    assert tokenizer.normalizer.normalize_str("Élan 河流") == "Élan  河  流 "
    assert "河" in tokenizer.get_vocab() and "河流" not in tokenizer.get_vocab()
    assert not any(piece.startswith("##") and "\u4e00" <= piece[2:] <= "\u9fff" for piece in tokenizer.get_vocab())
    assert "Fluss" in tokenizer.get_vocab()
    for text in TEXTS:
        assert 1 not in tokenizer.encode(text).ids


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_every_process_trains_the_same_vocabulary(tokenizer, threads):
    environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    found = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_PRINT],
        input="\n".join(TEXTS).encode(),
        capture_output=True,
        env=environment,
        check=True,
    )
    vocabulary = tokenizer.get_vocab()
    assert found.stdout.decode().splitlines() == sorted(vocabulary, key=vocabulary.__getitem__)


def test_a_small_vocabulary_drops_the_rarest_characters():
    texts = ["abc abc abc", "".join(chr(code) for code in range(0x400, 0x500))]
    tokenizer = train_tokenizer(texts, 60)
    assert vocabulary_size_of(tokenizer) <= 60
    assert 1 not in tokenizer.encode("abc", add_special_tokens=False).ids
    assert tokenizer.encode("ӿ", add_special_tokens=False).ids == [1]


@pytest.mark.parametrize("texts", [[], ["", " \n\t"]])
def test_no_text_to_train_on(texts):
    with pytest.raises(DataError, match="no text"):
        train_tokenizer(texts, 300)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5).filter(lambda texts: any(t.isalnum() for t in texts)))
def test_any_text_can_be_trained_on_and_encoded(texts):
    tokenizer = train_tokenizer(texts, 200)
    assert vocabulary_size_of(tokenizer) <= 200
    for text in texts:
        assert all(number < 200 for number in tokenizer.encode(text).ids)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    save_tokenizer(tokenizer, path)
    return path


@pytest.mark.parametrize("beside_a_model", [False, True])
def test_auto_tokenizer_reads_the_folder_without_a_warning(tokenizer, folder, tmp_path, beside_a_model, caplog):
    if beside_a_model:
        shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        BertForMaskedLM(BertConfig(vocab_size=200, **shape)).save_pretrained(tmp_path)
        save_tokenizer_files = [path.name for path in folder.iterdir()]
        for name in save_tokenizer_files:
            (tmp_path / name).write_bytes((folder / name).read_bytes())
        folder = tmp_path
    transformers_logging.enable_propagation()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = AutoTokenizer.from_pretrained(folder)
    transformers_logging.disable_propagation()
    assert [record.message for record in caplog.records if record.levelno >= 30] == []
    assert loaded.model_max_length == 512
    assert (loaded.pad_token_id, loaded.unk_token_id, loaded.cls_token_id) == (0, 1, 2)
    assert (loaded.sep_token_id, loaded.mask_token_id) == (3, 4)
    assert sorted(loaded.all_special_ids) == [0, 1, 2, 3, 4]
    for text in [*TEXTS, "zzz [MASK] 河x", ""]:
        assert loaded(text)["input_ids"] == tokenizer.encode(text).ids
    assert loaded("a b", "c")["token_type_ids"] == tokenizer.encode("a b", "c").type_ids
    assert tokenizer_fingerprint(loaded) == tokenizer_fingerprint(tokenizer)
    assert SpecialIds.of(loaded) == SpecialIds.of(tokenizer)


def test_load_tokenizer_is_what_auto_tokenizer_gives(tokenizer, folder):
    ours, theirs = load_tokenizer(folder, longest=64), AutoTokenizer.from_pretrained(folder)
    assert ours.model_max_length == 64
    batch = dict(padding=True, truncation=True, max_length=12)
    assert ours(TEXTS, **batch).data == theirs(TEXTS, **batch).data
    assert ours(TEXTS, TEXTS).data == theirs(TEXTS, TEXTS).data
    assert ours.decode(ours(TEXTS[0])["input_ids"], skip_special_tokens=True) == theirs.decode(
        tokenizer.encode(TEXTS[0]).ids, skip_special_tokens=True
    )


def test_saving_drops_padding_and_truncation(tokenizer, tmp_path):
    changed = Tokenizer.from_str(tokenizer.to_str())
    changed.enable_truncation(4)
    changed.enable_padding(length=9)
    save_tokenizer(changed, tmp_path / "t")
    assert load_tokenizer_file(str(tmp_path / "t")).encode(TEXTS[0]).ids == tokenizer.encode(TEXTS[0]).ids


def test_the_fingerprint_sees_what_changes_ids_and_nothing_else(tokenizer):
    def changed(change):
        copy = Tokenizer.from_str(tokenizer.to_str())
        change(copy)
        return tokenizer_fingerprint(copy)

    original = tokenizer_fingerprint(tokenizer)

    def accents_unset(copy):
        copy.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=None)

    assert changed(lambda copy: copy.enable_truncation(5)) == original
    assert changed(lambda copy: copy.enable_padding()) == original
    assert changed(accents_unset) == original
    lower = normalizers.BertNormalizer(lowercase=True)
    unsplit = normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=False)
    assert changed(lambda copy: setattr(copy, "normalizer", lower)) != original
    assert changed(lambda copy: setattr(copy, "normalizer", unsplit)) != original
    assert changed(lambda copy: copy.add_tokens(["neu"])) != original
    swapped = tokenizer.get_vocab()
    swapped["Fluss"], swapped["mto"] = swapped["mto"], swapped["Fluss"]
    assert tokenizer_fingerprint(wordpiece_tokenizer(swapped)) != original


def test_a_tokenizer_without_a_mask_token():
    with pytest.raises(DataError, match=r"no \[MASK\]"):
        SpecialIds.of(Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "x": 4})))


def test_the_names_of_the_other_family():
    names = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "x": 4, "<mask>": 5}
    special = SpecialIds.of(Tokenizer(models.WordLevel(names, unk_token="<unk>")))
    assert special == SpecialIds(pad=1, unk=3, cls=0, sep=2, mask=5, vocabulary_size=6)


def test_a_vocabulary_of_special_tokens_alone():
    with pytest.raises(DataError, match="nothing but special"):
        SpecialIds(0, 1, 2, 3, 4, 5)
