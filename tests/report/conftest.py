"""A run folder made of numbers that no default could produce."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from unibert.files import fingerprint, sha256_of_file
from unibert.languages import MBERT_CODES
from unibert.report.page import build_report

RULES = {
    "html": "changed",
    "links_only": "dropped",
    "digits": "dropped",
    "hidden_characters": "changed",
    "short": "dropped",
}
CODES = ["en", "de", "nl", "es", "ar", "ka", "sw", "yo", "ht", "lmo", "zh", "ss"]
NER = ["en", "es", "nl"]


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def corpus_counts(rank: int) -> dict:
    samples = 90_017 // (rank + 1) ** 2 + 13
    dropped = {"html": 0, "links_only": 3 + rank, "digits": 7 + rank, "hidden_characters": 0, "short": 211 + rank}
    return {
        "bytes": samples * 613 + rank,
        "characters": samples * 507,
        "tokens": samples * 97 + 1,
        "samples": samples,
        "pages": samples // 3 + 1,
        "redirects": 5,
        "other_namespaces": 2,
        "empty_pages": 1,
        "paragraphs": samples + sum(dropped.values()),
        "lengths": {"5": samples // 2, "90": samples - samples // 2 - 1, str(2_000 + rank): 1},
        "rules": {
            name: {"changed": 19 + rank if effect == "changed" else 0, "dropped": dropped[name]}
            for name, effect in RULES.items()
        },
    }


def added(entries: list[dict]) -> dict:
    total = {key: sum(entry[key] for entry in entries) for key in entries[0] if key not in ("rules", "lengths")}
    total["lengths"] = dict(sum((Counter(entry["lengths"]) for entry in entries), Counter()))
    total["rules"] = {
        name: {key: sum(entry["rules"][name][key] for entry in entries) for key in ("changed", "dropped")}
        for name in RULES
    }
    return total


def write_corpus(folder: Path, codes: list[str]) -> None:
    languages = {code: corpus_counts(rank) for rank, code in enumerate(codes)}
    files = [
        {
            "file": f"{code}wiki-20990101.xml.bz2",
            "language": code,
            "kind": "dump",
            "bytes": 1,
            "pages": 1,
            "samples": 1,
            "damage": None,
        }
        for code in codes
    ]
    write(
        folder / "corpus/statistics.json",
        {
            "schema": 2,
            "token_counter": "words and punctuation marks",
            "languages": languages,
            "files": files,
            "totals": added(list(languages.values())),
        },
    )
    index = {
        code: {
            "train": {
                "samples": entry["samples"] - 9,
                "tokens": entry["samples"] * 101,
                "sha256": {"bin": "0", "idx": "0"},
            },
            "heldout": {"samples": 9, "tokens": 907, "sha256": {"bin": "0", "idx": "0"}},
            "unknown": 31 * (rank + 1),
        }
        for rank, (code, entry) in enumerate(languages.items())
    }
    write(
        folder / "tokens/index.json",
        {"schema": 1, "tokenizer_sha256": "f0", "vocabulary_size": 7919, "languages": index},
    )


def log_lines(codes: list[str], steps: int, records: int, distilled: bool, shift: float = 0.0) -> list[dict]:
    """The records of a finished training whose losses are `shift` worse than usual."""
    shares = {code: (len(codes) - rank) / sum(range(1, len(codes) + 1)) for rank, code in enumerate(codes)}
    lines: list[dict] = []
    for number in range(1, records + 1):
        step = number * steps // records
        decay = 1 / (1 + 4 * number / records)
        wave = 0.11 * ((number * 7919) % 13 - 6) / 6
        lines.append(
            {
                "kind": "train",
                "step": step,
                "loss": 4.4321 * decay + 3.01 + wave + shift,
                "mlm": 6.1 * decay + 2.83 + wave + shift,
                "adversary": 2.4 + wave if distilled else None,
                "distillation": 3.3 * decay + 0.5 + wave + shift if distilled else None,
                "hidden": None,
                "relations": None,
                "discriminator_accuracy": 0.31 - 0.2 * (1 - decay) + wave / 9 if distilled else None,
                "learning_rate": 4.7e-4 * (1 - number / (records + 1)),
                "gradient_norm": 1.37 + wave,
                "tokens": step * 4099,
                "tokens_per_second": 4321.0 + 300 * wave,
                "peak_fraction": 0.287 + wave / 20,
                "seconds": step * 0.37,
                "shares": shares,
            }
        )
        if number % max(1, records // 8) == 0:
            losses = {
                code: (3.217 if distilled else 2.881) + 3 * decay + 0.171 * (rank % 17) + shift
                for rank, code in enumerate(codes)
            }
            lines.append(
                {"kind": "heldout", "step": step, "mlm": sum(losses.values()) / len(losses), "languages": losses}
            )
    return lines


def write_lines(path: Path, lines: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_summary(path: Path, name: str, lines: list[dict], steps: int, distilled: bool, width: int) -> None:
    parameters = width * 24_433 + 111 if distilled else 5_432_123
    write(
        path,
        {
            "schema": 1,
            "name": name,
            "architecture": {
                "layers": 3 if distilled else 5,
                "hidden": width,
                "heads": 6,
                "feed_forward": 389,
                "max_positions": 77,
            },
            "vocabulary_size": 7919,
            "parameters": parameters,
            "megabytes": parameters * 4 / 1e6,
            "steps": steps,
            "tokens": steps * 4099,
            "seconds": steps * 0.37,
            "seed": 41,
            "languages": list(lines[0]["shares"]),
            "weights_sha256": "ab" * 32,
            "objective": {
                "mlm": 0.5,
                "adversary": {"mode": "confusion", "weight": 0.13 if distilled else 0.0},
                "distillation": {"weight": 0.37 if distilled else 0.0, "temperature": 2.0},
            },
            "heldout": [line for line in lines if line["kind"] == "heldout"][-1],
        },
    )


def write_stage(folder: Path, group: str, settings: dict | None = None) -> None:
    write(
        folder / group / "run.json",
        {
            "stage": "pretrain",
            "fingerprint": f"{group:0<16}",
            "started": "2099-03-04T05:06:07+0000",
            "identity": {"settings": settings} if settings else {},
            "recipe": {},
            "versions": {"python": "3.11.99", "torch": "2.99.1"},
            "commit": "deadbeef1234",
            "command": ["unibert", "run", "zebra.toml"],
            "hardware": {"processor": "Imaginary 9000", "cores": 17, "system": "Linux"},
        },
    )


def write_training(folder: Path, role: str, codes: list[str], steps: int, records: int, distilled: bool) -> None:
    lines = log_lines(codes, steps, records, distilled)
    write_lines(folder / role / "log.jsonl", lines)
    write_summary(folder / role / "summary.json", role, lines, steps, distilled, 96 if distilled else 160)
    write_stage(folder, role)


FAMILY = {"small": (96, 0.0), "xsmall": (64, 0.41), "xxsmall": (48, 0.93)}
"""Width of each member, and how much worse it is."""


def make_family(folder: Path, records: int = 60) -> Path:
    """Replace the student of a run by three that were trained side by side."""
    shutil.rmtree(folder / "student")
    codes = list(json.loads((folder / "tokens/index.json").read_text())["languages"])
    for member, (width, shift) in FAMILY.items():
        lines = log_lines(codes, 3803, records, True, shift)
        for line in lines:
            if line["kind"] == "train":
                line |= {"hidden": 0.9 * line["mlm"] / 9, "relations": 0.21 * line["mlm"] / 9}
        place = folder / "students" / member
        write_lines(place / "log.jsonl", lines)
        write_summary(place / "summary.json", member, lines, 3803, True, width)
        summary = json.loads((place / "summary.json").read_text())
        summary["objective"]["distillation"] |= {"hidden": {"weight": 0.17}, "relations": {"weight": 0.19}}
        write(place / "summary.json", summary)
    write_stage(folder, "students", {"steps": 3803, "students": list(FAMILY)})
    recipe = (folder / "recipe.toml").read_text(encoding="utf-8").replace('"student"', '"small"')
    recipe = recipe.replace("[pretrain]", f"[pretrain]\nstudents = {json.dumps(list(FAMILY))}")
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    for path in (folder / "benchmark/results").glob("*.json"):
        path.write_text(path.read_text(encoding="utf-8").replace('"model": "student"', '"model": "small"'))
    return folder


def interrupt(folder: Path, group: str, share: float) -> Path:
    """Make the training of a group one that has come so far; nothing that follows it is there."""
    logs = [*folder.glob(f"{group}/log.jsonl"), *folder.glob(f"{group}/*/log.jsonl")]
    for path in logs:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        last = lines[-1]["step"]
        write_lines(path, [line for line in lines if line["step"] <= share * last])
        (path.parent / "summary.json").unlink()
    run = json.loads((folder / group / "run.json").read_text())
    run["identity"].setdefault("settings", {})["steps"] = last
    write(folder / group / "run.json", run)
    shutil.rmtree(folder / "benchmark", ignore_errors=True)
    return folder


def score(model: str, setting: str, code: str, seed: int) -> float:
    base = {"student": 61.37, "teacher": 66.83, "acme/base": 71.59}[model] + 1.91 * NER.index(code)
    joint = (
        {"student": 4.13, "teacher": 0.57, "acme/base": -0.71}[model] * (1 + 0.4 * (seed % 3))
        if setting == "all"
        else 0.0
    )
    return base + (0.83 * seed % 1.7) + joint


def write_predictions(folder: Path, address: str, scores: dict[str, dict]) -> dict:
    """Twenty samples per language of [right, gold, predicted], which together are as good as the scores say."""
    rows = [
        {
            "language": code,
            "number": number,
            "prediction": [],
            "statistics": [score["metrics"]["f1"] / 10 + (number * 7 % 5 - 2) / 2, 10, 10],
        }
        for code, score in scores.items()
        for number in range(20)
    ]
    path = folder / f"benchmark/predictions/{address}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0))
    return {"file": f"predictions/{path.name}", "sha256": sha256_of_file(path), "samples": len(rows)}


def write_result(folder: Path, model: str, setting: str, languages: list[str], seed: int) -> Path:
    scores = {}
    for code in languages:
        f1 = score(model, setting, code, seed)
        types = {
            kind: {
                "metrics": {"f1": f1 + shift, "precision": f1 + shift + 1, "recall": f1 + shift - 1},
                "support": 101 + seed,
            }
            for kind, shift in (("LOC", 2.03), ("PER", -3.01))
        }
        scores[code] = {
            "metrics": {"f1": f1, "precision": f1 + 1.23, "recall": f1 - 1.17},
            "low": f1 - 2.34,
            "high": f1 + 2.45,
            "support": 2221 + NER.index(code),
            "types": types,
        }
    parts = {"train": 7043, "dev": 811, "test": 1523}
    address = fingerprint([model, setting, languages, seed])
    path = folder / f"benchmark/results/{address}.json"
    write(
        path,
        {
            "schema": 2,
            "address": address,
            "task": "ner",
            "benchmark": "ner",
            "title": "ner",
            "metric": "f1",
            "per_cent": True,
            "model": model,
            "model_fingerprint": f"fp-{model}",
            "parameters": {"student": 2_345_679, "teacher": 5_432_123}.get(model, 178_000_001),
            "trained_parameters": 1234,
            "setting": setting,
            "languages": languages,
            "seed": seed,
            "settings": {"epochs": 7, "batch_size": 23, "learning_rate": 3.1e-5},
            "data": {
                code: {
                    part: {
                        "file": f"{code}.{part}",
                        "sha256": f"{code}{part}",
                        "samples": number + NER.index(code),
                    }
                    for part, number in parts.items()
                }
                for code in languages
            },
            "scores": scores,
            "predictions": write_predictions(folder, address, scores),
            "dev_scores": [1.0, 2.0],
            "best_epoch": 2,
            "learning_rate": 3.1e-5,
            "seconds": 61.5,
            "provenance": {
                "versions": {"python": "3.11.99", "seqeval": "1.99"},
                "commit": "cafe00000001+changes",
                "finished": f"2099-03-04T05:06:{seed:02}Z",
                "hardware": {"processor": "Imaginary 9000", "cores": 17, "system": "Linux"},
            },
        },
    )
    return path


RECIPE = """name = "zebra"
[teacher.train]
steps = 1901
warmup_steps = 191
alpha = 0.61
[pretrain]
steps = 3803
warmup_steps = 197
alpha = 0.47
label_smoothing = 0.29
[benchmark]
models = ["student", "teacher", "acme/base"]
seeds = [{seeds}]
[benchmark.data.ner]
task = "ner"
[benchmark.data.ner.files]
en = {{train = "en.train", test = "en.test"}}
es = {{train = "es.train", test = "es.test"}}
nl = {{train = "nl.train", test = "nl.test"}}
"""


def write_run(folder: Path, codes: list[str], seeds: tuple[int, ...], records: int) -> Path:
    """A whole synthetic run in a new folder."""
    folder.mkdir()
    (folder / "recipe.toml").write_text(RECIPE.format(seeds=", ".join(map(str, seeds))), encoding="utf-8")
    write_corpus(folder, codes)
    write_training(folder, "teacher", codes, 1901, records, distilled=False)
    write_training(folder, "student", codes, 3803, records, distilled=True)
    for model in ("student", "teacher", "acme/base"):
        for seed in seeds:
            write_result(folder, model, "all", NER, seed)
            for code in NER:
                write_result(folder, model, "each", [code], seed)
    return folder


@pytest.fixture(autouse=True)
def no_png(monkeypatch):
    """Drawing them takes as long as all the rest of a report; the reports of the whole session have them."""
    monkeypatch.setattr("unibert.report.rendering._png", lambda picture: b"")


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a run which the test may spoil; returns its folder."""

    def make(seeds: tuple[int, ...] = (5, 6, 8), records: int = 60) -> Path:
        return write_run(tmp_path / "zebra-folder", CODES, seeds, records)

    return make


@pytest.fixture
def make_family_run(make_run):
    """As `make_run`, with three students that were trained side by side instead of one."""

    def make(seeds: tuple[int, ...] = (5, 6, 8), records: int = 60) -> Path:
        return make_family(make_run(seeds, records), records)

    return make


@pytest.fixture
def stop_at():
    """A function that makes the training of a group one that has come only so far; see `interrupt`."""
    return interrupt


@pytest.fixture(scope="session")
def small_report(tmp_path_factory):
    """The report of twelve languages and three seeds, to be read only; returns the path of index.html."""
    return build_report(write_run(tmp_path_factory.mktemp("small") / "zebra-folder", CODES, (5, 6, 8), 60))


@pytest.fixture(scope="session")
def family_report(tmp_path_factory):
    """The report of a finished family of three, to be read only; returns the path of index.html."""
    folder = write_run(tmp_path_factory.mktemp("family") / "zebra-folder", CODES, (5, 6, 8), 60)
    return build_report(make_family(folder))


@pytest.fixture(scope="session")
def live_report(tmp_path_factory):
    """The report of a family that is being trained, to be read only; returns the path of index.html."""
    folder = write_run(tmp_path_factory.mktemp("live") / "zebra-folder", CODES, (5, 6, 8), 60)
    return build_report(interrupt(make_family(folder), "students", 0.4))


@pytest.fixture(scope="session")
def large_report(tmp_path_factory):
    """The report of 107 languages, one seed and long logs, to be read only; returns the path of index.html."""
    codes = ["en", *(code for code in MBERT_CODES if code != "en"), "ss", "ig", "xh", "am"][:107]
    assert len(codes) == 107
    return build_report(write_run(tmp_path_factory.mktemp("large") / "zebra-folder", codes, (5,), 700))
