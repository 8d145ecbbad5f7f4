import bz2
import gzip
import io
import os
import random
import tracemalloc

import pytest
import zstandard

from corpus_support import cut_streams, zstd
from unibert.corpus.compression import DAMAGE, Bz2Streams, damage_reason, find_stream, is_stream_start, open_compressed

TEXT = "".join(f"Zeile {n}: {random.Random(n).random()}\n" for n in range(4000)).encode()

KINDS = {
    "plain": lambda data: data,
    "bz2": bz2.compress,
    "bz2 streams": lambda data: cut_streams(data, [1, 2, 500, 70_000]),
    "bz2 padded": lambda data: bz2.compress(data) + bytes(300_000),
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "gzip members": lambda data: gzip.compress(data[:99], mtime=0) + gzip.compress(data[99:], mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "zstd frames": zstd,
}


def streamed(data):
    """A frame that does not tell its length, as `zstd < input` writes."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    return compressor.compress(data) + compressor.flush()


KINDS["zstd streamed"] = streamed


def drain(content):
    """All that is read, and the exception at its end."""
    stream, _ = open_compressed(io.BytesIO(content))
    data = b""
    try:
        while block := stream.read1(1 << 16):
            assert len(block) <= 1 << 16
            data += block
    except DAMAGE as error:
        return data, error
    return data, None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_recognised_and_read_whole(kind):
    content = KINDS[kind](TEXT)
    assert drain(content) == (TEXT, None)
    stream, compressed = open_compressed(io.BytesIO(content))
    assert compressed == (kind != "plain")
    lines = []
    while line := stream.readline(1000):
        lines.append(line)
    assert lines == TEXT.splitlines(keepends=True)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("plain", "bz2 padded")])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_a_cut_file_gives_what_can_be_decompressed_and_then_says_so(kind, share):
    content = KINDS[kind](TEXT)
    cut = max(12, min(len(content) - 1, int(len(content) * share)))
    data, error = drain(content[:cut])
    assert TEXT.startswith(data)
    assert error is None or damage_reason(error) == "the compressed data end in the middle"
    if share == 0.9 and kind in ("bz2 streams", "gzip", "zstd frames"):
        assert len(data) > len(TEXT) / 2 or kind == "bz2 streams"
    if error is None:  # cut between two streams, which no reader can tell
        assert kind in ("bz2 streams", "gzip members", "zstd frames")


@pytest.mark.parametrize("kind", ["zstd", "zstd frames", "zstd streamed"])
def test_no_cut_of_a_zstandard_file_goes_unnoticed_but_between_frames(kind):
    content = KINDS[kind](TEXT)
    for cut in [*range(9, 40), *range(len(content) - 40, len(content))]:
        data, error = drain(content[:cut])
        assert TEXT.startswith(data)
        assert isinstance(error, EOFError) or (kind == "zstd frames" and cut == 12 and data == b"")


def test_a_damaged_zstandard_frame_leaves_the_frames_before_it():
    content = bytearray(zstd(TEXT))
    content[int(len(content) * 0.7)] ^= 0xFF
    data, error = drain(bytes(content))
    assert TEXT.startswith(data)
    assert len(data) > 0.5 * len(TEXT)
    assert "damaged" in damage_reason(error)
    assert drain(zstd(TEXT) + b"rubbish")[0] == TEXT
    assert isinstance(drain(zstd(TEXT) + b"rubbish")[1], zstandard.ZstdError)


@pytest.mark.parametrize("rubbish", [b"rubbish", b"BZ", b"BZh9 and more", b"\0\0x"])
def test_what_follows_a_bz2_stream_is_not_passed_over_silently(rubbish):
    data, error = drain(bz2.compress(TEXT) + rubbish)
    assert data == TEXT
    assert isinstance(error, OSError | EOFError)


@pytest.mark.parametrize("compress", [KINDS["bz2"], KINDS["gzip"], streamed], ids=["bz2", "gzip", "zstd"])
def test_a_bomb_does_not_fill_the_memory(compress):
    bomb = compress(bytes(200 << 20))
    tracemalloc.start()
    try:
        stream, _ = open_compressed(io.BytesIO(bomb))
        size = 0
        while block := stream.read1(1 << 18):
            size += len(block)
        assert size == 200 << 20
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("start", "name"), [(b"7z\xbc\xaf\x27\x1c", "7-Zip"), (b"\xfd7zXZ\x00", "xz"), (b"PK\x03\x04", "ZIP")]
)
def test_what_is_not_supported_is_named(start, name):
    with pytest.raises(OSError, match=f"compressed with {name}, which is not supported; download the .bz2 file"):
        open_compressed(io.BytesIO(start + b"more"))


def test_streams_are_found_across_the_blocks_that_are_read(monkeypatch):
    monkeypatch.setattr("unibert.corpus.compression._BLOCK", 16)
    content = os.urandom(100) + bz2.compress(b"a") + os.urandom(55) + bz2.compress(b"b", 1)
    first, second = 100, 155 + len(bz2.compress(b"a"))
    raw = io.BytesIO(content)
    assert find_stream(raw, 0, len(content)) == first
    assert find_stream(raw, first, len(content)) == first
    assert find_stream(raw, first + 1, len(content)) == second
    assert find_stream(raw, second + 1, len(content)) is None
    assert find_stream(raw, first + 1, second) is None
    assert is_stream_start(raw, second)
    assert not is_stream_start(raw, second + 1)


def test_streams_are_told_apart_and_damage_is_passed_over():
    content = bytearray(bz2.compress(b"one") + bz2.compress(b"two") + bz2.compress(b"three"))
    second = len(bz2.compress(b"one"))
    third = second + len(bz2.compress(b"two"))
    content[second + 12] ^= 0xFF
    streams = Bz2Streams(io.BytesIO(bytes(content)))
    assert (streams.read1(100), streams.start) == (b"one", 0)
    with pytest.raises(OSError, match="Invalid data stream"):
        streams.read1(100)
    assert streams.start == second
    assert streams.skip_damage(third) is False
    assert streams.skip_damage(third + 1)
    assert (streams.read1(100), streams.start) == (b"three", third)
    assert streams.read1(100) == b""


def test_what_is_read_of_a_damaged_stream_does_not_depend_on_where_reading_began():
    # Blocks that compress well, so that several of them come to the decompressor at once.
    lines = [
        b"Ein Satz, der sich wiederholt, mit %d darin." % random.Random(n).randint(0, 10**9) for n in range(20_000)
    ]
    first, second = bz2.compress(b"".join(lines * 2)), bz2.compress(b"".join(lines * 8))
    content = bytearray(first + second)
    content[-len(second) // 8] ^= 0xFF
    read = []
    for start in (0, len(first)):
        streams, data = Bz2Streams(io.BytesIO(bytes(content)), start), b""
        with pytest.raises(OSError, match="Invalid data stream"):
            while block := streams.read1(1 << 18):
                data += block if streams.start else b""
        read.append(data)
    assert read[0] == read[1]
    assert len(read[0]) > 5_000_000
