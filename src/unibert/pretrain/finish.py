"""The end of a run: a stock Hugging Face folder with tokenizer and model card, and the summary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unibert.files import atomic_folder, sha256_of_file, write_json
from unibert.models.sizes import architecture
from unibert.models.student import count_parameters
from unibert.pretrain.checkpoint import Progress
from unibert.pretrain.log import read_log
from unibert.recipe import Pretrain
from unibert.runs import provenance
from unibert.tokens.store import TokenStore
from unibert.tokens.vocabulary import load_tokenizer, write_tokenizer_files

SUMMARY_FILE = "summary.json"
MODEL_FOLDER = "model"


def finish(
    output: Path,
    name: str,
    settings: Pretrain,
    seed: int,
    student: Any,
    tokenizer: Path,
    store: TokenStore,
    progress: Progress,
    recipe: Mapping[str, Any],
) -> None:
    """Write `output/model` and, last of all, `output/summary.json`, whose presence says that the run is finished."""
    held_out = [record for record in read_log(output / "log.jsonl") if record["kind"] == "heldout"]
    parameters = count_parameters(student)
    summary: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "architecture": architecture(settings.student).model_dump(),
        "vocabulary_size": student.config.vocab_size,
        "parameters": parameters,
        "megabytes": parameters * 4 / 1e6,
        "steps": progress.step,
        "tokens": progress.tokens,
        "seconds": progress.seconds,
        "seed": seed,
        "languages": list(store.languages),
        "objective": {
            "mlm": settings.mlm_weight,
            "label_smoothing": settings.label_smoothing,
            "adversary": {"mode": settings.adversary.mode, "weight": settings.adversary.weight},
            "distillation": settings.distillation.model_dump(),
        },
        "heldout": held_out[-1] if held_out else None,
    }
    with atomic_folder(output / MODEL_FOLDER) as scratch:
        student.save_pretrained(scratch)
        write_tokenizer_files(load_tokenizer(tokenizer), scratch, architecture(settings.student).max_positions)
        summary["weights_sha256"] = sha256_of_file(scratch / "model.safetensors")
        (scratch / "README.md").write_text(model_card(summary, recipe), encoding="utf-8")
    write_json(output / SUMMARY_FILE, summary)


def is_finished(output: Path) -> bool:
    """Whether the run in this folder is finished and its model is still there."""
    return (output / SUMMARY_FILE).exists() and (output / MODEL_FOLDER / "model.safetensors").exists()


def model_card(summary: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """The model card in the hub's format: what it is, what it was trained on, how good, what it is not for."""
    shape = summary["architecture"]
    objective = summary["objective"]
    languages = "\n".join(f'  - "{code}"' for code in summary["languages"])
    held_out = _held_out_table(summary["heldout"])
    versions = ", ".join(f"{package} {version}" for package, version in provenance()["versions"].items())
    distilled = (
        f"{objective['distillation']['weight']} (temperature {objective['distillation']['temperature']})"
        if objective["distillation"]["weight"]
        else "none"
    )
    return f"""---
language:
{languages}
license: apache-2.0
library_name: transformers
pipeline_tag: fill-mask
tags:
  - unibert
  - multilingual
---
# {recipe.get("name", "UniBERT")}: {summary["name"]}

A BERT encoder with {summary["parameters"]:,} parameters ({shape["layers"]} layers, hidden size {shape["hidden"]},
{shape["heads"]} heads, feed-forward width {shape["feed_forward"]}, vocabulary {summary["vocabulary_size"]:,}),
trained with UniBERT after Avram et al., arXiv 2503.12608.

```python
from transformers import AutoModelForMaskedLM, AutoTokenizer
```

## Training
{summary["steps"]:,} steps, {summary["tokens"]:,} tokens, {len(summary["languages"])} languages, seed {summary["seed"]}.

| part of the objective | weight |
|---|---|
| masked language modelling (label smoothing {objective["label_smoothing"]}) | {objective["mlm"]} |
| language adversary, mode {objective["adversary"]["mode"]} | {objective["adversary"]["weight"]} |
| distillation | {distilled} |

## Held-out masked language modelling loss (nats per masked token)
{held_out}

## Use and limits
Made to be fine-tuned on tasks such as tagging, classification or similarity. It repeats what its training text says,
errors and prejudices included, and is weaker in languages with little text. Text from Wikipedia is under CC BY-SA.

Made with {versions}.
"""


def _held_out_table(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return "Not measured: nothing was held out."
    rows = "\n".join(f"| {code} | {loss:.3f} |" for code, loss in sorted(record["languages"].items()))
    return f"Mean over languages: {record['mlm']:.3f}\n\n| language | loss |\n|---|---|\n{rows}"
