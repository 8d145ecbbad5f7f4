"""Every architecture with another head: the export says what the model says, and int8 what the export says."""

from pathlib import Path

import pytest

from deploy_support import TEXTS, write_model
from unibert.deploy.export import export_model
from unibert.deploy.quantise import quantise_model


@pytest.mark.parametrize(
    ("architecture", "head", "outputs"),
    [
        ("bert", "TokenClassification", ["logits"]),
        ("distilbert", "QuestionAnswering", ["start_logits", "end_logits"]),
        ("roberta", "MaskedLM", ["logits"]),
        ("xlm-roberta", "SequenceClassification", ["logits"]),
        pytest.param("modernbert", "TokenClassification", ["logits"], marks=pytest.mark.slow),
    ],
)
def test_an_architecture_with_a_head(architecture: str, head: str, outputs: list[str], tmp_path: Path) -> None:
    source = write_model(tmp_path / "m", architecture, head)
    exported = export_model(source, tmp_path / "x", texts=TEXTS)
    assert exported.record["outputs"] == outputs
    assert ("token_type_ids" in exported.record["inputs"]) == (architecture == "bert")
    for language in TEXTS:
        assert exported.parity[language].difference < 1e-4
        assert exported.parity[language].agreement == 1.0
    found = quantise_model(tmp_path / "x", TEXTS)
    for language in TEXTS:
        quality = found.quality[language]
        assert quality.cosine is not None
        assert 0.99 < quality.cosine < 1.0
        assert quality.agreement is not None
        assert quality.agreement > 0.8
    assert found.bytes < 0.5 * found.bytes_before  # norms, biases and the graph weigh much in a model as tiny as this
