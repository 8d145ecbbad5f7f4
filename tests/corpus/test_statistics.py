from unibert.corpus.statistics import add_counts, empty_counts, format_statistics, merge_statistics


def part(file, language, size, damage=None):
    counts = empty_counts()
    counts |= {
        "bytes": size,
        "characters": size,
        "tokens": size // 5,
        "samples": size // 100,
        "pages": 3,
        "paragraphs": size // 50,
    }
    counts["rules"]["short"]["dropped"] = 1_234
    return {"file": file, "language": language, "kind": "dump", "file_bytes": 10, "damage": damage, "counts": counts}


def test_counts_add_up():
    total = empty_counts()
    for entry in (part("a", "de", 100), part("b", "de", 300)):
        add_counts(total, entry["counts"])
    assert (total["bytes"], total["samples"], total["rules"]["short"]) == (400, 4, {"changed": 0, "dropped": 2_468})
    assert empty_counts()["rules"]["short"]["dropped"] == 0


def test_files_become_languages_and_totals():
    merged = merge_statistics([part("b", "nl", 500), part("a", "de", 100), part("c", "de", 300)], "words", ["w"])
    assert list(merged["languages"]) == ["de", "nl"]
    assert merged["languages"]["de"]["bytes"] == 400
    assert merged["totals"]["bytes"] == 900
    assert merged["files"][0] == {
        "file": "b", "language": "nl", "kind": "dump", "bytes": 10, "pages": 3, "samples": 5, "damage": None
    }  # fmt: skip
    assert (merged["schema"], merged["token_counter"], merged["warnings"]) == (1, "words", ["w"])


def test_the_tables_show_the_largest_language_first_and_every_rule():
    merged = merge_statistics(
        [part("a", "de", 1_000), part("b", "nl", 2_000_000, "b: the XML ends"), part("c", "xqq", 50)], "words", ["note"]
    )
    lines = format_statistics(merged).splitlines()
    sizes = lines[: lines.index("")]
    assert [line.split()[0] for line in sizes if not line.startswith("-")][1:4] == ["nl", "de", "xqq"]
    assert "Dutch" in sizes[2]
    assert "2,000,000" in sizes[2]
    assert "2,001,050" in sizes[-1]
    assert "3 languages" in sizes[-1]
    assert len({len(line) for line in sizes[:-1] if not line.startswith("xqq")}) == 1
    text = "\n".join(lines)
    for shown in ("html changed", "links dropped", "digits dropped", "hidden dropped", "short dropped", "3,702"):
        assert shown in text
    assert "Damage in 1 of 3 files:\n  b: the XML ends" in text
    assert text.endswith("Warnings:\n  note")


def test_nothing_amiss_is_not_mentioned():
    text = format_statistics(merge_statistics([part("a", "de", 1_000)], "words", []))
    assert "Damage" not in text
    assert "Warnings" not in text
