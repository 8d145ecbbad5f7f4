"""The model card: what a model is, what it learned from, how well, and what it is not for.

All of it comes from `summary.json`, the recipe and the log, so that a card can be written again at any time. What a
benchmark measured is put in later (`card_results.with_results`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unibert.languages import language
from unibert.pretrain.card_metadata import distils, metadata, on_hub
from unibert.pretrain.card_objective import objective
from unibert.pretrain.card_results import evaluation_section
from unibert.pretrain.card_tables import counted, duration, folded, languages_section, losses_section, table
from unibert.recipe import Recipe
from unibert.recipe_file import to_toml

CARD = "README.md"
_HERE = 'name = "."  # the folder that these files are in'
_UNKNOWN = 0.01
"""Share of [UNK] among a language's tokens from which on the card warns of the language."""

# One thing said in several languages; the code in the card takes two that the model knows.
_SENTENCES = {
    "en": ("The river flows into the {}.", "sea"),
    "de": ("Der Fluss mündet ins {}.", "Meer"),
    "fr": ("Le fleuve se jette dans la {}.", "mer"),
    "es": ("El río desemboca en el {}.", "mar"),
    "it": ("Il fiume sfocia nel {}.", "mare"),
    "pt": ("O rio desagua no {}.", "mar"),
    "nl": ("De rivier stroomt naar de {}.", "zee"),
    "ru": ("Река впадает в {}.", "море"),
    "pl": ("Rzeka wpada do {}.", "morza"),
    "sv": ("Floden rinner ut i {}.", "havet"),
    "tr": ("Nehir {} dökülür.", "denize"),
}
_RULES = {
    "html": "left-over HTML is removed",
    "links_only": "paragraphs of nothing but URLs or ISBNs are dropped",
    "digits": "paragraphs of more than {max_digit_share:.0%} digits are dropped",
    "hidden_characters": "zero-width, control and format characters are removed",
    "short": "paragraphs of fewer than {min_tokens} tokens are dropped",
}


def model_card(summary: Mapping[str, Any], recipe: Mapping[str, Any], log: Sequence[Mapping[str, Any]] = ()) -> str:
    """The card, in Markdown with the hub's metadata at the top.

    Args:
        summary: `summary.json` of the run, as `finish` makes it.
        recipe: the whole resolved recipe; {} where it is not known.
        log: the records of the run's log, for the table of losses.
    """
    teacher = teacher_in_words(summary, recipe)
    parts = [
        f"---\n{metadata(summary, recipe)}\n---",
        _what(summary, recipe),
        _use(summary),
        evaluation_section(()),
        languages_section(summary),
        _data(summary, recipe),
        objective(summary, teacher),
        losses_section(log),
        _training(summary),
        _limits(summary),
        _licence(summary, recipe, teacher),
        _recipe(recipe),
        _citation(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def named(card: str, name: str) -> str:
    """The card of a model that has got a name on the hub: the code in it loads the model from there."""
    return card.replace(_HERE, f'name = "{name}"', 1)


def teacher_in_words(summary: Mapping[str, Any], recipe: Mapping[str, Any]) -> str | None:
    """What the teacher was, without the folders of the machine; None where there was none."""
    teacher = summary.get("teacher")
    if not teacher:
        return None
    name = on_hub(teacher.get("name"))
    if name is not None:
        words = f"`{name}`"
    elif (recipe.get("teacher") or {}).get("train"):
        words = "a larger model, trained before by masked language modelling alone on the same text"
    else:
        words = "a masked language model that was read from a folder"
    mark = teacher.get("fingerprint")
    return f"{words} (fingerprint of its weights: `{mark}`)" if mark else words


def _what(summary: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    shape, count = summary["architecture"], len(summary["languages"])
    learned = ["masked language modelling"] if summary["objective"]["mlm"] else []
    learned += ["distillation"] if distils(summary) else []
    learned += ["a language adversary"] if _is_opposed(summary) else []
    how = ", ".join(learned[:-1]) + (" and " if learned[:-1] else "") + learned[-1]
    start = "weights taken from its teacher" if summary.get("initialise") == "teacher" else "random weights"
    return f"""# {recipe.get("name", "UniBERT")}: {summary["name"]}

An encoder of text in {counted(count, "language")}: BERT with {counted(shape["layers"], "layer")} of width
{shape["hidden"]}, {counted(shape["heads"], "attention head")}, feed-forward width {shape["feed_forward"]} and a
vocabulary of {summary["vocabulary_size"]:,} pieces. It has {summary["parameters"]:,} parameters
({summary["megabytes"]:,.1f} MB).

It was trained from {start} by {how}, with
[the method of UniBERT](https://arxiv.org/abs/2503.12608) as the package `unibert` implements it. It is not one of the
paper's own models."""


def _is_opposed(summary: Mapping[str, Any]) -> bool:
    """Whether the student learned anything from the adversary."""
    adversary = summary["objective"]["adversary"]
    return bool(adversary["mode"] != "none" and adversary["weight"])


def _use(summary: Mapping[str, Any]) -> str:
    samples = summary.get("language_samples") or {}
    by_size = sorted(summary["languages"], key=lambda code: (-samples.get(code, 0), code))
    known = [code for code in by_size if code in _SENTENCES]
    first, second = (known + [code for code in ("en", "de") if code not in known])[:2]
    blank = _SENTENCES[first][0].format("{fill.tokenizer.mask_token}")
    pair = [_SENTENCES[code][0].format(_SENTENCES[code][1]) for code in (first, second)]
    return f"""## How to use it

```python
import torch
from transformers import AutoModel, AutoTokenizer, pipeline

{_HERE}

# What stands behind the mask?
fill = pipeline("fill-mask", model=name)
for guess in fill(f"{blank}", top_k=3):
    print(f"{{guess['score']:.3f}} {{guess['token_str']}}")

# One vector per text: the mean of its tokens' embeddings.
tokenizer = AutoTokenizer.from_pretrained(name)
encoder = AutoModel.from_pretrained(name, add_pooling_layer=False).eval()
texts = ["{pair[0]}", "{pair[1]}"]
batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    hidden = encoder(**batch).last_hidden_state  # texts, tokens, width
counted = batch["attention_mask"].unsqueeze(-1)
embeddings = (hidden * counted).sum(dim=1) / counted.sum(dim=1)
print(torch.cosine_similarity(embeddings[0], embeddings[1], dim=0).item())
```

It is meant to be fine-tuned on tasks such as tagging, classification, question answering or similarity, in one of its
languages or in many at once, where a model has to be small. Nothing but the `transformers` library is needed. Texts may
be {summary["architecture"]["max_positions"]} tokens long; in training they were cut at {_context(summary)}."""


def _context(summary: Mapping[str, Any]) -> int:
    return int((summary.get("training") or {}).get("context", summary["architecture"]["max_positions"]))


def _data(summary: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    corpus, tokens = recipe.get("corpus") or {}, recipe.get("tokens") or {}
    lines = ["## Training data", ""]
    sources = ["articles of Wikipedia, from its dumps"] if corpus.get("dumps") else []
    sets = ", ".join(f"`{name}`" for name in corpus.get("hub") or [])
    sources += [f"data sets of the hub ({sets})"] if sets else []
    sources += ["other text (see the recipe)"] if corpus.get("text") else []
    if sources:
        rules = corpus.get("rules") or {}
        done = [words.format(**rules) for key, words in _RULES.items() if rules.get(key)]
        done += ["paragraphs in another language are dropped"] if (corpus.get("identify") or {}).get("model") else []
        repeated = corpus.get("deduplicate") or {}
        done += ["repeated paragraphs are dropped"] if repeated.get("exact") or repeated.get("minhash") else []
        text = f"Paragraphs of {', '.join(sources)}."
        lines += [text + (f" Cleaned by rules: {'; '.join(done)}." if done else " No cleaning rule was on."), ""]
    alpha = (summary.get("training") or {}).get("alpha")
    mix = (
        ""
        if alpha is None
        else f" A language's share is proportional to its number of samples to the power of {alpha:g}."
    )
    found = on_hub(tokens.get("tokenizer"))
    pieces = f"that of `{found}`" if found else "given" if tokens.get("tokenizer") else "trained on this text"
    lines.append(
        f"The model saw {summary['tokens']:,} tokens in {sum((summary.get('language_samples') or {}).values()):,} "
        f"samples.{mix} The tokenizer, of {summary['vocabulary_size']:,} pieces, was {pieces}."
    )
    return "\n".join(lines)


def _training(summary: Mapping[str, Any]) -> str:
    settings, hardware = summary.get("training") or {}, summary.get("hardware") or {}
    rows = [("steps", f"{summary['steps']:,}")]
    names = {
        "batch_size": "samples per step",
        "learning_rate": "learning rate (AdamW, linear decay)",
        "warmup_steps": "warm-up steps",
        "weight_decay": "weight decay",
        "clip_norm": "gradient norm clipped at",
        "dropout": "dropout",
    }
    rows += [(name, f"{settings[key]:,}") for key, name in names.items() if key in settings]
    rows += [("precision", summary["precision"])] if summary.get("precision") else []
    rows += [("seed", str(summary["seed"]))]
    processes = summary.get("processes", 1)
    machine = summary.get("device") or f"{hardware.get('processor', 'a processor')}, {hardware.get('cores', '?')} cores"
    text = f"{duration(summary['seconds'])} of training on {machine}"
    text += f" in {processes} processes" if processes > 1 else ""
    if summary.get("tokens_per_second"):
        text += f", {summary['tokens_per_second']:,.0f} tokens per second"
    text += f", {summary['flops']:.3g} floating point operations" if summary.get("flops") else ""
    text += f", {summary['energy_kwh']:,.2f} kWh" if summary.get("energy_kwh") else ""
    versions = ", ".join(f"{package} {version}" for package, version in (summary.get("versions") or {}).items())
    lines = ["## Training", "", *table(("setting", "value"), rows, texts=1), "", f"{text}."]
    if summary.get("siblings"):
        others = ", ".join(f"`{name}`" for name in summary["siblings"])
        shared = "; one pass of the teacher served them all" if distils(summary) else ""
        lines += ["", f"Trained side by side with {others}{shared}."]
    if versions:
        commit = f", `unibert` at commit `{summary['commit']}`" if summary.get("commit") else ""
        lines += ["", f"Made with {versions}{commit}."]
    return "\n".join(lines)


def _limits(summary: Mapping[str, Any]) -> str:
    unknown = {code: share for code, share in (summary.get("unknown_shares") or {}).items() if share >= _UNKNOWN}
    points = [
        "Losses of pre-training do not tell how good it is at a task: that has to be measured after fine-tuning.",
        "It was not made to write text, to answer from memory, or to decide about people. Without fine-tuning, "
        "embeddings of two texts are only roughly the closer the more alike the texts are.",
        "It repeats what its training text says: errors, prejudices, and who is written about at all. Wikipedia does "
        "not cover languages, places, men and women alike, and names living people.",
        "A language with a small share of the samples is learned less well; one that is not in the table, not at all.",
    ]
    if _is_opposed(summary):
        points.append(
            "The adversary does not make embeddings free of language. In a small study of this method a new linear "
            "classifier still found the language of 97 % of sentences. Translations found each other twice as often "
            "as without it, about as often as after subtracting each language's mean embedding, which costs nothing; "
            "both together did the most. Entity recognition did not gain."
        )
    if unknown:
        worst = sorted(unknown.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{language(code).name} ({share:.1%})" for code, share in worst[:12])
        more = f" and {len(worst) - 12} more" if len(worst) > 12 else ""
        points.append(
            f"The tokenizer cannot spell every language; this share of the pieces is unknown to it: {listed}{more}. "
            "There the model reads text with holes."
        )
    return "\n".join(["## Limits", "", *(f"- {point}" for point in points)])


def _licence(summary: Mapping[str, Any], recipe: Mapping[str, Any], teacher: str | None) -> str:
    corpus = recipe.get("corpus") or {}
    text = f"""## Licence

The weights are offered under `{summary["license"]}`, the choice of whoever publishes them, at the top of this card. The
training text is not part of what is published here and keeps its own licences."""
    if corpus.get("dumps") or any("wikipedia" in str(name) for name in corpus.get("hub") or []):
        text += """
Wikipedia's text is by its authors, under
[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/), which asks for attribution and for the same licence on
adaptations of the text. Whether a model's weights are such an adaptation is not settled and may differ between
countries: name Wikipedia as a source where you use the model, and do not pass off as your own what it may have learned
by heart."""
    if teacher is not None:
        text += "\nA student may also be bound by what the licence of its teacher asks for."
    return text


def _recipe(recipe: Mapping[str, Any]) -> str:
    """The recipe in TOML, which can be read back, without comments and without the folders of the machine."""
    # Where the corpus was read changes nothing in it, and names clusters, accounts and folders.
    corpus = {key: value for key, value in (recipe.get("corpus") or {}).items() if key != "executor"}
    try:
        found = Recipe.model_validate(_without_folders({**recipe, "folder": "", "corpus": corpus}))
    except ValidationError:
        return ""
    lines = [line for line in to_toml(found).splitlines() if not line.startswith("#")]
    text = ["```toml", *"\n".join(lines).strip().splitlines(), "```"]
    return "\n".join(
        ["## How to make it again", "", "With `unibert run`, and this recipe:", "", *folded("The recipe", text)]
    )


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    is_folder = isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~"))
    return Path(value).name if is_folder else value


def _citation() -> str:
    return """## Citation

The method is described in:

```bibtex
@article{avram2025unibert,
  title   = {{UniBERT}: Adversarial Training for Language-Universal Representations},
  author  = {Avram, Andrei-Marius and Lupaşcu, Marian and Cercel, Dumitru-Clementin and Mironică, Ionuţ and
             Trăuşan-Matu, Ştefan},
  journal = {Neural Computing and Applications},
  year    = {2025},
  note    = {arXiv:2503.12608}
}
```"""
