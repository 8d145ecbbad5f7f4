"""A trimmed model answers as the original on what is kept, loads with stock transformers, and says what it lost."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertForPreTraining,
    BertForTokenClassification,
    BertModel,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)
from typer.testing import CliRunner

from finish_support import finished_run
from tests_support import write_world
from trim_support import TOKENIZERS, all_text, fast, made_up, random_model, save, wordpiece
from unibert.deploy import trim as trimming
from unibert.deploy.model_folder import check_model
from unibert.deploy.trim import Size, trim_model, trim_on_files
from unibert.deploy.trim_card import format_trimmed
from unibert.deploy.trim_pieces import Choice
from unibert.deploy.trim_weights import required_ids
from unibert.deploy_cli import trim
from unibert.errors import DataError, RecipeError
from unibert.pretrain.card_metadata import card_problems

TEXTS = {"de": made_up("de"), "ru": made_up("ru")}
KINDS = {"bert": "wordpiece", "distilbert": "wordpiece", "xlm-roberta": "unigram", "modernbert": "added_last"}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "bert", "bert", wordpiece())


def loaded(kind: Any, folder: Path) -> tuple[Any, Any]:
    return kind.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def same_answers(kind: Any, before: Path, after: Path, texts: list[str], pieces: bool = True) -> None:
    """The naive comparison: each text by itself, pieces matched by their names."""
    (old, old_tokenizer), (new, new_tokenizer) = loaded(kind, before), loaded(kind, after)
    names = sorted(new_tokenizer.get_vocab(), key=new_tokenizer.get_vocab().__getitem__)
    columns = [old_tokenizer.get_vocab()[name] for name in names]
    compared = 0
    for text in texts:
        one, other = (encoder(text, return_tensors="pt") for encoder in (old_tokenizer, new_tokenizer))
        tokens = old_tokenizer.convert_ids_to_tokens(one["input_ids"][0])
        if not set(tokens) <= set(names) - {old_tokenizer.unk_token}:
            continue
        compared += 1
        assert new_tokenizer.convert_ids_to_tokens(other["input_ids"][0]) == tokens
        with torch.no_grad():
            wanted, found = old(**one)[0], new(**other)[0]
        wanted = wanted[..., columns] if pieces else wanted
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    assert compared >= min(5, len(texts))


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_stay_on_kept_pieces(kind: str, tied: bool, tmp_path: Path) -> None:
    unused = 3 if kind == "modernbert" else 0
    folder = save(tmp_path / "m", kind, TOKENIZERS[KINDS[kind]](), unused, tie_word_embeddings=tied)
    found = trim_model(folder, tmp_path / "t", TEXTS, least=0)
    assert 0 < found.after.pieces < found.before.pieces
    mask = AutoTokenizer.from_pretrained(folder).mask_token
    texts = [*TEXTS["de"][:6], *TEXTS["ru"][:6], *(text.replace(" ", f" {mask} ", 1) for text in TEXTS["de"][:5])]
    same_answers(AutoModelForMaskedLM, folder, tmp_path / "t", texts)
    model, tokenizer = loaded(AutoModelForMaskedLM, tmp_path / "t")
    assert (
        model.config.vocab_size == len(tokenizer) == found.after.pieces == model.get_input_embeddings().num_embeddings
    )
    head = model.get_output_embeddings()
    assert (head.weight is model.get_input_embeddings().weight) is tied
    assert head.weight.shape[0] == head.bias.shape[0] == found.after.pieces
    assert sum(parameter.numel() for parameter in model.parameters()) == found.after.parameters


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_the_configuration_are_those_of_the_tokenizer(kind: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "m", kind, TOKENIZERS[KINDS[kind]]())
    trim_model(folder, tmp_path / "t", TEXTS, least=0)
    old, new = (loaded(AutoModelForMaskedLM, place) for place in (folder, tmp_path / "t"))
    for key, value in old[0].config.to_dict().items():
        if key.endswith("_token_id") and value is not None:
            piece = old[1].convert_ids_to_tokens(value)
            assert new[1].convert_ids_to_tokens(getattr(new[0].config, key)) == piece
    for role in ("pad", "unk", "cls", "sep", "mask", "bos", "eos"):
        assert getattr(old[1], f"{role}_token") == getattr(new[1], f"{role}_token")
    assert new[0].get_input_embeddings().padding_idx == new[1].pad_token_id == new[0].config.pad_token_id
    assert old[1].model_max_length == new[1].model_max_length == 40
    assert old[1].model_input_names == new[1].model_input_names
    assert new[1]("ab", "cd").keys() == old[1]("ab", "cd").keys()


def test_heads_and_number_formats_are_left_alone(tmp_path: Path) -> None:
    tokenizer = fast(wordpiece())
    config = random_model("bert", tokenizer).config
    config.num_labels = 5
    model = BertForTokenClassification(config).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    (tmp_path / "m" / "finetune.json").write_text('{"task": "ner"}')
    found = trim_model(tmp_path / "m", tmp_path / "t", TEXTS)
    assert (tmp_path / "t" / "finetune.json").read_text() == '{"task": "ner"}'
    assert json.loads((tmp_path / "t" / "trim.json").read_text())["check"]["texts"] == found.checked == 8
    same_answers(AutoModelForTokenClassification, tmp_path / "m", tmp_path / "t", TEXTS["ru"][:5], pieces=False)
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("m", "t"))
    table = "bert.embeddings.word_embeddings.weight"
    assert before.keys() == after.keys() and after[table].dtype == torch.bfloat16
    assert all(torch.equal(before[name], after[name]) for name in before if name != table)
    assert "pipeline_tag: token-classification" in (tmp_path / "t" / "README.md").read_text()


def test_a_model_without_a_head_keeps_its_pooler(tmp_path: Path) -> None:
    tokenizer = fast(wordpiece())
    BertModel(random_model("bert", tokenizer).config).save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    trim_model(tmp_path / "m", tmp_path / "t", TEXTS)
    same_answers(AutoModel, tmp_path / "m", tmp_path / "t", TEXTS["de"][:5], pieces=False)
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("m", "t"))
    assert torch.equal(before["pooler.dense.weight"], after["pooler.dense.weight"])


def test_two_heads_and_several_files(tmp_path: Path) -> None:
    tokenizer = fast(wordpiece())
    BertForPreTraining(random_model("bert", tokenizer).config).save_pretrained(tmp_path / "m", max_shard_size="10KB")
    tokenizer.save_pretrained(tmp_path / "m")
    assert len(list((tmp_path / "m").glob("*.safetensors"))) > 1
    trim_model(tmp_path / "m", tmp_path / "t", TEXTS)
    same_answers(AutoModelForMaskedLM, tmp_path / "m", tmp_path / "t", TEXTS["de"][:5])
    assert "cls.seq_relationship.weight" in load_file(tmp_path / "t" / "model.safetensors")


def test_a_sentence_encoder_stays_one(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "modules.json").write_text(json.dumps([{"path": ""}, {"path": "1_Pooling"}, {"path": "../outside"}]))
    trim_model(folder, tmp_path / "t", TEXTS)
    assert (tmp_path / "t" / "modules.json").exists() and (tmp_path / "t" / "1_Pooling" / "config.json").exists()


def test_sizes_and_coverage_are_told_three_times(bert: Path, tmp_path: Path) -> None:
    found = trim_model(bert, tmp_path / "eu", TEXTS, Choice(coverage=0.98))
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "eu")
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    assert found.after.float32 == 4 * sum(parameter.numel() for parameter in model.parameters())
    assert found.after.int8 == sum(s[0] * s[1] + 4 * s[0] if len(s) == 2 else 4 * s[0] for s in shapes)
    facts = json.loads((tmp_path / "eu" / "trim.json").read_text())
    assert facts == json.loads(json.dumps(found.facts()))
    assert sum(facts["kept"].values()) == facts["after"]["pieces"]
    card, printed = (tmp_path / "eu" / "README.md").read_text(), format_trimmed(facts)
    for told in (card, printed):
        assert f"{found.after.pieces:,}" in told and f"{found.before.parameters:,}" in told
        assert f"{found.coverage['ru'].pieces:.2%}" in told and f"{found.coverage['de'].words:.2%}" in told
    assert card_problems(card) == ["no license"]


def test_coverage_is_that_of_the_last_tenth(bert: Path, tmp_path: Path) -> None:
    texts = [*TEXTS["de"][:90], *made_up("de", 10, seed=5)]
    own = trim_model(bert, tmp_path / "t", {"de": texts}, Choice(coverage=0.6), least=0).coverage["de"]
    old, new = (AutoTokenizer.from_pretrained(folder) for folder in (bert, tmp_path / "t"))
    pieces = [piece for text in texts[90:] for piece in old.tokenize(text)]
    kept = [piece for piece in pieces if piece in new.get_vocab() and piece != "[UNK]"]
    words = [word for text in texts[90:] for word in text.replace(".", " .").split()]
    same = [word for word in words if old.tokenize(word) == new.tokenize(word)]
    assert (own.texts, own.held_out) == (90, 10)
    assert own.pieces == pytest.approx(len(kept) / len(pieces)) and 0.5 < own.pieces < 1
    assert own.words == pytest.approx(len(same) / len(words)) and 0.2 < own.words < 1
    assert own.unknown_before == own.unknown_after == 0


def test_unknown_characters_are_counted_and_named(bert: Path, tmp_path: Path) -> None:
    texts = [f"{text} ǆ{number}" for number, text in enumerate(TEXTS["de"])]
    own = trim_model(bert, tmp_path / "t", {"de": texts}, least=0.5).coverage["de"]
    assert own.unknown_characters == ("ǆ",)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "t")
    pieces = [piece for text in texts[-12:] for piece in tokenizer.tokenize(text)]
    assert own.unknown_after == pytest.approx(pieces.count("[UNK]") / len(pieces)) == pytest.approx(own.unknown_before)


def test_a_finished_run_and_what_comes_of_it_is_fit_for_the_hub(tmp_path: Path) -> None:
    world = write_world(tmp_path / "world")
    finished_run(tmp_path / "run" / "student", world)
    texts = {"ru": [f"река течёт через город {number}" for number in range(60)]}
    trim_model(tmp_path / "run", tmp_path / "t", texts, least=0)
    check_model(tmp_path / "t")
    assert "license: " in (tmp_path / "t" / "README.md").read_text()


# --- what is refused ---


def test_nothing_is_left_when_it_fails_at_the_end(bert: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def fail(*arguments: Any) -> None:
        raise DataError("differs")

    monkeypatch.setattr(trimming, "compare_models", fail)
    with pytest.raises(DataError, match="differs"):
        trim_model(bert, tmp_path / "t", TEXTS)
    assert not list(tmp_path.iterdir())


def test_other_outputs_are_noticed(bert: Path, tmp_path: Path, monkeypatch: Any) -> None:
    write = trimming.write_trimmed_model

    def spoilt(source: Path, folder: Path, *more: Any) -> None:
        write(source, folder, *more)
        tensors = load_file(folder / "model.safetensors")
        tensors["cls.predictions.bias"][7] += 0.01
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(trimming, "write_trimmed_model", spoilt)
    with pytest.raises(DataError, match=r"outputs differ by 1\.0e-02"):
        trim_model(bert, tmp_path / "t", TEXTS)


def test_text_in_another_script(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"ru: 100% of the letters .* Latin, and Russian is written in Cyrillic"
    ) as told:
        trim_model(bert, tmp_path / "t", {"de": TEXTS["de"], "ru": TEXTS["de"]})
    assert "would lose а б в г" in told.value.message and "--min-coverage 0" in told.value.fix
    trim_model(bert, tmp_path / "t", {"ru": TEXTS["de"]}, least=0)
    trim_model(bert, tmp_path / "s", {"sr": TEXTS["de"]})  # Serbian is written in both


def test_a_language_that_the_model_cannot_spell(bert: Path, tmp_path: Path) -> None:
    thaana = [f"ދިވެހި ބަސް {number}" for number in range(60)]
    with pytest.raises(DataError, match=r"dv: .* the model itself cannot spell it .* lost characters: .*ދ"):
        trim_model(bert, tmp_path / "t", {"de": TEXTS["de"], "dv": thaana})


def test_too_little_kept(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"de: [\d.]+% of the pieces .* fewer than 99\.9%; lost pieces: \S+"):
        trim_model(bert, tmp_path / "t", TEXTS, Choice(coverage=0.5), least=0.999)
    with pytest.raises(DataError, match=r"20 pieces are fewer than the \d+ that are always kept \(5 special"):
        trim_model(bert, tmp_path / "t", TEXTS, Choice(pieces=20))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("texts", [{}, {"de": []}, {"de": ["", " "] * 30}, {"de": TEXTS["de"], "fr": ["one"]}])
def test_empty_texts(texts: dict[str, list[str]], bert: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="text is"):
        trim_model(bert, tmp_path / "t", texts)


def test_a_tokenizer_of_another_model(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    random_model("bert", fast(wordpiece(250))).save_pretrained(folder)  # of fewer rows
    with pytest.raises(DataError, match="its tokenizer has"):
        trim_model(folder, tmp_path / "t", TEXTS)


def test_a_place_that_is_taken(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "notes").write_text("mine")
    with pytest.raises(DataError, match="something there already"):
        trim_model(bert, tmp_path / "t", TEXTS)


def test_where_positions_begin_stays(tmp_path: Path) -> None:
    """RoBERTa and its kin count positions from the padding id on: with all ids below it, it stays where it is."""
    tokenizer = fast(TOKENIZERS["unigram"]())
    own = random_model("xlm-roberta", tokenizer).config
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(60)
    own.pad_token_id, own.max_position_embeddings = 60, 110
    XLMRobertaForMaskedLM(own).save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    found = trim_model(tmp_path / "m", tmp_path / "t", {"el": made_up("el")}, least=0)
    assert set(range(61)) <= found.kept.special and found.after.pieces < found.before.pieces
    assert AutoTokenizer.from_pretrained(tmp_path / "t").pad_token_id == 60
    same_answers(AutoModelForMaskedLM, tmp_path / "m", tmp_path / "t", made_up("el")[:5])


def test_positions_that_would_shift_are_refused() -> None:
    shape = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
    model = XLMRobertaForMaskedLM(
        XLMRobertaConfig(vocab_size=1600, pad_token_id=1500, max_position_embeddings=1510, **shape)
    )
    with pytest.raises(DataError, match="counts positions from its padding id 1,500"):
        required_ids(model)


# --- from files ---


def write_texts(folder: Path) -> Path:
    folder.mkdir()
    for code in ("de", "ru", "el"):
        with gzip.open(folder / f"{code}.txt.gz", "wt", encoding="utf-8") as stream:
            stream.write("\n".join(made_up(code)))
    return folder


def run(*arguments: object) -> Any:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(trim)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_verb(bert: Path, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "text")
    out = run(bert, "--output", tmp_path / "t", "--languages", "de,ru", "--text", texts)
    assert out.exit_code == 0, out.output
    assert "words the same" in out.output and out.output.strip().endswith(str(tmp_path / "t"))
    facts = json.loads((tmp_path / "t" / "trim.json").read_text())
    assert list(facts["languages"]) == ["de", "ru"]
    out = run(bert, "--output", tmp_path / "all", "--text", texts, "--pieces", 250, "--min-coverage", 0.2)
    facts = json.loads((tmp_path / "all" / "trim.json").read_text())
    assert list(facts["languages"]) == ["de", "el", "ru"] and facts["after"]["pieces"] == 250


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--languages", "de"], DataError, "no text is given"),
        (["--text", "TEXT", "--languages", "dee"], RecipeError, "--languages dee: not in the languages"),
        (["--text", "TEXT", "--languages", "de,fr"], DataError, "fr: no text of it was found"),
        (["--text", "nowhere"], DataError, "nowhere: no such text file"),
        (["--text", "TEXT", "--pieces", "9"], DataError, "9 pieces are fewer than"),
        (["--text", "TEXT", "--pieces", "9", "--coverage", "0.9"], RecipeError, "three ways"),
    ],
)
def test_the_verb_refuses(arguments: list[str], error: type, message: str, bert: Path, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "text")
    given = [str(texts) if argument == "TEXT" else argument for argument in arguments]
    out = run(bert, "--output", tmp_path / "t", *given)
    assert isinstance(out.exception, error) and message in str(out.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_too_little_text_in_the_files(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_text("\n".join(all_text()[:9]))
    with pytest.raises(DataError, match="9 different texts of 20 characters or more, fewer than 50, in"):
        trim_on_files(bert, tmp_path / "t", [tmp_path / "de.txt"], ["de"])
    with pytest.raises(DataError, match="no text to go by: de: 9 different texts"):
        trim_on_files(bert, tmp_path / "t", [tmp_path / "de.txt"])


def test_size_counts_tied_parameters_once() -> None:
    model = random_model("bert", fast(wordpiece()))
    assert Size.of(model).parameters == sum(parameter.numel() for parameter in set(model.parameters()))
