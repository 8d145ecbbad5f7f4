"""Tiny models of several kinds with the tokenizers that belong to them, and made-up text in four scripts."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from unibert.tokens.vocabulary import train_tokenizer

LETTERS = {"de": "abdeginrstuäöß", "el": "αβγδεικλνοπρστ", "ru": "абвгдеикнорст", "zh": "天地人大小水火山石"}


def made_up(code: str, lines: int = 120, seed: int = 0) -> list[str]:
    """Different sentences of words that come again, as in a language."""
    chance = random.Random(f"{code}{seed}")
    words = ["".join(random.Random(f"{code}{n}").choices(LETTERS[code], k=2 + n % 7)) for n in range(60)]
    return [" ".join(chance.choices(words, k=8)) + f" {n}." for n in range(lines)]


def all_text() -> list[str]:
    return [line for code in LETTERS for line in made_up(code)]


def wordpiece(size: int = 400) -> Tokenizer:
    return train_tokenizer(all_text(), size)


def unigram(size: int = 400) -> Tokenizer:
    """XLM-R's kind: <s> <pad> </s> <unk> first, <mask> last and within the list, words begin with ▁."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=special, unk_token="<unk>", show_progress=False, n_sub_iterations=2
    )
    tokenizer.train_from_iterator(all_text(), trainer)
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    scores = dict(_scores(tokenizer))
    tokenizer.model = models.Unigram([(piece, scores[piece]) for piece, _ in pieces] + [("<mask>", 0.0)], unk_id=3)
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([*special, _mask()])
    return tokenizer


def byte_level(size: int = 450) -> Tokenizer:
    """RoBERTa's kind: pieces of bytes, <s> <pad> </s> <unk> first and <mask> last."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train_merges(tokenizer, size, [*special, "<mask>"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.add_special_tokens([*special, _mask()])
    return tokenizer


def added_last(size: int = 450) -> Tokenizer:
    """ModernBERT's kind: pieces of bytes, and all special tokens behind them, outside the model's part."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train_merges(tokenizer, size, [])
    tokenizer.add_tokens(["  "])
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    numbers = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=numbers
    )
    return tokenizer


def _train_merges(tokenizer: Tokenizer, size: int, special: list[str]) -> None:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(all_text(), trainer)


def _scores(tokenizer: Tokenizer) -> Iterable[tuple[str, float]]:
    import json

    return ((piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"])


def _mask() -> Any:
    from tokenizers import AddedToken

    return AddedToken("<mask>", lstrip=True, special=True)


TOKENIZERS = {"wordpiece": wordpiece, "unigram": unigram, "byte_level": byte_level, "added_last": added_last}


def fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """For transformers."""
    brackets = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    angles = {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>"}
    roles = brackets if tokenizer.token_to_id("[PAD]") is not None else {**angles, "mask": "<mask>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=40,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{role}_token": token for role, token in roles.items()},
    )


def random_model(kind: str, tokenizer: PreTrainedTokenizerFast, unused: int = 0, **more: Any) -> Any:
    """A model with random weights, biases included, for a tokenizer; `unused` rows belong to no piece."""
    torch.manual_seed(1)
    rows = max(tokenizer.get_vocab().values()) + 1 + unused
    ids = {"pad_token_id": tokenizer.pad_token_id}
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    if kind == "distilbert":
        own = DistilBertConfig(vocab_size=rows, dim=16, n_layers=1, n_heads=2, hidden_dim=24, **ids, **more)
        model = DistilBertForMaskedLM(own)
    elif kind == "xlm-roberta":
        ids |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        own = XLMRobertaConfig(vocab_size=rows, max_position_embeddings=48, **shape, **ids, **more)
        model = XLMRobertaForMaskedLM(own)
    elif kind == "modernbert":
        ids |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        ids |= {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
        model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=rows, **shape, **ids, **more))
    else:
        model = BertForMaskedLM(BertConfig(vocab_size=rows, max_position_embeddings=48, **shape, **ids, **more))
    with torch.no_grad():
        for parameter in model.parameters():  # what is zero at first would hide a row that went to another place
            parameter.normal_(0, 0.1)
    return model.eval()


def save(folder: Path, kind: str, tokenizer: Tokenizer, unused: int = 0, **more: Any) -> Path:
    """The folder of a model that fills masks."""
    its = fast(tokenizer)
    random_model(kind, its, unused, **more).save_pretrained(folder)
    its.save_pretrained(folder)
    return folder
