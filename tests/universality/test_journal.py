"""What was measured so far: damage is as if it were not there, whatever it looks like."""

import json

import pytest

from unibert.universality.journal import Journal


def filled(path):
    journal = Journal(path, "one")
    journal.put("a", {"x": 0.1})
    journal.put("b", [1, "\u2028"])
    return journal


def test_parts_are_there_again_until_the_whole_is(tmp_path):
    path = tmp_path / "new" / "x.part"
    assert not path.parent.exists()
    filled(path)
    again = Journal(path, "one")
    assert (again.get("a"), again.get("b"), again.get("c")) == ({"x": 0.1}, [1, "\u2028"], None)
    again.close()
    assert not path.exists()


def test_nothing_is_written_before_there_is_a_part(tmp_path):
    Journal(tmp_path / "x.part", "one")
    assert not list(tmp_path.iterdir())


def test_parts_of_another_measurement_are_not_read(tmp_path):
    filled(tmp_path / "x.part")
    other = Journal(tmp_path / "x.part", "two")
    assert other.get("a") is None
    other.put("c", [1])
    assert Journal(tmp_path / "x.part", "one").get("a") is None
    assert Journal(tmp_path / "x.part", "two").get("c") == [1]


@pytest.mark.parametrize(
    "line",
    ["[1]", "5", "null", '{"name": "c"}', '{"name": "c", "value": 1}', '{"name": ["c"], "value": 1, "mark": "0"}',
     '{"name": "c", "va', "\udcff\udcfe"],
)  # fmt: skip
def test_a_damaged_line(line, tmp_path):
    path = tmp_path / "x.part"
    filled(path)
    with path.open("a", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write("\n" + line)
    again = Journal(path, "one")
    assert (again.get("a"), again.get("c")) == ({"x": 0.1}, None)


def test_a_value_that_was_changed_is_not_believed(tmp_path):
    path = tmp_path / "x.part"
    filled(path)
    path.write_text(path.read_text(encoding="utf-8").replace("0.1", "0.7"), encoding="utf-8")
    again = Journal(path, "one")
    assert again.get("a") is None
    assert again.get("b") == [1, "\u2028"]


def test_a_file_that_is_none_of_ours(tmp_path):
    path = tmp_path / "x.part"
    path.write_bytes(b"\xff\xfe\x00")
    assert Journal(path, "one").get("a") is None
    path.write_text(json.dumps({"name": "a", "value": 1}), encoding="utf-8")
    filled(path)
    assert Journal(path, "one").get("a") == {"x": 0.1}
