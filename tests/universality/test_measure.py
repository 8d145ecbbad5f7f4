"""Measuring encoders: every number is that of its own function, nothing is measured twice, nothing is averaged in."""

import dataclasses
import json

import pytest
import torch
import transformers

from ner_support import write_tiny_bert
from parallel_support import CODES, write_parallel
from unibert.errors import DataError, RecipeError
from unibert.models.neutral import find_directions, load_means, load_projection
from unibert.tasks.encoder import find_encoder
from unibert.universality import measure as module
from unibert.universality.embedding import Embedder
from unibert.universality.material import find_material, read_sizes
from unibert.universality.measure import file_name, measure_universality
from unibert.universality.probe import probe
from unibert.universality.retrieval import accuracy_at_1, centred
from unibert.universality.schema import Universality, load_universality
from unibert.universality_settings import UniversalitySettings


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_parallel(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return find_encoder(write_tiny_bert(tmp_path_factory.mktemp("encoder")), "tiny")


def settings(data, **more):
    texts = [str(data / f"{code}.txt") for code in CODES]
    given = {
        "parallel": [str(data)],
        "text": texts,
        "sentences": 60,
        "least_pairs": 10,
        "seeds": [1, 2],
        "maps": ["pca"],
    }
    return UniversalitySettings.model_validate(given | more)


@pytest.fixture(scope="module")
def measured(data, encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "universality"
    wanted = settings(data)
    metrics = {"tiny": {"NER, all (F1)": {"de": 1.0, "fr": 2.0, "zh": 3.0, "en": 4.0, "es": 5.0}}}
    found, failed = measure_universality(wanted, [encoder], find_material(wanted, {"de": 5, "fr": 9}), folder, metrics)
    assert not failed
    return wanted, folder, found[0]


def test_every_number_is_that_of_its_own_function(measured, data, encoder):
    wanted, _, found = measured
    material = find_material(wanted)
    assert sorted(found.pairs) == ["de-en", "fr-en", "zh-en"]
    embedder = Embedder(encoder, wanted.max_length)
    pair = next(pair for pair in material.parallel if pair.name == "fr-en")
    for layer in range(embedder.layers + 1):
        first = embedder.embed(pair.texts).layers_LND[layer]
        second = embedder.embed(pair.others).layers_LND[layer]
        raw = accuracy_at_1(first, second, "cosine")
        told = found.retrieval_at(layer, "cosine", "raw").pairs["fr-en"]
        assert (told.forth, told.back) == pytest.approx((raw.forth, raw.back))
        without = accuracy_at_1(centred(first), centred(second), "csls")
        told = found.retrieval_at(layer, "csls", "centred").pairs["fr-en"]
        assert (told.forth, told.back) == pytest.approx((without.forth, without.back))
    flat = [text for texts in material.texts.values() for text in texts]
    names = [code for code, texts in material.texts.items() for _ in texts]
    expected = probe(embedder.embed(flat).layers_LND[1], names, 1, "linear", [1, 2])
    told = next(p for p in found.probes if (p.layer, p.kind) == (1, "linear"))
    assert told.accuracies == pytest.approx(expected.accuracies)
    assert told.chance == pytest.approx(1 / 3)


def test_what_there_is_of_everything(measured):
    _, folder, found = measured
    layers = found.layers + 1
    assert len(found.probes) == 2 * layers
    assert len(found.geometry) == layers
    assert len(found.retrieval) == layers * 2 * 3
    assert {(points.method, points.treatment) for points in found.maps} == {("pca", "raw"), ("pca", "centred")}
    assert found.languages == {"de": 60, "fr": 60, "zh": 60}
    assert set(found.spelling) == {"de", "fr", "zh"}
    assert found.bytes == {"de": 5, "fr": 9}
    assert "NER, all (F1)" in {spread.measure for spread in found.disparity}
    assert load_universality(folder / "tiny.json") == found
    assert not list(folder.glob("*.part"))


def test_the_directions_are_kept_for_heads_and_export(measured, encoder):
    _, folder, found = measured
    path = find_directions(folder, encoder.fingerprint)
    projection = load_projection(path, encoder.fingerprint, found.hidden)
    assert set(load_means(folder / "tiny.means.safetensors", encoder.fingerprint)) == set(projection.languages)
    assert find_directions(folder.parent, encoder.fingerprint) == path
    with pytest.raises(DataError, match="no language directions of this model"):
        find_directions(folder, "another")


def test_a_second_time_nothing_is_measured(measured, data, encoder, monkeypatch):
    wanted, folder, found = measured
    before = (folder / "tiny.json").read_bytes()
    monkeypatch.setattr(module, "Embedder", None)
    metrics = {"tiny": {"NER, all (F1)": {"de": 1.0, "fr": 2.0, "zh": 3.0, "en": 4.0, "es": 5.0}}}
    again, _ = measure_universality(wanted, [encoder], find_material(wanted, {"de": 5, "fr": 9}), folder, metrics)
    assert again == [found]
    assert (folder / "tiny.json").read_bytes() == before


def test_new_scores_are_looked_at_without_measuring_again(measured, data, encoder, monkeypatch, tmp_path):
    wanted, folder, _ = measured
    copied(folder, tmp_path)
    monkeypatch.setattr(module, "Embedder", None)
    metrics = {"tiny": {"QA": {code: 1.0 * len(code) for code in ("de", "fr", "zh", "en", "es")}}}
    found, _ = measure_universality(wanted, [encoder], find_material(wanted, {"de": 5, "fr": 9}), tmp_path, metrics)
    assert "QA" in {spread.measure for spread in found[0].disparity}


def copied(folder, target):
    for path in folder.glob("tiny.*"):
        (target / path.name).write_bytes(path.read_bytes())


def test_material_of_no_use_is_told_without_measuring_again(measured, data, encoder, monkeypatch, tmp_path):
    wanted, folder, found = measured
    copied(folder, tmp_path)
    monkeypatch.setattr(module, "Embedder", None)
    whole = find_material(wanted, {"de": 5, "fr": 9})
    odd = dataclasses.replace(whole, left_out={"es-en": "not aligned"})
    for material, told in ((odd, {"es-en": "not aligned"}), (whole, found.left_out)):
        again, _ = measure_universality(wanted, [encoder], material, tmp_path)
        assert again[0].left_out == told
        assert load_universality(tmp_path / "tiny.json") == again[0]


def test_a_map_is_made_when_its_package_is_there(data, encoder, monkeypatch, tmp_path):
    def missing(*_):
        raise DataError("the UMAP map needs umap-learn, which is not installed")

    wanted = settings(data, layers="last", maps=["pca", "umap"])
    with monkeypatch.context() as without:
        without.setattr(module, "umap_map", missing)
        first, _ = measure_universality(wanted, [encoder], find_material(wanted), tmp_path)
    assert "map by UMAP" in first[0].left_out
    with monkeypatch.context() as still:
        still.setattr(module, "find_spec", lambda _: None)
        still.setattr(module, "Embedder", None)
        again, _ = measure_universality(wanted, [encoder], find_material(wanted), tmp_path)
    assert again == first
    monkeypatch.setattr(module, "probe", None)  # nothing else is made again
    monkeypatch.setattr(module, "find_spec", lambda _: True)
    monkeypatch.setattr(
        module, "umap_map", lambda *given: module.pca_map(*given[:-1]).model_copy(update={"method": "umap"})
    )
    last, _ = measure_universality(wanted, [encoder], find_material(wanted), tmp_path)
    assert "map by UMAP" not in last[0].left_out
    assert [points.method for points in last[0].maps] == ["pca", "umap", "pca", "umap"]
    assert last[0].probes == first[0].probes


def test_models_whose_names_give_the_same_file_name_have_files_of_their_own(data, tmp_path):
    encoders = [
        find_encoder(write_tiny_bert(tmp_path / str(number), seed=number), name)
        for number, name in enumerate(("m/bert", "../m/bert"))
    ]
    wanted = settings(data, layers="last", parallel=[])
    for order in (encoders, encoders[::-1], encoders[1:]):
        found, _ = measure_universality(wanted, order, find_material(wanted), tmp_path / "out")
        kept = {load_universality(path).model: path.name for path in (tmp_path / "out").glob("*.json")}
        assert [each.model for each in found] == [encoder.name for encoder in order]
        assert set(kept) == {"m/bert", "../m/bert"}
        assert kept["m/bert"] == "m--bert.json"
    assert len(list((tmp_path / "out").glob("*.directions.safetensors"))) == 2


def test_it_goes_on_where_it_was_stopped(measured, data, encoder, monkeypatch, tmp_path):
    wanted, _, found = measured
    real, calls = module.measure_retrieval, []

    def stopping(*args, **options):
        calls.append(1)
        if len(calls) > found.layers + 1:  # at the second file
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(module, "measure_retrieval", stopping)
    with pytest.raises(KeyboardInterrupt):
        measure_universality(wanted, [encoder], find_material(wanted), tmp_path)
    assert (tmp_path / "tiny.part").is_file()
    assert not (tmp_path / "tiny.json").exists()
    with (tmp_path / "tiny.part").open("a") as stream:
        stream.write('\n{"name": "pair fr-en", "va')  # as a killed process leaves it
    asked = []
    monkeypatch.setattr(module, "measure_retrieval", lambda *args, **options: asked.append(1) or real(*args, **options))
    monkeypatch.setattr(module, "probe", None)  # all probes are there
    again, _ = measure_universality(wanted, [encoder], find_material(wanted), tmp_path)
    assert len(asked) == 2 * (found.layers + 1)
    assert again[0].retrieval == found.retrieval
    assert again[0].probes == found.probes


@pytest.mark.parametrize("ending", [".directions.safetensors", ".means.safetensors"])
def test_what_neutralises_a_model_is_made_again_when_it_is_gone(ending, measured, data, encoder, tmp_path):
    wanted = settings(data, parallel=[], layers="last")
    once, _ = measure_universality(wanted, [encoder], find_material(wanted), tmp_path)
    (tmp_path / f"tiny{ending}").unlink()
    again, _ = measure_universality(wanted, [encoder], find_material(wanted), tmp_path)
    assert (tmp_path / f"tiny{ending}").is_file()
    assert again[0].probes == once[0].probes


def test_no_measure_is_correlated_with_itself(measured):
    for spread in measured[2].disparity:
        assert spread.measure not in spread.correlations


def test_an_encoder_that_is_not_a_number_is_named_and_the_others_are_measured(data, encoder, tmp_path, capsys):
    folder = write_tiny_bert(tmp_path / "broken")
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight.fill_(torch.nan)
    model.save_pretrained(folder)
    wanted = settings(data, layers="last")
    broken = find_encoder(folder, "broken")
    found, failed = measure_universality(wanted, [broken, encoder], find_material(wanted), tmp_path / "out")
    assert [each.model for each in found] == ["tiny"]
    assert "broken" in failed
    assert "not finite" in failed["broken"]
    assert "broken" in capsys.readouterr().err
    assert not (tmp_path / "out" / "broken.json").exists()
    assert "not finite" in (tmp_path / "out" / "broken.failed").read_text()
    mended = dataclasses.replace(encoder, name="broken")
    assert not measure_universality(wanted, [mended], find_material(wanted), tmp_path / "out")[1]
    assert not (tmp_path / "out" / "broken.failed").exists()
    with pytest.raises(DataError, match="no encoder could be measured"):
        measure_universality(wanted, [broken], find_material(wanted), tmp_path / "alone")


def test_a_name_that_is_too_long_for_a_file_is_cut_and_stays_its_own():
    one, other = ("models/" + "Ж" * 300 + "/" + end for end in ("a", "b"))
    assert file_name(one) != file_name(other)
    assert len(file_name(one).encode()) <= 200
    assert file_name("org/model") == "org--model"


def test_translations_alone(data, encoder, tmp_path):
    """Without other text the probe reads the translations' sentences."""
    wanted = settings(data, text=[], layers="last", sentences=30)
    found, _ = measure_universality(wanted, [encoder], find_material(wanted), tmp_path)
    assert set(found[0].languages) == {"de", "en", "fr", "zh"}
    assert found[0].probes[0].chance == 0.25


def test_text_alone(data, encoder, tmp_path):
    wanted = settings(data, parallel=[], layers="last")
    found, _ = measure_universality(wanted, [encoder], find_material(wanted), tmp_path)
    assert found[0].retrieval == []
    assert found[0].maps == []
    assert found[0].probes


def test_nothing_to_measure_on():
    with pytest.raises(RecipeError, match="nothing to measure on"):
        find_material(UniversalitySettings())


def test_one_language_is_refused_and_it_is_told_what_the_others_lack(data):
    wanted = settings(data, parallel=[], text=[str(data / "de.txt")], languages=["de", "fr"])
    with pytest.raises(DataError, match="compares languages") as told:
        find_material(wanted)
    assert "left out: text of fr: no text of it was found" in told.value.message


def test_a_seed_that_is_there_twice(data):
    with pytest.raises(ValueError, match="a seed is there twice"):
        settings(data, seeds=[1, 2, 1])


def test_a_language_with_too_few_sentences_is_left_out_by_name(data, tmp_path):
    (tmp_path / "es.txt").write_text("eine kurze Zeile mit Wörtern\n" * 3, encoding="utf-8")
    found = find_material(settings(data, text=[str(data / "de.txt"), str(data / "fr.txt"), str(tmp_path)]))
    assert set(found.texts) == {"de", "fr"}
    assert any("es" in name for name in found.left_out)


def test_what_is_drawn_of_a_language_does_not_depend_on_the_others(data):
    whole = find_material(settings(data, text=[], sentences=30))
    part = find_material(settings(data, text=[], sentences=30, languages=["de", "en", "fr"]))
    assert part.texts["de"] == whole.texts["de"]
    assert part.fingerprint != whole.fingerprint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("code,size\nde,5\n", ":1: no columns"),
        ("language,bytes\nde,5\nfr,many\n", ":3: 'fr', 'many'"),
        ("language,bytes\nde,-5\n", ":2: "),
        ("language,bytes\nde\n", ":2: "),
        ("language,bytes\nde,5\nfr,6\nde,7\n", ":4: 'de' was there before with another size"),
    ],
)
def test_sizes_that_are_none(text, told, tmp_path):
    path = tmp_path / "sizes.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        read_sizes(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_sizes(tmp_path / "nowhere.csv")


def test_sizes(tmp_path):
    path = tmp_path / "sizes.csv"
    path.write_text("language,lines,bytes\nde,1,5\nfr,2,900\n", encoding="utf-8")
    assert read_sizes(path) == {"de": 5, "fr": 900}


@pytest.mark.parametrize(
    ("name", "file"),
    [("student", "student"), ("facebook/xlm-v-base", "facebook--xlm-v-base"), ("../a b", "a--b"), ("//", "model")],
)
def test_names_of_files(name, file):
    assert file_name(name) == file


def test_a_file_of_another_version_is_told(tmp_path, measured):
    _, folder, found = measured
    tree = json.loads((folder / "tiny.json").read_text())
    (tmp_path / "x.json").write_text(json.dumps(tree | {"schema": 99}))
    assert "schema 99" in load_universality(tmp_path / "x.json")
    (tmp_path / "y.json").write_text("{")
    assert isinstance(load_universality(tmp_path / "y.json"), str)
    assert Universality.model_validate(tree) == found
