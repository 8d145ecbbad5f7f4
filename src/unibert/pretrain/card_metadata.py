"""The head of a model card: YAML that the Hugging Face hub reads, and a check of it that needs no network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Where Wikipedia's code is no ISO 639 code, or that of another language: what the hub takes, and the BCP 47 tag where
# that says more.
_TAGS = {
    "als": ("gsw", None),
    "be-tarask": ("be", "be-tarask"),
    "nds-nl": ("nds", "nds-NL"),
    "no": ("nb", None),
    "simple": ("en", "en-simple"),
}
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_SPECIAL_LANGUAGES = ("multilingual", "code")
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


def metadata(summary: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """The YAML between the two lines of `---`.

    Args:
        summary: `summary.json` of the run.
        recipe: the whole resolved recipe; {} where it is not known.
    """
    from huggingface_hub import ModelCardData

    languages, regional = language_tags(summary["languages"])
    teacher = summary.get("teacher") or {}
    base = on_hub(teacher.get("name"))
    more: dict[str, Any] = {"language_bcp47": regional} if regional else {}
    if base is not None and summary.get("initialise") == "teacher":
        # Of a student that only learns from a teacher's answers, the hub has no word for the relation.
        more["base_model_relation"] = "finetune"
    named = [str(name).partition(":")[0] for name in (recipe.get("corpus") or {}).get("hub") or []]
    datasets = list(dict.fromkeys(name for name in named if on_hub(name)))
    data = ModelCardData(
        language=languages,
        license=summary["license"],
        library_name="transformers",
        pipeline_tag="fill-mask",
        base_model=base,
        datasets=datasets or None,
        tags=["unibert", "bert", *(["distillation"] if distils(summary) else [])],
        **more,
    )
    return data.to_yaml()


def distils(summary: Mapping[str, Any]) -> bool:
    """Whether the model learned from a teacher's answers; its first weights may be a teacher's all the same."""
    settings = summary["objective"]["distillation"]
    parts = (settings, settings.get("hidden") or {}, settings.get("relations") or {})
    return bool(summary.get("teacher")) and any(part.get("weight") for part in parts)


def language_tags(codes: Iterable[str]) -> tuple[list[str], list[str]]:
    """Wikipedia's codes as the hub takes them.

    Returns:
        ISO 639 codes, `multilingual` first where there is more than one; and the BCP 47 tags of languages that such a
        code says too little of.
    """
    found: dict[str, None] = {}
    regional: dict[str, None] = {}
    for code in codes:
        short, long = _TAGS.get(code) or (code.partition("-")[0], code if "-" in code else None)
        if _LANGUAGE.fullmatch(short):
            found[short] = None
            regional |= {long: None} if long else {}
    return (["multilingual"] if len(found) > 1 else []) + list(found), list(regional)


def on_hub(name: str | None) -> str | None:
    """`name` if it can be one on the hub and is no file or folder here; else None."""
    if not name or not _HUB_NAME.fullmatch(name) or "--" in name or ".." in name or Path(name).exists():
        return None
    return name


def card_problems(text: str) -> list[str]:
    """What the hub would refuse in a card's metadata, one sentence each; empty where all is well.

    The hub checks the same when files arrive; this tells before anything is sent.
    """
    from huggingface_hub import ModelCard

    if not re.match(r"\s*---\r?\n.*?\n---\s*(\n|$)", text, re.DOTALL):
        return ["no metadata between two lines of --- at the top"]
    try:
        data = ModelCard(text).data.to_dict()
    except Exception as error:  # the YAML library's own, ValueError, TypeError
        return [f"the metadata at the top cannot be read: {' '.join(str(error).split())}"]
    problems = []
    for key in ("license", "library_name", "pipeline_tag", "base_model_relation"):
        if key in data and not isinstance(data[key], str):
            problems.append(f"{key} is {data[key]!r}, not a name")
    if "license" not in data:
        problems.append("no license")
    for key in ("language", "language_bcp47", "tags", "datasets", "base_model"):
        found = data.get(key, [])
        for value in found if isinstance(found, list) else [found]:
            if not isinstance(value, str):
                problems.append(f"{key} holds {value!r}, which is no text; put it in quotation marks")
            elif key == "language" and not (_LANGUAGE.fullmatch(value) or value in _SPECIAL_LANGUAGES):
                problems.append(f"language holds {value!r}, no ISO 639 code of two or three letters")
            elif key in ("datasets", "base_model") and not _HUB_NAME.fullmatch(value):
                problems.append(f"{key} holds {value!r}, which cannot be a name on the hub")
    return problems
