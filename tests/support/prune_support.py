"""Tiny models of every architecture that can be pruned, text for them, and the definitions that pruning is held to."""

import random
from pathlib import Path

import torch

from ner_support import FILLERS, tiny_tokenizer

ARCHITECTURES = ("bert", "distilbert", "roberta", "xlm-roberta")
TAGS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
HEADS = ("MaskedLM", "TokenClassification", "SequenceClassification", "QuestionAnswering")


def make_model(architecture="bert", head="MaskedLM", seed=0, heads=4, width=4, feed_forward=16, layers=2, **config):
    """A model with random weights that are large enough for every part to matter, in float64."""
    import transformers

    common = {"vocab_size": len(tiny_tokenizer()), "max_position_embeddings": 40, "pad_token_id": 0}
    config = config if "id2label" in config else {"num_labels": 2 if head == "QuestionAnswering" else 3, **config}
    if architecture == "distilbert":
        kind, own = (
            "DistilBert",
            {"n_layers": layers, "n_heads": heads, "dim": heads * width, "hidden_dim": feed_forward},
        )
    else:
        kind = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta"}[architecture]
        own = {
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "hidden_size": heads * width,
            "intermediate_size": feed_forward,
            "type_vocab_size": 1 if architecture != "bert" else 2,
        }
    settings = getattr(transformers, f"{kind}Config")(**common, **own, **config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, f"{kind}For{head}" if head else f"{kind}Model")(settings)
        with torch.no_grad():
            for weight in model.parameters():
                weight.normal_(0.0, 0.3)
            for module in model.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    module.weight.normal_(1.0, 0.2)
    return model.double().eval()


def write_model(folder: Path, model) -> Path:
    """The model in float32 with its tokenizer, as users have it."""
    model.float().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def sentences(count: int, seed: int) -> list[str]:
    """Different lines, long enough to count as text."""
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(FILLERS, k=chooser.randint(5, 9))) for _ in range(count)]


def write_texts(folder: Path, count: int = 60, languages: tuple[str, ...] = ("de", "fr")) -> Path:
    """A file of text for each language."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, code in enumerate(languages):
        (folder / f"{code}.txt").write_text("\n".join(sentences(count, number)) + "\n", encoding="utf-8")
    return folder


def whole(structure, shape=None):
    """The first units of every space, all of them without a shape."""
    import numpy as np

    return {space: np.arange(structure.units(space, shape)) for space in structure.spaces}


def arguments(rows: int = 3, length: int = 7, seed: int = 0):
    """A batch of ids without special ones, all of one length."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(10, len(tiny_tokenizer()), (rows, length), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def output(model, **given):
    """The output of a head, start and end scores joined."""
    with torch.no_grad():
        found = model(**given)
    return found.logits if "logits" in found else torch.stack([found.start_logits, found.end_logits], -1)


def make_tagger(folder: Path, labels=TAGS, head: str = "TokenClassification", architecture: str = "bert") -> Path:
    """A model that tags words, as fine-tuning leaves it."""
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}
    model = make_model(architecture, head, **names)
    model.config.architectures = [type(model).__name__]
    return write_model(folder, model)
