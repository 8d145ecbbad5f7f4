import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from ner_support import write_conll
from prune_support import make_model, make_tagger, sentences, write_model, write_texts
from unibert.deploy import prune as module
from unibert.deploy.prune import FACTS, Pruned, Pruning, prune_model
from unibert.deploy.pruning_figure import curve_picture
from unibert.deploy.pruning_report import format_pruned
from unibert.deploy.pruning_shape import Target
from unibert.deploy_cli import prune
from unibert.errors import DataError, Interrupted, RecipeError, UniBertError

QUICK = Pruning(samples=40, texts=60)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prune")
    write_model(folder / "model", make_model("bert", layers=2))
    write_texts(folder / "texts")
    return folder


def run(place: Path, output: Path, **given) -> Pruned:
    given = {"target": Target(share=0.8), "text": [place / "texts"], "pruning": QUICK, **given}
    return prune_model(place / "model", output, **given)


def test_a_stock_folder_comes_out(place: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, pipeline

    found = run(place, tmp_path / "out")
    assert found.after.parameters <= 0.8 * found.before.parameters
    model, loading = AutoModelForMaskedLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"] and not loading["mismatched_keys"]
    assert sum(weight.numel() for weight in model.parameters()) == found.after.parameters
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    shape = found.after.shape
    assert (model.config.num_attention_heads, model.config.intermediate_size) == (shape.heads, shape.feed_forward)
    assert AutoModel.from_pretrained(tmp_path / "out").config.hidden_size == found.after.hidden
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    before = AutoTokenizer.from_pretrained(place / "model")
    assert tokenizer("mister boba in")["input_ids"] == before("mister boba in")["input_ids"]
    assert len(pipeline("fill-mask", model=model, tokenizer=tokenizer)("mister [MASK] in")) == 5
    # What was told of it is what it does.
    facts = json.loads((tmp_path / "out" / FACTS).read_text())
    assert facts["after"]["pruned"]["losses"] == found.after.pruned.losses
    assert facts["samples"] == {code: {"learned": 48, "held_out": 12} for code in ("de", "fr")}
    assert not list(tmp_path.glob("out/curve*"))
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_units_that_were_kept_are_those_of_the_original(place: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    found = run(place, tmp_path / "out", target=Target(heads=2, feed_forward=7))
    before, after = (load_file(folder / "model.safetensors") for folder in (place / "model", tmp_path / "out"))
    kept = json.loads((tmp_path / "out" / FACTS).read_text())["kept"]
    assert [len(kept[space]) for space in ("heads.0", "heads.1", "hidden")] == [2, 2, 8]
    hidden, rows = torch.tensor(kept["hidden"]), [h * 4 + place for h in kept["heads.1"] for place in range(4)]
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(after[name], before[name][:, hidden])
    name = "bert.encoder.layer.1.attention.self.key.weight"
    assert torch.equal(after[name], before[name][rows][:, hidden])
    name = "bert.encoder.layer.0.output.dense.weight"
    assert torch.equal(after[name], before[name][hidden][:, torch.from_numpy(found.kept["feed-forward.0"])])
    assert after[name].shape == (8, 7)


def test_units_without_use_go_first_and_cost_nothing(tmp_path: Path) -> None:
    model = make_model("distilbert", feed_forward=24)
    gone = [np.arange(layer, 24, 3) for layer in range(2)]
    with torch.no_grad():
        for layer, columns in zip(model.distilbert.transformer.layer, gone, strict=True):
            layer.ffn.lin2.weight[:, columns] = 0
    write_model(tmp_path / "model", model)
    write_texts(tmp_path / "texts")
    found = run(tmp_path, tmp_path / "out", target=Target(feed_forward=16))
    for layer, columns in enumerate(gone):
        assert np.intersect1d(found.kept[f"feed-forward.{layer}"], columns).size == 0
    for code, loss in found.before.pruned.losses.items():
        assert found.after.pruned.losses[code] == pytest.approx(loss, rel=1e-5)


def test_a_curve_is_measured_drawn_and_told(place: Path, tmp_path: Path) -> None:
    from unibert.pretrain.card_metadata import card_problems

    pruning = Pruning(samples=40, texts=60, recover=3)
    found = run(place, tmp_path / "out", curve=[0.6, 0.9, 0.8], pruning=pruning)
    sizes = [point.parameters for point in found.curve]
    assert sizes == sorted(sizes, reverse=True)
    assert all(point.recovered and point.share <= 0.9 for point in found.curve)
    assert found.after in found.curve
    facts = json.loads((tmp_path / "out" / FACTS).read_text())
    assert [point["parameters"] for point in facts["curve"]] == sizes
    assert facts["settings"]["recovery_steps"] == 3
    out = tmp_path / "out"
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "parameters, millions" in (out / "curve.svg").read_text()
    rows = (out / "curve.csv").read_text().splitlines()
    assert rows[0].startswith("parameters,share,heads,hidden,feed-forward,held-out loss (nats),recovered (nats)")
    assert [int(row.split(",")[0]) for row in rows[1:]] == [found.before.parameters, *sizes]
    card = (out / "README.md").read_text()
    assert "curve.png" in card and "3 steps" in card
    assert card_problems(card.replace("---\n", "---\nlicense: mit\n", 1)) == []
    picture = curve_picture(found)
    assert picture is not None
    for point in found.curve:
        assert f"{point.pruned.loss:.3f} pruned" in picture.label
    told = format_pruned(found)
    assert "de German" in told and "recovered" in told


def test_without_a_target_the_smallest_of_the_curve_is_written(place: Path, tmp_path: Path) -> None:
    found = run(place, tmp_path / "out", target=None, curve=[0.9, 0.6, 0.8])
    assert found.after.parameters == min(point.parameters for point in found.curve)
    assert found.after.recovered is None


def test_the_same_again_gives_the_same(place: Path, tmp_path: Path) -> None:
    first, second = (run(place, tmp_path / name) for name in ("a", "b"))
    assert first.after == second.after
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]


def test_the_metadata_of_the_card_is_taken_over(place: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model", make_model())
    write_texts(tmp_path / "texts")
    (tmp_path / "model" / "README.md").write_text("---\nlicense: mit\nlanguage:\n- de\ntags:\n- other\n---\n# Old\n")
    run(tmp_path, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert re.match(r"---\nlanguage:\n- de\nlibrary_name: transformers\nlicense: mit\n", card)
    assert "- other" not in card and "# Old" not in card


def test_a_tagger_is_pruned_by_its_own_loss(tmp_path: Path) -> None:
    from transformers import AutoModelForTokenClassification

    make_tagger(tmp_path / "model", architecture="roberta")
    files = {code: write_conll(tmp_path / f"{code}.conll", 40, seed) for seed, code in enumerate(("de", "nl"))}
    found = prune_model(
        tmp_path / "model",
        tmp_path / "out",
        Target(share=0.7),
        task="ner",
        data=files,
        pruning=Pruning(samples=30, recover=2),
    )
    assert (found.task, found.score_name, set(found.after.last.scores)) == ("ner", "entity F1", {"de", "nl"})
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "out")
    assert model.config.id2label[1] == "B-LOC"
    assert "entity F1 before" in format_pruned(found)


def test_what_cannot_be_is_refused_before_the_work(place: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "measure_importance", lambda *_: pytest.fail("work was begun"))
    out = tmp_path / "out"
    with pytest.raises(DataError, match="the smallest that it can be pruned to has 1,"):
        run(place, out, target=Target(parameters=100))
    with pytest.raises(DataError, match="the smallest"):
        run(place, out, curve=[0.9, 0.001])
    with pytest.raises(RecipeError, match="not a share"):
        run(place, out, curve=[1.5])
    with pytest.raises(RecipeError, match="how much is to be left"):
        run(place, out, target=None)
    with pytest.raises(RecipeError, match="one of --text and --task"):
        run(place, out, text=[])
    with pytest.raises(RecipeError, match="one of --text and --task"):
        run(place, out, task="ner", data=place / "x.conll")
    with pytest.raises(RecipeError, match="belong together"):
        run(place, out, text=[], task="ner")
    with pytest.raises(DataError, match="too little text"):
        run(place, out, languages=["sw"])
    with pytest.raises(DataError, match="there is something there already"):
        run(place, place / "texts")
    write_model(tmp_path / "encoder", make_model("bert", ""))
    with pytest.raises(DataError, match="no masked language modelling head"):
        prune_model(tmp_path / "encoder", out, Target(share=0.7), text=[place / "texts"])
    config = json.loads((tmp_path / "encoder" / "config.json").read_text())
    (tmp_path / "encoder" / "config.json").write_text(json.dumps({**config, "model_type": "modernbert"}))
    with pytest.raises(DataError, match="its architecture is modernbert"):
        prune_model(tmp_path / "encoder", out, Target(share=0.7), text=[place / "texts"])
    assert not out.exists()


def test_a_loss_that_is_no_number_writes_nothing(tmp_path: Path) -> None:
    model = make_model()
    with torch.no_grad():  # finite weights whose products are not
        model.bert.encoder.layer[0].intermediate.dense.weight.fill_(1e30)
        model.bert.encoder.layer[0].output.dense.weight.fill_(1e30)
    write_model(tmp_path / "model", model)
    write_texts(tmp_path / "texts")
    with pytest.raises(DataError, match="is not a number"):
        run(tmp_path, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "texts"]


@pytest.mark.parametrize("where", ["recover", "write_json"])
def test_ctrl_c_leaves_nothing_and_says_so(place: Path, tmp_path: Path, monkeypatch, where: str) -> None:
    """During recovery, and while the folder is being written."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs are started with it ignored
    monkeypatch.setattr(module, where, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match=r"nothing was written to .*out") as caught:
        run(place, tmp_path / "out", pruning=Pruning(samples=10, texts=60, recover=2))
    assert caught.value.exit_code == 130
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(place: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(prune)
    words = [str(place / "model"), "--text", str(place / "texts"), "--language", "de,fr", "--samples", "20"]
    out = ["--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*words, *out, "--parameters", "4k", "--texts", "50"])
    assert result.exit_code == 0, result.output
    assert "loss pruned" in result.stdout and result.stdout.rstrip().endswith(str(tmp_path / "out"))
    assert (tmp_path / "out" / "model.safetensors").is_file()
    for wrong in (["--parameters", "lots"], ["--curve", "0.9;0.8"], ["--size", "0.5", "--heads", "2"], []):
        result = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "other"), *wrong])
        assert isinstance(result.exception, UniBertError), wrong
    assert not (tmp_path / "other").exists()


def test_without_matplotlib_a_model_is_pruned_and_a_curve_is_not_begun(
    place: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "unibert.deploy.pruning_figure", None)
    monkeypatch.delattr("unibert.deploy.pruning_figure", raising=False)
    run(place, tmp_path / "out")
    monkeypatch.setattr(module, "load_deployable", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(ImportError):
        run(place, tmp_path / "curve", curve=[0.9])


def test_text_may_be_of_one_language_only(place: Path, tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_text("\n".join(sentences(60, 7)), encoding="utf-8")
    found = run(place, tmp_path / "out", text=[tmp_path / "de.txt"])
    assert list(found.before.pruned.losses) == ["de"]
