"""Exported models that several files of tests look at: made once, and never changed."""

from pathlib import Path

import pytest

from deploy_support import TEXTS, write_model


@pytest.fixture(scope="session")
def mlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`, a masked language model, and `export`, its export."""
    return _exported(tmp_path_factory.mktemp("mlm"), "MaskedLM")


@pytest.fixture(scope="session")
def ner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`, which tags words, and `export`, its export."""
    return _exported(tmp_path_factory.mktemp("ner"), "TokenClassification")


def _exported(place: Path, head: str) -> Path:
    from unibert.deploy.export import export_model

    write_model(place / "model", head=head)
    export_model(place / "model", place / "export", texts=TEXTS)
    return place
