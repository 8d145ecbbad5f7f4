"""Language means and projections: what they remove, what they leave, their files and what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unibert.errors import DataError
from unibert.models.neutral import (
    Projection,
    fit_means,
    fit_projection,
    load_means,
    load_projection,
    remove_means,
    save_means,
    save_projection,
)

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.numpy")


def clumps(languages=4, sentences=15, width=32, seed=0):
    """Sentences whose meaning is the same in every language, but for a shift of each language."""
    generator = np.random.default_rng(seed)
    meanings = generator.normal(size=(sentences, width))
    shifts = 5 * generator.normal(size=(languages, width)) + 3
    rows = np.concatenate([meanings + shift for shift in shifts]).astype(np.float32)
    labels = np.repeat([f"l{number}" for number in range(languages)], sentences)
    return rows, labels, meanings


def test_means_are_those_of_each_languages_rows():
    rows, labels, _ = clumps()
    order = np.random.default_rng(1).permutation(len(rows))
    means = fit_means(rows[order], labels[order])
    assert list(means) == ["l0", "l1", "l2", "l3"]
    for language, mean in means.items():
        assert mean.dtype == np.float32
        assert np.allclose(mean, rows[labels == language].mean(axis=0), atol=1e-5)
    centred = remove_means(rows, labels, means)
    assert all(np.allclose(centred[labels == language].mean(axis=0), 0, atol=1e-5) for language in means)
    assert remove_means(rows[:0], [], means).shape == (0, 32)


def test_a_full_projection_leaves_all_languages_the_same_mean_and_translations_the_same_place():
    rows, labels, meanings = clumps()
    projection = fit_projection(rows, labels, 3)
    found = projection.apply(rows)
    for mean in fit_means(found, labels).values():
        assert np.allclose(mean, 0, atol=1e-4)
    for language in ("l1", "l2", "l3"):
        assert np.allclose(found[labels == language], found[labels == "l0"], atol=1e-4)
    own = meanings - meanings.mean(axis=0)
    assert np.linalg.norm(found[labels == "l0"]) > 0.9 * np.linalg.norm(own), "little but the language was removed"


def test_the_projection_is_naive_gram_schmidt_on_the_centred_means():
    rows, labels, _ = clumps(3)
    projection = fit_projection(rows, labels, 2)
    means = np.stack([rows[labels == language].mean(axis=0) for language in ("l0", "l1", "l2")]).astype(np.float64)
    middle = means.mean(axis=0)
    first = (means[0] - middle) / np.linalg.norm(means[0] - middle)
    rest = means[1] - middle - ((means[1] - middle) @ first) * first
    second = rest / np.linalg.norm(rest)
    wanted = [row - middle - (row - middle) @ first * first - (row - middle) @ second * second for row in rows]
    assert np.allclose(projection.apply(rows), wanted, atol=1e-4)
    assert np.allclose(projection.mean_D, middle, atol=1e-5)


def test_what_is_at_right_angles_to_the_directions_stays():
    rows, labels, _ = clumps()
    projection = fit_projection(rows, labels)
    vector = np.random.default_rng(2).normal(size=32)
    vector -= (vector @ projection.directions_RD.T) @ projection.directions_RD
    assert np.allclose(projection.apply(projection.mean_D + vector), vector, atol=1e-5)


def test_applied_twice_it_removes_no_more():
    rows, labels, _ = clumps()
    projection = fit_projection(rows, labels)
    once = projection.apply(rows) + projection.mean_D
    assert np.allclose(projection.apply(once) + projection.mean_D, once, atol=1e-4)


def test_the_first_directions_are_those_in_which_the_means_differ_most():
    rows = np.zeros((6, 8), dtype=np.float32)
    labels = ["a", "b", "c", "d", "e", "f"]
    for place, size in enumerate((1, 9, 5)):
        rows[2 * place, place], rows[2 * place + 1, place] = size, -size
    directions = fit_projection(rows, labels, 2).directions_RD
    assert np.allclose(np.abs(directions), np.eye(8)[[1, 2]], atol=1e-6)


def test_every_language_counts_the_same():
    rows, labels, _ = clumps(3)
    again = np.concatenate([rows, rows[labels == "l1"], rows[labels == "l1"]])
    more = np.concatenate([labels, ["l1"] * 30])
    assert np.allclose(fit_projection(rows, labels).apply(rows), fit_projection(again, more).apply(rows), atol=1e-4)


@pytest.mark.parametrize(("languages", "width", "rank"), [(4, 32, 3), (12, 32, 8), (2, 32, 1), (5, 3, 1)])
def test_the_rank_by_default(languages, width, rank):
    rows, labels, _ = clumps(languages, width=width)
    projection = fit_projection(rows, labels)
    assert projection.rank == rank
    assert projection.width == width
    assert projection.languages == tuple(sorted(f"l{number}" for number in range(languages)))


def test_languages_with_the_same_mean_have_no_direction():
    rows, _, _ = clumps(1)
    twice, labels = np.concatenate([rows, rows]), ["de"] * 15 + ["en"] * 15
    projection = fit_projection(twice, labels)
    assert projection.rank == 0
    assert np.allclose(projection.apply(rows), rows - rows.mean(axis=0), atol=1e-5)
    assert np.allclose(projection.weight_DD, np.eye(32))


@settings(max_examples=30)
@given(st.integers(2, 8), st.integers(0, 7), st.integers(0, 1000))
def test_the_layer_is_the_projection(languages, rank, seed):
    rows, labels, _ = clumps(languages, sentences=3, width=9, seed=seed)
    projection = fit_projection(rows, labels, min(rank, languages - 1))
    layer = torch.nn.functional.linear(
        torch.from_numpy(rows), torch.from_numpy(projection.weight_DD), torch.from_numpy(projection.bias_D)
    )
    assert np.allclose(layer, projection.apply(rows), atol=2e-4)
    assert np.allclose(projection.directions_RD @ projection.directions_RD.T, np.eye(projection.rank), atol=1e-5)


def test_a_ready_written_file_gives_the_same_projection(tmp_path):
    rows, labels, _ = clumps()
    projection = fit_projection(rows, labels)
    path = tmp_path / "new" / "directions.safetensors"
    save_projection(projection, path, "abc")
    found = load_projection(path, "abc", 32)
    assert np.array_equal(found.mean_D, projection.mean_D)
    assert np.array_equal(found.directions_RD, projection.directions_RD)
    assert found.languages == projection.languages
    with __import__("safetensors").safe_open(path, "numpy") as stream:
        assert stream.metadata()["model_fingerprint"] == "abc"
        assert stream.metadata()["rank"] == "3"
        assert json.loads(stream.metadata()["languages"]) == ["l0", "l1", "l2", "l3"]
    assert load_projection(path).rank == 3


def test_a_projection_of_rank_0_can_be_kept(tmp_path):
    rows, labels, _ = clumps()
    save_projection(fit_projection(rows, labels, 0), tmp_path / "p", "abc")
    assert load_projection(tmp_path / "p", "abc").rank == 0


def test_ready_written_means_are_the_same(tmp_path):
    rows, labels, _ = clumps()
    means = fit_means(rows, labels)
    save_means(means, tmp_path / "means.safetensors", "abc")
    found = load_means(tmp_path / "means.safetensors", "abc", 32)
    assert list(found) == list(means)
    assert all(np.array_equal(found[language], means[language]) for language in means)


def test_files_that_do_not_fit_are_refused(tmp_path):
    rows, labels, _ = clumps()
    projection, means = tmp_path / "projection", tmp_path / "means"
    save_projection(fit_projection(rows, labels), projection, "abc")
    save_means(fit_means(rows, labels), means, "abc")
    for load, path, other in ((load_projection, projection, means), (load_means, means, projection)):
        with pytest.raises(DataError, match="on the model abc, not on xyz"):
            load(path, "xyz")
        with pytest.raises(DataError, match="width 32; the model has 64"):
            load(path, "abc", 64)
        with pytest.raises(DataError, match="not a file of language"):
            load(other)
        with pytest.raises(DataError, match="no such file"):
            load(tmp_path / "none")
        (tmp_path / "cut").write_bytes(path.read_bytes()[:-9])
        with pytest.raises(DataError, match="cannot be read"):
            load(tmp_path / "cut")
        with pytest.raises(DataError, match="cannot be read"):
            load(tmp_path)


def about(kind):
    return {"kind": f"unibert language {kind}", "model_fingerprint": "abc", "languages": '["de"]', "rank": "1"}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"mean": np.zeros(3), "directions": np.ones((1, 3))}, "damaged"),
        ({"mean": np.zeros(3), "directions": np.ones((1, 4))}, "damaged"),
        ({"mean": np.zeros(3)}, "damaged"),
        ({"mean": np.zeros(3), "directions": np.full((1, 3), np.nan)}, "not finite"),
    ],
)
def test_damaged_projections_are_refused(tmp_path, tensors, message):
    safetensors.save_file({k: v.astype(np.float32) for k, v in tensors.items()}, tmp_path / "p", about("projection"))
    with pytest.raises(DataError, match=message):
        load_projection(tmp_path / "p")


@pytest.mark.parametrize("tensors", [{}, {"de": np.zeros(3), "en": np.zeros(4)}, {"de": np.zeros((3, 1))}])
def test_damaged_means_are_refused(tmp_path, tensors):
    safetensors.save_file(tensors, tmp_path / "m", about("means"))
    with pytest.raises(DataError, match="damaged"):
        load_means(tmp_path / "m")


def test_bad_input_is_refused():
    rows, labels, _ = clumps(2)
    with pytest.raises(DataError, match=r"only one language .l0."):
        fit_projection(rows[:15], labels[:15])
    for rank in (2, -1):
        with pytest.raises(DataError, match=f"rank {rank}; the means of 2 languages span 1"):
            fit_projection(rows, labels, rank)
    with pytest.raises(DataError, match="width 5; the projection is for 32"):
        fit_projection(rows, labels).apply(np.zeros((1, 5)))
    with pytest.raises(DataError, match="none for xx; there is l0, l1"):
        remove_means(rows[:1], ["xx"], fit_means(rows, labels))
    with pytest.raises(DataError, match="width 32, embeddings of 5"):
        remove_means(np.zeros((1, 5)), ["l0"], fit_means(rows, labels))
    with pytest.raises(ValueError, match="1 labels for 2"):
        remove_means(rows[:2], ["l0"], fit_means(rows, labels))
    rows[3, 0] = np.inf
    for fit in (fit_means, fit_projection):
        with pytest.raises(DataError, match=r"not finite numbers, the first of language l0 .row 4."):
            fit(rows, labels)


def test_it_needs_no_fitting():
    projection = Projection(np.ones(2, np.float32), np.array([[1, 0]], np.float32), ("de", "en"))
    assert projection.apply(np.array([[5.0, 7.0]])).tolist() == [[0, 6]]
    assert projection.bias_D.tolist() == [0, -1]
