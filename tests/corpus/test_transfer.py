"""One file from a server that misbehaves; see tests/support/mirror_support.py."""

import errno

import pytest

from mirror_support import BODY, INDEX, PATH, XML, Trick, content
from unibert.corpus import transfer
from unibert.corpus.download import read_downloads
from unibert.errors import DataError


def test_a_broken_connection_goes_on_where_it_stopped(german, fetch):
    german.tricks[PATH] = [Trick(cut=100_000), Trick(cut=50_000), Trick(cut=0)]
    assert content(fetch().folder)[XML] == BODY
    assert german.offsets(XML) == [0, 100_000, 150_000, 150_000]


def test_a_stalled_connection_goes_on_where_it_stopped(german, fetch):
    german.tricks[PATH] = [Trick(stall=70_000)]
    assert content(fetch(stall=0.5).folder)[XML] == BODY
    assert german.offsets(XML) == [0, 70_000]


def test_a_server_that_ends_without_a_length_is_not_believed(german, fetch, capfd):
    german.tricks[PATH] = [Trick(cut=1000, unsized=True)]
    assert content(fetch(pause=1.0).folder)[XML] == BODY
    assert german.offsets(XML) == [0, 1000]
    assert "broken off after 1.0 kB; again in 1 s" in capfd.readouterr().err


def test_a_server_that_knows_no_ranges_is_read_from_the_start(german, fetch):
    german.tricks[PATH] = [Trick(cut=100_000)]
    german.always[PATH] = Trick(deaf=True)
    assert content(fetch().folder)[XML] == BODY
    assert german.offsets(XML) == [0, 100_000]


def test_breaking_off_at_the_same_place_for_ever_is_given_up(german, fetch, tmp_path):
    german.always[PATH] = Trick(cut=1000, deaf=True)
    with pytest.raises(DataError, match=r"the connection broke .*; given up after 5 attempts"):
        fetch()
    assert content(tmp_path / "dumps") == {INDEX: b"index", f"{XML}.part": BODY[:1000]}


def test_a_part_of_another_version_is_found_out_and_replaced(german, fetch, tmp_path):
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps" / f"{XML}.part").write_bytes(b"old" * 1000)
    assert content(fetch().folder) == {XML: BODY, INDEX: b"index"}
    assert german.offsets(XML) == [3000, 0]


@pytest.mark.parametrize("size", [len(BODY), len(BODY) + 5])
def test_a_part_that_is_as_long_as_the_file_or_longer(german, fetch, tmp_path, size):
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps" / f"{XML}.part").write_bytes((BODY + b"12345")[:size])
    assert content(fetch().folder) == {XML: BODY, INDEX: b"index"}
    assert german.offsets(XML) == ([] if size == len(BODY) else [0])


def test_a_416_starts_over(german, fetch, tmp_path):
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps" / f"{XML}.part").write_bytes(BODY[:5000])
    german.tricks[PATH] = [Trick(status=416)]
    assert content(fetch().folder)[XML] == BODY
    assert german.offsets(XML) == [5000, 0]


def test_a_file_that_is_not_as_long_as_the_status_says_is_named(german, fetch, tmp_path):
    german.content[PATH] = BODY + b"grown"
    with pytest.raises(DataError, match=r"the mirror's file has 300005 bytes, its dumpstatus\.json says 300000"):
        fetch()
    assert set(content(tmp_path / "dumps")) == {INDEX}


def test_more_bytes_than_announced_are_not_written_on_and_on(german, fetch):
    german.always[PATH] = Trick(body=BODY * 20, unsized=True)
    with pytest.raises(DataError, match="or more bytes"):
        fetch()


def test_a_wrong_checksum_is_given_a_second_chance(german, fetch, capfd):
    german.tricks[PATH] = [Trick(body=bytes(len(BODY)))]
    assert content(fetch().folder)[XML] == BODY
    assert german.offsets(XML) == [0, 0]
    assert f"{XML}: its checksum is wrong" in capfd.readouterr().err


def test_a_checksum_that_stays_wrong_is_an_error_and_does_not_stop_the_others(german, fetch, tmp_path):
    german.always[PATH] = Trick(body=bytes(len(BODY)))
    with pytest.raises(DataError, match=f"{XML}: downloaded twice"):
        fetch()
    assert content(tmp_path / "dumps") == {INDEX: b"index"}
    assert set(read_downloads(tmp_path / "dumps")) == {INDEX}


@pytest.mark.parametrize(("kinds", "verified"), [(("md5",), "md5"), ((), "size")])
def test_without_sha1_md5_is_used_and_without_both_the_size(mirror, fetch, capfd, kinds, verified):
    mirror.add_dump("dewiki", {XML: BODY}, checksums=kinds)
    mirror.tricks[PATH] = [Trick(body=bytes(len(BODY)))]
    folder = fetch().folder
    assert read_downloads(folder)[XML]["verified"] == verified
    assert mirror.offsets(XML) == ([0, 0] if kinds else [0])
    assert ("only its size was checked" in capfd.readouterr().err) == (not kinds)


def test_redirects_are_followed_and_not_without_end(german, fetch):
    german.content["/elsewhere"] = BODY
    german.always[PATH] = Trick(status=302, headers=(("Location", "/elsewhere"),))
    german.tricks["/elsewhere"] = [Trick(cut=1000)]
    assert content(fetch().folder)[XML] == BODY
    assert german.offsets("elsewhere") == [0, 1000]
    german.always["/mirror/dewiki/"] = Trick(status=302, headers=(("Location", "/mirror/dewiki/"),))
    with pytest.raises(DataError, match=r"the connection broke .*given up after 3 attempts"):
        fetch(retries=2)


@pytest.mark.parametrize("where", ["write", "flush"])
def test_a_disk_that_fills_up_is_told_with_the_file(german, fetch, monkeypatch, where):
    class Full:
        def write(self, data):
            if where == "write":
                raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    opened = transfer.Path.open
    monkeypatch.setattr(
        transfer.Path, "open", lambda path, *a, **k: Full() if path.suffix == ".part" else opened(path, *a, **k)
    )
    with pytest.raises(OSError, match="No space left") as caught:
        fetch()
    assert caught.value.filename.endswith(".part")
