"""Tiny models exported for the page in the browser, and what PyTorch says to the same input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from unibert.files import sha256_of_file

TEXTS = (
    "The capital of France is big.",
    "Der Fluss mündet ins Meer.",
    "القاهرة هي عاصمة مصر",
    "दिल्ली भारत की राजधानी है।",
    "北京是中国的首都。鲁迅出生于绍兴",
    "Ребёнок читает книгу",
    "Ada Lovelace met Charles Babbage in London",
    "0123456789,.-",
)
TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def multilingual_tokenizer() -> Any:
    """WordPiece over the letters of several scripts, and a few whole words."""
    from transformers import PreTrainedTokenizerFast

    from unibert.tokenizer_files import SPECIAL_TOKENS, wordpiece_tokenizer

    letters = sorted({letter for text in TEXTS for letter in text if letter != " "})
    words = [word for word in sorted({word for text in TEXTS for word in text.split()}) if len(word) > 1]
    vocabulary = dict.fromkeys([*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters), *words[::2]])
    backend = wordpiece_tokenizer({piece: number for number, piece in enumerate(vocabulary)})
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL_TOKENS, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **names)


def write_model(folder: Path, task: str, seed: int = 0) -> Path:
    """A BERT of random weights, with a head for `fill-mask` or `token-classification`, or without one."""
    import torch
    import transformers

    tokenizer = multilingual_tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label=dict(enumerate(TAGS)),
        label2id={tag: number for number, tag in enumerate(TAGS)},
    )
    classes = {"fill-mask": "BertForMaskedLM", "token-classification": "BertForTokenClassification"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, classes.get(task, "BertModel"))(config)
        # Wide enough that no two answers are near each other.
        for weight in model.parameters():
            if weight.dim() == 2:
                torch.nn.init.normal_(weight, std=0.25)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_folder(folder: Path, kind: str = "head", task: str | None = "fill-mask", **changes: Any) -> Path:
    """What an exported folder looks like, without a model in it."""
    (folder / "onnx").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    weights = b"float32 weights"
    (folder / "onnx" / "model.onnx").write_bytes(weights)
    export: dict[str, Any] = {"schema": 1, "kind": kind, "task": task, "source": "model", "parity": {}}
    export |= {"bytes": {"onnx/model.onnx": len(weights)}, **changes}
    export.setdefault("tokenizer_sha256", sha256_of_file(folder / "tokenizer.json"))
    (folder / "unibert_export.json").write_text(json.dumps(export), encoding="utf-8")
    return folder


def write_page(folder: Path) -> Path:
    """The repository's page, to be changed."""
    return Path(shutil.copytree(Path(__file__).parents[2] / "web", folder))


def load(model: Path, task: str | None) -> Any:
    """The model in PyTorch."""
    import transformers

    names = {"fill-mask": "AutoModelForMaskedLM", "token-classification": "AutoModelForTokenClassification"}
    loader = getattr(transformers, names.get(str(task), "AutoModel"))
    return loader.from_pretrained(model, attn_implementation="eager").eval()


def top_pieces(model: Path, text: str, count: int) -> list[list[tuple[int, float]]]:
    """Of every mask in the text the likeliest pieces' ids, and their probabilities."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        logits = load(model, "fill-mask")(**inputs).logits[0]
    places = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
    found = []
    for place in places.tolist():
        best = logits[place].softmax(-1).topk(count)
        found.append(list(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
    return found


def word_tags(model: Path, words: list[str]) -> list[str]:
    """The tag of every word's first piece."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    inputs = tokenizer([words], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        best = load(model, "token-classification")(**inputs).logits[0].argmax(-1).tolist()
    owners = inputs.word_ids(0)
    return [TAGS[best[owners.index(word)]] for word in range(len(words))]


def cosines(model: Path, texts: list[str]) -> list[list[float]]:
    """Of the means of the last hidden states."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    encoder = load(model, None)
    with torch.no_grad():
        means = [encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
    unit = torch.nn.functional.normalize(torch.stack(means), dim=-1)
    return (unit @ unit.T).tolist()
