"""A tiny encoder with random weights and a little NER data with a pattern to learn, made on the spot."""

import json
import random
from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyz"
FILLERS = [f"{a}o{b}a" for a in "bdgklm" for b in "nrst"]
ENDINGS = [f"{a}{b}i" for a in "aeou" for b in "klmn"]


def write_conll(path: Path, sentences: int, seed: int, places: bool = True) -> Path:
    """Sentences with persons (two words, that begin with Z and W) and places (one word, that begins with Q)."""
    chooser = random.Random(seed)
    lines = []
    for _ in range(sentences):
        for _ in range(chooser.randint(1, 3)):
            lines += [f"{word} O" for word in chooser.choices(FILLERS, k=chooser.randint(1, 4))]
            if places and chooser.random() < 0.5:
                lines += ["in O", f"Q{chooser.choice(ENDINGS)} B-LOC"]
            else:
                lines += ["mister O", f"Z{chooser.choice(ENDINGS)} B-PER", f"W{chooser.choice(ENDINGS)} I-PER"]
        lines.append("")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tiny_tokenizer(pieces: tuple[str, ...] = ("mister", "in")):
    """A WordPiece tokenizer that spells letter by letter, but for a few whole words."""
    from transformers import PreTrainedTokenizerFast

    from unibert.tokenizer_files import SPECIAL_TOKENS, wordpiece_tokenizer

    letters = [*LETTERS, *LETTERS.upper(), *".,0123456789"]
    vocabulary = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters), *FILLERS, *pieces]
    backend = wordpiece_tokenizer({piece: number for number, piece in enumerate(vocabulary)})
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL_TOKENS, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def write_tiny_bert(folder: Path, seed: int = 0, positions: int = 64) -> Path:
    """A finished model folder, as pre-training leaves it: BERT for masked language modelling and its tokenizer."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = tiny_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
        hidden_dropout_prob=0.1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForMaskedLM(config)
        # Wider than BERT's 0.02: a model this small learns its pattern within a second.
        for weight in model.parameters():
            if weight.dim() == 2:
                torch.nn.init.normal_(weight, std=0.15)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def read_json(path: Path):
    """A JSON file's value."""
    return json.loads(path.read_text(encoding="utf-8"))


def _conlleval_chunks(sentences):
    """Entities as conlleval finds them: one begins at B-, and at an I- after O or after another type."""
    chunks = set()
    for number, tags in enumerate(sentences):
        begun = None
        for place, tag in enumerate([*tags, "O"]):
            previous = tags[place - 1] if place else "O"
            begins = tag[0] == "B" or (tag[0] == "I" and (previous == "O" or previous[2:] != tag[2:]))
            if begun is not None and (begins or tag == "O"):
                chunks.add((number, begun, place, tags[begun][2:]))
                begun = None
            if begins:
                begun = place
    return chunks


def conlleval(gold, predicted):
    """Entity scores counted independently of the library that we use."""
    gold, predicted = _conlleval_chunks(gold), _conlleval_chunks(predicted)
    right = len(gold & predicted)
    precision = 100 * right / len(predicted) if predicted else 0.0
    recall = 100 * right / len(gold) if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"f1": f1, "precision": precision, "recall": recall, "support": len(gold)}
