"""What the README and the docs say is there, is there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
COMMANDS = sorted(
    {
        line.partition("#")[0].strip()
        for page in PAGES
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    }
)
VERBS = sorted(
    {" ".join(verb.split()) for verb in re.findall(r"`unibert ((?:[a-z]+ ?){1,2})", README)}
    | {" ".join(shlex.split(c)[1:3]) for c in COMMANDS if c.startswith("unibert ")}
)


def test_there_are_commands_to_check() -> None:
    assert "make demo" in COMMANDS
    assert "make test" in COMMANDS
    assert any(command.startswith("unibert run") for command in COMMANDS)
    assert len(VERBS) > 6


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_exists(verb: str) -> None:
    words = [word for word in verb.split() if word.isalpha() and word.islower()]
    out = subprocess.run([sys.executable, "-m", "unibert", *words, "--help"], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if ".toml" in c and c.startswith("unibert")])
def test_every_recipe_command_has_a_valid_recipe_and_overrides(command: str) -> None:
    words = shlex.split(command)
    recipe = next(word for word in words if word.endswith(".toml"))
    overrides = [part for i, word in enumerate(words) if word == "--set" for part in ("--set", words[i + 1])]
    out = subprocess.run(
        [sys.executable, "-m", "unibert", "recipe", "check", recipe, *overrides],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert out.returncode == 0, out.stderr


@pytest.mark.parametrize("target", sorted({c.split()[1] for c in COMMANDS if c.startswith("make ")}))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_file_tree_is_the_tree() -> None:
    block = re.search(r"## What is where\n```\n(.*?)```", README, re.DOTALL)
    assert block
    for line in block[1].splitlines():
        names = line[:24].split()
        base = ROOT / "src" / "unibert" if line.startswith("  ") else ROOT
        for name in names:
            assert (base / name).exists(), name
