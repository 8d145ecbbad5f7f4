"""The benchmarks are scripts beside the package: their folder has to be found, and some made-up tokens be there."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))


@pytest.fixture(scope="session")
def made_up_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `--store` takes, in miniature."""
    from pretrain_support import KINDS, build_store

    root = tmp_path_factory.mktemp("store")
    for kind, lines in KINDS.items():
        build_store(root / kind, quick=True, lines_per_sample=lines)
    return root
