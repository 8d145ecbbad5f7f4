"""Universality drawn: lines by layer, dots by language, points against bytes and fertility."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from unibert.report import universality_figures as figures
from universality_support import make_universality, points_of

FEW = ["de", "fr", "es", "ru", "uk", "zh", "hi", "am", "xae"]


@pytest.fixture(scope="module")
def pair():
    return [make_universality("small", FEW, points=60), make_universality("acme/base", FEW, layers=7, points=60)]


def texts(svg: str) -> list[str]:
    return re.findall(r">([^<>]*)</text>", svg)


def test_several_encoders_are_lines_in_the_same_panel(pair):
    pictures = {picture.name: picture for picture in figures.layer_panels(pair)}
    assert set(pictures) == {
        f"universality-{name}"
        for name in (
            "probe-linear", "probe-mlp", "retrieval-cosine-raw", "retrieval-cosine-centred",
            "retrieval-cosine-projected", "retrieval-csls-raw", "retrieval-csls-centred", "retrieval-csls-projected",
            "anisotropy", "between",
        )
    }  # fmt: skip
    drawn = pictures["universality-retrieval-cosine-centred"]
    assert [text for text in texts(drawn.inline) if text in ("small", "acme/base", "chance")] == [
        "small", "acme/base", "chance",
    ]  # fmt: skip
    last = pair[1].retrieval_at(7, "cosine", "centred")
    assert f"to {last.mean * 100:.1f} % at layer 7; chance" in drawn.label
    assert "small from 0.31 at layer 0 to 0.75 at layer 4" in pictures["universality-anisotropy"].label
    assert len({re.search('viewBox="([^"]+)"', picture.inline)[1] for picture in pictures.values()}) == 1


def test_one_encoder_has_its_treatments_side_by_side(pair):
    pictures = {picture.name: picture for picture in figures.layer_panels(pair[:1])}
    assert set(pictures) == {
        f"universality-{name}" for name in ("probe", "retrieval-cosine", "retrieval-csls", "anisotropy", "between")
    }
    assert {"raw", "centred", "projected", "chance"} <= set(texts(pictures["universality-retrieval-csls"].inline))


def test_a_single_layer_has_no_curves(pair):
    only = {name: [x for x in getattr(pair[0], name) if x.layer == 4] for name in ("probes", "retrieval", "geometry")}
    assert figures.layer_panels([pair[0].model_copy(update=only)]) == []
    assert figures.layer_panels([pair[0].model_copy(update={"probes": [], "retrieval": [], "geometry": []})]) == []


def test_every_language_has_its_row_with_the_centred_number():
    encoder = make_universality(points=0)
    pictures = figures.retrieval_by_language("languages", encoder)
    assert len(pictures) == 3
    table = encoder.retrieval_at(3, "cosine", "centred")
    shown = [text for picture in pictures for text in texts(picture.inline) if re.fullmatch(r"[\d.]+ %", text)]
    expected = sorted((score.mean for score in table.pairs.values()), reverse=True)
    assert [text for text in shown if "." in text] == [f"{value * 100:.1f} %" for value in expected]
    raw_only = [r for r in encoder.retrieval if r.treatment == "raw"]
    assert figures.retrieval_by_language("l", encoder.model_copy(update={"retrieval": raw_only}))
    assert figures.retrieval_by_language("l", encoder.model_copy(update={"retrieval": []})) == []


def test_every_language_of_a_measure_is_a_point(pair):
    pictures = {picture.name: picture for picture in figures.disparity_scatters(pair)}
    # Four measures against two properties, but the length of pieces not against their number.
    assert set(pictures) == {
        f"universality-disparity-{number}-{name}"
        for number, name in [(n, of) for n in (1, 2, 3, 4) for of in ("bytes", "fertility")]
        if (number, name) != (3, "fertility")
    }
    # xae is in no corpus: its size is not known.
    assert len(points_of(pictures["universality-disparity-1-bytes"].inline)) == 2 * (len(FEW) - 1)
    assert len(points_of(pictures["universality-disparity-1-fertility"].inline)) == 2 * len(FEW)
    rho = pair[0].disparity[0].correlations["bytes"].value
    assert f"small, ρ = {rho:.2f}".replace("-", "−") in texts(pictures["universality-disparity-1-bytes"].inline)
    assert "am" in texts(pictures["universality-disparity-4-fertility"].inline)
    for picture in pictures.values():
        ElementTree.fromstring(picture.file)
        assert not re.search(r"\bnan\b|\binf\b", picture.inline)


def test_what_cannot_be_set_against_anything_is_not_drawn(pair):
    assert figures.disparity_scatters([pair[0].model_copy(update={"disparity": []})]) == []
    bare = pair[0].model_copy(update={"bytes": {}, "spelling": {}})
    assert figures.disparity_scatters([bare]) == []
    alike = pair[0].disparity[0].model_copy(update={"values": dict.fromkeys(FEW, 0.25)})
    (picture, _) = figures.disparity_scatters([pair[0].model_copy(update={"disparity": [alike]})])
    assert not re.search(r"\bnan\b|\binf\b", picture.inline)
