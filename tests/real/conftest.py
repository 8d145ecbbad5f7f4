"""Real public data lies beside the project; where it does not, these tests say so and skip."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data: the folder ../shared/data is not beside the project")
    return folder
