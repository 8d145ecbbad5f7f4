"""Tiny models of every architecture and head that can be exported, with random weights, made on the spot."""

from pathlib import Path
from typing import Any

from ner_support import tiny_tokenizer

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TEXTS = {
    "de": ["mister boba", "in dona mister gora lora", "kota", "nora sona in mister mota bora dona gora kota lona"],
    "fr": ["in", "mister mister mister in in", "zaq wxs cde", "bona lora"],
}


def tiny_model(architecture: str, head: str = "MaskedLM", seed: int = 0, **changes: Any) -> Any:
    """A model of transformers: `bert`, `distilbert`, `roberta`, `xlm-roberta` or `modernbert`; head "" for none."""
    import torch
    import transformers

    tokenizer = tiny_tokenizer()
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "max_position_embeddings": 64,
    }
    if architecture == "distilbert":
        sizes |= {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    else:
        sizes |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    if architecture in ("roberta", "xlm-roberta"):
        sizes |= {"type_vocab_size": 1}
    if architecture == "modernbert":
        sizes |= {"local_attention": 4, "global_attn_every_n_layers": 2, "num_hidden_layers": 3}
    if head in ("TokenClassification", "SequenceClassification"):
        sizes |= {"id2label": dict(enumerate(LABELS)), "label2id": {name: place for place, name in enumerate(LABELS)}}
    config = transformers.AutoConfig.for_model(architecture, **sizes | changes)
    loader = getattr(transformers, f"AutoModelFor{head}" if head else "AutoModel")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = loader.from_config(config)
        for name, weight in model.named_parameters():
            # Wide weights and biases that are not zero: what is left out somewhere shows.
            torch.nn.init.normal_(weight, mean=1.0 if "norm" in name.lower() and "weight" in name else 0.0, std=0.2)
    return model.eval()


def write_model(folder: Path, architecture: str = "bert", head: str = "MaskedLM", **changes: Any) -> Path:
    """A model's folder with its tokenizer."""
    tiny_model(architecture, head, **changes).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
