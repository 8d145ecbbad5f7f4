"""An export and its int8 file on real text of many scripts, with a vocabulary that was made of it."""

import gzip
from pathlib import Path

import pytest

from deploy_support import tiny_model
from unibert.deploy.export import export_model
from unibert.deploy.quantise import quantise_model
from unibert.universality.sentences import find_texts

CODES = ("ar", "de", "el", "he", "hi", "ja", "ka", "km", "ko", "ru", "ta", "th", "zh", "te", "bn")


@pytest.fixture(scope="module")
def exported(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    lines = []
    for code in CODES:
        with gzip.open(shared_data / "text" / f"{code}.txt.gz", "rt", encoding="utf-8") as stream:
            lines += [line for line, _ in zip(stream, range(150), strict=False)]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.NFC(), pre_tokenizers.BertPreTokenizer()
    backend.train_from_iterator(
        lines, trainers.WordPieceTrainer(vocab_size=6000, special_tokens=special, show_progress=False)
    )
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    place = tmp_path_factory.mktemp("real")
    tiny_model("bert", vocab_size=len(tokenizer)).save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")
    texts, _ = find_texts([shared_data / "text"], CODES, 8, 0)
    export_model(place / "model", place / "export", texts=texts)
    return place / "export"


def test_every_script_is_the_same_in_onnxruntime_and_near_in_int8(exported: Path, shared_data: Path) -> None:
    texts, left_out = find_texts([shared_data / "text"], CODES, 16, 1)
    assert set(texts) == set(CODES), left_out
    result = quantise_model(exported, texts, minimum_cosine=0.99)
    assert set(result.quality) == set(CODES)
    assert all(quality.texts == 16 and quality.agreement is not None for quality in result.quality.values())
    assert result.bytes < 0.35 * result.bytes_before
