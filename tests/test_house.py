"""The structure of the house: data flows down, imports point up, files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "unibert"

# From top to bottom; a module may import from its own line and from those above it.
FLOORS = [
    ["errors"],
    ["files", "processes", "progress", "stopping"],
    ["crew"],
    ["languages", "runs", "settings", "tokenizer_files"],
    ["pretrain_settings", "task_settings", "universality_settings"],
    ["recipe"],
    ["recipe_file"],
    ["corpus"],
    ["tokens"],
    ["models"],
    ["pretrain"],
    ["tasks"],
    ["benchmark"],
    ["universality"],
    ["report"],
    ["deploy"],
    ["stages"],
    ["quickstart"],
    ["options"],
    ["data_cli", "report_cli", "tasks_cli", "universality_cli"],
    ["deploy_cli"],
    ["cli"],
    ["__main__"],
]
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
FILES = sorted(path for path in SOURCE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "unibert":
            names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            parts.update(name for name in names if name != "__version__")
        elif isinstance(node, ast.Import):
            parts.update(a.name.split(".")[1] for a in node.names if a.name.startswith("unibert."))
    return parts


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_up(path: Path) -> None:
    if path.name == "__init__.py" and path.parent == SOURCE:
        assert imported_parts(path) == set()
        return
    below = {part for part in imported_parts(path) if FLOOR_OF[part] > FLOOR_OF[part_of(path)]}
    assert not below, f"{path} imports from below it: {below}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_hold_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420


def test_corpus_and_tokens_need_no_torch() -> None:
    """The base install has no torch: what makes corpus and token shards must do without it."""
    script = """
import sys
for name in ("torch", "transformers", "matplotlib", "jinja2", "seqeval", "scipy"):
    sys.modules[name] = None  # importing it fails
import unibert.cli, unibert.stages, unibert.corpus.pipeline, unibert.tokens.build, unibert.tokens.store
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
