"""The embedded world and its pages, built once: they are read by most of the tests here."""

import shutil
from importlib import resources
from pathlib import Path

import pytest

from unibert.quickstart.pages import Page
from unibert.quickstart.wikis import wiki_pages
from unibert.quickstart.world import World, load_world

SEED = 1


@pytest.fixture(scope="session")
def world() -> World:
    return load_world()


@pytest.fixture(scope="session")
def wikis(world: World) -> dict[str, list[Page]]:
    return {code: wiki_pages(world, language, SEED) for code, language in world.languages.items()}


@pytest.fixture
def english_folder(tmp_path: Path) -> Path:
    """A copy of the facts and one language, to be damaged."""
    with resources.as_file(resources.files("unibert.quickstart") / "world") as source:
        for name in ("facts.toml", "en.toml"):
            shutil.copy(source / name, tmp_path / name)
    return tmp_path
