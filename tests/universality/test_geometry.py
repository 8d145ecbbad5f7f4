"""How embeddings lie: against naive loops, scipy and scikit-learn; what is known beforehand; the same again."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unibert.errors import DataError
from unibert.universality.geometry import geometry, linkage_order, pca_map, umap_map


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def clumps(sizes, width=6, seed=0, spread=1.0):
    """Sentences around a mean for each language, in mixed order."""
    generator = np.random.default_rng(seed)
    labels = np.array([code for code, size in sizes.items() for _ in range(size)])
    generator.shuffle(labels)
    means = {code: 2 * generator.normal(size=width) + 1 for code in sizes}
    rows = np.stack([means[code] + spread * generator.normal(size=width) for code in labels])
    return rows.astype(np.float32), labels


def test_the_measures_are_those_of_naive_loops():
    rows, labels = clumps({"de": 7, "en": 4, "ru": 9})
    found = geometry(rows, labels, 3)
    rows = rows.astype(np.float64)
    means = {
        code: np.mean([row for row, own in zip(rows, labels, strict=True) if own == code], axis=0)
        for code in set(labels)
    }
    centred = [row - means[code] for row, code in zip(rows, labels, strict=True)]
    assert found.layer == 3
    assert found.anisotropy == pytest.approx(np.mean([cosine(a, b) for a, b in itertools.combinations(rows, 2)]))
    assert found.anisotropy_centred == pytest.approx(
        np.mean([cosine(a, b) for a, b in itertools.combinations(centred, 2)])
    )
    total = sum(float((row - rows.mean(axis=0)) @ (row - rows.mean(axis=0))) for row in rows)
    explained = sum(float((means[c] - rows.mean(axis=0)) @ (means[c] - rows.mean(axis=0))) for c in labels)
    assert found.between == pytest.approx(explained / total)
    middle = np.mean(list(means.values()), axis=0)
    assert set(found.distances) == {"de", "en", "ru"}
    for first, second in itertools.product(means, repeat=2):
        wanted = 0.0 if first == second else 1 - cosine(means[first] - middle, means[second] - middle)
        assert found.distances[first][second] == pytest.approx(wanted, abs=1e-9)


def test_the_order_of_the_sentences_does_not_matter():
    rows, labels = clumps({"de": 7, "en": 4, "ru": 9})
    order = np.random.default_rng(1).permutation(len(rows))
    first, second = geometry(rows, list(labels), 0), geometry(rows[order], list(labels[order]), 0)
    assert first.between == pytest.approx(second.between)
    assert first.anisotropy == pytest.approx(second.anisotropy)
    assert list(first.distances) == list(second.distances) == ["de", "en", "ru"]


def test_a_cone_is_anisotropic_and_a_ball_is_not():
    generator = np.random.default_rng(0)
    ball = generator.normal(size=(600, 32))
    labels = ["de", "en"] * 300
    assert abs(geometry(ball, labels, 0).anisotropy) < 0.01
    cone = geometry(ball + 20, labels, 0)
    assert cone.anisotropy > 0.99
    assert abs(cone.anisotropy_centred) < 0.01, "the cone is gone with the means"


def test_languages_that_are_alike_share_a_mean_and_others_do_not():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(400, 8))
    labels = ["de", "en", "ru", "zh"] * 100
    assert geometry(rows, labels, 0).between < 0.05
    apart = rows * 1e-3 + np.tile(np.eye(8)[:4], (100, 1))
    assert geometry(apart, labels, 0).between > 0.99


def test_a_constant_encoder_has_no_direction_to_speak_of():
    found = geometry(np.full((6, 4), 2.5, dtype=np.float32), ["de", "en", "ru"] * 2, 1)
    assert found.anisotropy == pytest.approx(1)
    assert (found.anisotropy_centred, found.between) == (0, 0)
    assert found.distances["de"] == {"de": 0, "en": 1, "ru": 1}


def test_embeddings_of_length_nothing_count_as_at_right_angles():
    found = geometry(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), ["de"] * 3, 0)
    assert found.anisotropy == pytest.approx(1 / 3)
    assert found.distances == {"de": {"de": 0.0}}


@pytest.mark.parametrize("codes", [["de"], ["de", "en"]])
def test_few_sentences_give_numbers_all_the_same(codes):
    found = geometry(np.eye(3)[: len(codes)], codes, 0)
    assert np.isfinite(found.anisotropy)
    assert set(found.distances) == set(codes)


def test_two_languages_are_always_opposite():
    rows, labels = clumps({"de": 3, "en": 8})
    assert geometry(rows, labels, 0).distances["de"]["en"] == pytest.approx(2)


@settings(max_examples=60)
@given(
    arrays.arrays(np.float32, (9, 3), elements=st.floats(-1e4, 1e4, width=32)),
    st.lists(st.sampled_from(["de", "en", "ru"]), min_size=9, max_size=9),
)
def test_any_numbers_stay_within_their_bounds(rows, labels):
    found = geometry(rows, labels, 0)
    assert -1 - 1e-9 <= found.anisotropy <= 1 + 1e-9
    assert -1 - 1e-9 <= found.anisotropy_centred <= 1 + 1e-9
    assert 0 <= found.between <= 1
    for first, second in itertools.product(found.distances, repeat=2):
        assert 0 <= found.distances[first][second] <= 2
        assert found.distances[first][second] == pytest.approx(found.distances[second][first], abs=1e-12)
    linkage_order(found.distances)


def test_what_is_not_finite_is_refused_with_its_place():
    rows = np.ones((3, 2), dtype=np.float32)
    rows[1, 0] = np.nan
    for measure in (
        lambda: geometry(rows, ["de", "en", "ru"], 4),
        lambda: pca_map(rows, ["de", "en", "ru"], [0, 1, 2]),
        lambda: umap_map(rows, ["de", "en", "ru"], [0, 1, 2]),
    ):
        with pytest.raises(DataError, match=r"language en .row 2., 1 in all"):
            measure()
    with pytest.raises(DataError, match="layer 4"):
        geometry(rows, ["de", "en", "ru"], 4)
    with pytest.raises(DataError, match="no embeddings"):
        geometry(np.zeros((0, 2)), [], 0)
    with pytest.raises(ValueError, match="2 labels"):
        geometry(rows, ["de", "en"], 0)


def test_the_tree_is_that_of_average_linkage():
    distances = {
        "da": {"da": 0, "sv": 0.1, "ja": 0.9, "nb": 0.2},
        "sv": {"da": 0.1, "sv": 0, "ja": 1.1, "nb": 0.3},
        "ja": {"da": 0.9, "sv": 1.1, "ja": 0, "nb": 1.3},
        "nb": {"da": 0.2, "sv": 0.3, "ja": 1.3, "nb": 0},
    }
    tree = linkage_order(distances)
    assert tree.languages == ["da", "ja", "nb", "sv"]
    # da with sv; nb with both, at (0.2 + 0.3) / 2; ja with all three.
    assert tree.linkage[:, 2].tolist() == pytest.approx([0.1, 0.25, 1.1])
    assert tree.linkage[:, 3].tolist() == [2, 3, 4]
    assert {frozenset(tree.linkage[0, :2])} == {frozenset({0.0, 3.0})}
    assert sorted(tree.order) == tree.languages
    assert tree.order in (
        ["ja", "da", "sv", "nb"],
        ["nb", "sv", "da", "ja"],
        ["ja", "sv", "da", "nb"],
        ["nb", "da", "sv", "ja"],
    )


def test_the_tree_is_one_that_scipy_can_draw():
    from scipy.cluster.hierarchy import dendrogram, is_valid_linkage

    rows, labels = clumps(dict.fromkeys(("de", "en", "nl", "ru", "uk"), 5))
    tree = linkage_order(geometry(rows, labels, 0).distances)
    assert is_valid_linkage(tree.linkage)
    drawn = dendrogram(tree.linkage, no_plot=True, labels=tree.languages)
    assert drawn["ivl"] == tree.order


@pytest.mark.parametrize(("distances", "order"), [({}, []), ({"de": {"de": 0.0}}, ["de"])])
def test_a_tree_of_less_than_two_languages_has_no_joint(distances, order):
    tree = linkage_order(distances)
    assert tree.order == order
    assert tree.linkage.shape == (0, 4)


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        ({"de": {}, "en": {"de": 1.0}}, "de to en is missing"),
        ({"de": {"en": 1.0}, "en": {"de": 0.5}}, "de to en is 1, en to de is 0.5"),
        ({"de": {"en": -1.0}, "en": {"de": -1.0}}, "de to en is -1"),
        ({"de": {"en": float("nan")}, "en": {"de": float("nan")}}, "de to en is nan"),
    ],
)
def test_distances_that_are_none_are_refused(distances, message):
    with pytest.raises(DataError, match=message):
        linkage_order(distances)


def test_principal_components_are_those_of_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    rows, labels = clumps({"de": 30, "en": 20}, width=12)
    found = pca_map(rows, labels, range(50), "centred")
    reference = decomposition.PCA(2).fit(rows.astype(np.float64))
    wanted = reference.transform(rows)
    for place, axis in enumerate((found.x, found.y)):
        sense = np.sign(np.dot(axis, wanted[:, place]))
        assert np.allclose(axis, sense * wanted[:, place], atol=1e-5)
    assert found.explained == pytest.approx(reference.explained_variance_ratio_.sum())
    assert (found.method, found.treatment) == ("pca", "centred")
    assert found.languages == labels.tolist()
    assert found.meanings == list(range(50))


def test_the_axes_of_a_map_have_a_sense_of_their_own():
    rows, labels = clumps({"de": 30, "en": 20})
    axes = np.linalg.lstsq(rows - rows.mean(axis=0), np.c_[pca_map(rows, labels, range(50)).x], rcond=None)[0][:, 0]
    assert axes[np.abs(axes).argmax()] > 0


def test_a_map_of_one_place_explains_nothing():
    found = pca_map(np.ones((3, 4)), ["de"] * 3, [0, 1, 2])
    assert found.explained is None
    assert np.allclose([found.x, found.y], 0)
    narrow = pca_map(np.array([[1.0], [3.0]]), ["de", "en"], [0, 0])
    assert np.allclose(narrow.y, 0)
    assert abs(narrow.x[0] - narrow.x[1]) == pytest.approx(2)


@pytest.mark.parametrize("draw", [pca_map, umap_map])
def test_every_point_needs_a_meaning(draw):
    with pytest.raises(ValueError, match="6 labels, 2 meanings"):
        draw(np.eye(6), ["de"] * 6, [0, 1])


@pytest.mark.slow  # numba compiles it first
def test_umap_keeps_clumps_together_and_draws_the_same_again():
    pytest.importorskip("umap")
    rows, labels = clumps({"de": 25, "en": 25}, width=10, spread=0.2)
    first, second = (umap_map(rows, labels, range(50), "raw", seed=3) for _ in range(2))
    assert (first.x, first.y) == (second.x, second.y)
    assert first.explained is None
    places = np.c_[first.x, first.y]
    for place, own in zip(places, labels, strict=True):
        nearest = np.argsort(((places - place) ** 2).sum(axis=1))[1]
        assert labels[nearest] == own


@pytest.mark.slow
@pytest.mark.parametrize("rows", [np.eye(5), np.ones((40, 4))])
def test_umap_draws_few_and_equal_sentences(rows):
    pytest.importorskip("umap")
    found = umap_map(rows, ["de"] * len(rows), [0] * len(rows))
    assert np.isfinite([found.x, found.y]).all()


def test_umap_tells_what_it_lacks(monkeypatch):
    with pytest.raises(DataError, match="4 sentences; UMAP needs at least 5"):
        umap_map(np.eye(4), ["de"] * 4, [0] * 4)
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(DataError, match="not installed") as told:
        umap_map(np.eye(6), ["de"] * 6, [0] * 6)
    assert "unibert[maps]" in told.value.fix
