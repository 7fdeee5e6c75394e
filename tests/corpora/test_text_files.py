"""Files of one's own: every format, bounded memory, and mistakes named with their place."""

from __future__ import annotations

import json
import logging
import time
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from colaflex.corpora.by_content import folded
from colaflex.corpora.readers import CHUNK_BYTES, read_pieces, read_text
from colaflex.corpora.text_files import TextFiles, TextFilesConfig
from colaflex.errors import UserError

STORIES = Path(__file__).parents[3] / "shared" / "data" / "tiny_stories_sample.txt"


def texts(path: Path, **options: object) -> list[str]:
    return [d.text for d in TextFiles(TextFilesConfig(path=str(path), **options)).documents()]


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ("file", ["one\ntwo\n\n  \nthree\n\nfour\n"]),
        ("line", ["one", "two", "three", "four"]),
        ("blank_line", ["one\ntwo", "three", "four"]),
    ],
)
def test_what_a_document_is(tmp_path: Path, documents: str, expected: list[str]):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\ntwo\r\n\r\n  \nthree\r\rfour\n".encode())
    assert texts(path, documents=documents) == expected


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.txt").write_text("third\n")
    (tmp_path / "a.txt").write_text("first\n")
    (tmp_path / "b" / "1.jsonl").write_text('{"text": "second"}\n\n{"text": "and"}\n')
    table = pyarrow.table({"text": ["fourth", "", "fifth"], "id": [1, 2, 3]})
    parquet.write_table(table, tmp_path / "c.parquet")
    (tmp_path / "ignored.bin").write_bytes(b"\xff\xfe")
    everything = ["first", "second", "and", "third", "fourth", "fifth"]
    assert texts(tmp_path, documents="line") == everything
    assert texts(tmp_path / "**" / "*.txt", documents="line") == ["first", "third"]
    assert texts(tmp_path / "[ab].txt", documents="line") == ["first"]


def test_the_fingerprint_follows_content_and_options_not_the_place(tmp_path: Path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("some text")

    def fingerprint(folder: str, **options: object) -> str:
        return TextFiles(TextFilesConfig(path=str(tmp_path / folder), **options)).fingerprint()

    assert fingerprint("here") == fingerprint("there")
    assert fingerprint("here", test=0.1) != fingerprint("here")
    (tmp_path / "there" / "a.txt").write_text("some texts")
    assert fingerprint("here") != fingerprint("there")


@pytest.mark.parametrize("offset", [0, 5, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 7])
def test_bytes_that_are_not_utf8_are_named_with_their_offset(tmp_path: Path, offset: int):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"a" * offset + b"\xe9 rest of the text")
    with pytest.raises(UserError, match=f"latin.txt: byte {offset} \\(0xe9\\) is not UTF-8"):
        texts(path)


def test_a_character_across_chunks_is_whole_and_one_cut_at_the_end_is_named(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * (CHUNK_BYTES - 1) + "€".encode())
    assert "".join(read_text(path, "error")) == "a" * (CHUNK_BYTES - 1) + "€"
    path.write_bytes(b"a" * (CHUNK_BYTES - 1) + "€".encode()[:2])
    with pytest.raises(UserError, match=f"byte {CHUNK_BYTES - 1}"):
        list(read_text(path, "error"))


def test_what_to_do_with_wrong_bytes_is_an_option(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"caf\xe9 au lait")
    assert texts(path, encoding_errors="replace") == ["caf\N{REPLACEMENT CHARACTER} au lait"]
    assert texts(path, encoding_errors="skip") == ["caf au lait"]
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(b'{"text": "fine"}\n{"text": "caf\xe9"}\n')
    assert texts(lines, encoding_errors="skip") == ["fine", "caf"]
    with pytest.raises(UserError, match=r"a\.jsonl:2: byte 13 \(0xe9\) is not UTF-8"):
        texts(lines)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", ":2: not readable as JSON"),
        ("[1]", ":2: expected a JSON object, got a list"),
        (
            '{"texts": "x"}',
            r"the field 'text' is missing; did you mean 'texts'",
        ),
        ('{"text": 3}', r":2 \(corpus.field\): text: expected text, got a number"),
        ('{"text": ["x"]}', ":2 .*got a list"),
        ("[" * 200_000, ":2: not JSON that can be read: nested too deeply"),
        ('{"a":' * 50_000, ":2: not JSON that can be read: nested too deeply"),
        ('{"text": "x", "n": ' + "9" * 5000 + "}", ":2: not readable as JSON: Exceeds the limit"),
        ('{"text": "x", "n": NaN}', ":2: not readable as JSON: NaN"),
        ('{"text": "a\x00b"}', "NUL"),
        ('{"text": "x"} {"text": "y"}', ":2: not readable as JSON: Extra data"),
    ],
)
def test_wrong_json_lines_are_named(tmp_path: Path, line: str, message: str):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(UserError, match=message):
        texts(path)


def null_row(folder: Path, form: str) -> Path:
    """A file whose second row has no text."""
    rows = [{"text": "fine"}, {"text": None}, {"text": "also"}]
    path = folder / f"a.{form}"
    if form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("form", ["jsonl", "NDJSON", "parquet"])
def test_a_null_is_no_text_in_any_format(tmp_path: Path, form: str):
    with pytest.raises(UserError, match="expected text, got null; leave the row out"):
        texts(null_row(tmp_path, form))


def test_json_lines_of_any_name_and_field(tmp_path: Path):
    path = tmp_path / "a.data"
    path.write_text('{"body": "one \\ud800 two"}\n')
    assert texts(path, documents="jsonl", field="body") == ["one ? two"]


def test_wrong_parquet_is_named(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"txt": ["x"], "n": [1]}), path)
    with pytest.raises(UserError, match="no column 'text'; did you mean 'txt'"):
        texts(path)
    with pytest.raises(UserError, match="column 'n' holds int64"):
        texts(path, field="n")
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(UserError, match="not readable as parquet"):
        texts(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="not readable as parquet"):
        texts(path)


def test_a_column_of_parquet_is_there_once_and_is_utf8(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    path = tmp_path / "a.parquet"
    twice = pyarrow.Table.from_arrays([pyarrow.array(["x"]), pyarrow.array(["y"])], ["text"] * 2)
    parquet.write_table(twice, path)
    with pytest.raises(UserError, match="2 columns are called 'text'"):
        texts(path)
    raw = pyarrow.array([b"fine", b"caf\xe9"])
    for kind in (pyarrow.string(), pyarrow.large_string()):
        wrong = raw.cast(pyarrow.large_binary() if kind != pyarrow.string() else raw.type)
        wrong = pyarrow.Array.from_buffers(kind, 2, wrong.buffers())
        parquet.write_table(pyarrow.table({"text": wrong}), path)
        with pytest.raises(UserError, match=r"row 1: byte 3 \(0xe9\) is not UTF-8"):
            texts(path)
        assert texts(path, encoding_errors="skip") == ["fine", "caf"]
        assert texts(path, encoding_errors="replace")[1] == "caf\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("name", ["absent.txt", "absent/*.txt", "a**b/*.txt"])
def test_a_path_that_matches_nothing_is_refused(tmp_path: Path, name: str):
    with pytest.raises(UserError, match=r"corpus\.path"):
        texts(tmp_path / name)


def test_an_empty_corpus_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="none of its files ends in"):
        texts(tmp_path)
    (tmp_path / "a.txt").write_text(" \n\n \n")
    with pytest.raises(UserError, match="the corpus is empty"):
        texts(tmp_path)


def test_splits_follow_content(tmp_path: Path):
    path = tmp_path / "a.txt"
    lines = [f"line {i}" for i in range(4000)]
    path.write_text("\n".join([*lines, *lines[:100]]))
    config = TextFilesConfig(path=str(path), documents="line", validation=0.1, test=0.2, judge=0.3)
    found = list(TextFiles(config).documents())
    assert found[:100] == found[4000:]
    counts = {split: sum(d.split == split for d in found[:4000]) for split in ("train", "test")}
    assert counts["test"] == pytest.approx(800, abs=120)
    assert counts["train"] == pytest.approx(1600, abs=140)
    path.write_text("\n".join(reversed(lines)))
    again = {d.text: d.split for d in TextFiles(config).documents()}
    assert again == {d.text: d.split for d in found}
    with pytest.raises(ValidationError, match="sum below 1"):
        TextFilesConfig(path="x", validation=0.5, test=0.5)


def test_copies_of_a_document_are_in_one_split(tmp_path: Path):
    """Whatever ends, or white space, or line ends they have, and wherever in a file they stand."""
    config = TextFilesConfig(path=tmp_path, validation=0.2, test=0.2, judge=0.2)
    documents = [f"Story {i}\nof a café" for i in range(60)]
    for number, text in enumerate(documents):
        (tmp_path / f"{number}.a.txt").write_bytes(f"{text}\n\nanother".encode())
        (tmp_path / f"{number}.b.txt").write_bytes(f"\r\n  {text} \t".encode())
        (tmp_path / f"{number}.c.txt").write_bytes(f"and\r\n\r\n{text}\r\n".encode())
        decomposed = unicodedata.normalize("NFD", text.replace(" ", "  ")) + "\n"
        line = json.dumps({"text": "\ufeff" + decomposed})
        (tmp_path / f"{number}.d.jsonl").write_text(line)
    found: dict[str, set[str]] = {}
    for document in TextFiles(config).documents():
        found.setdefault(folded(document.text), set()).add(document.split)
    assert len(found) == 62 and all(len(splits) == 1 for splits in found.values())
    assert len(set().union(*found.values())) == 4


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("ab \n"), max_size=80),
    size=st.integers(1, 7),
    documents=st.sampled_from(["file", "line"]),
)
def test_cutting_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int, documents: str
):
    path = tmp_path_factory.mktemp("cut") / "a.txt"
    path.write_bytes(text.encode())
    pieces = [list(p) for p in read_pieces(path, documents, size, "error")]
    assert all(len(piece) <= size for document in pieces for piece in document)
    whole = ["".join(document) for document in pieces]
    assert whole == (text.split("\n") if documents == "line" else [text])


def test_a_line_of_50_megabytes_is_cut_in_bounded_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        for _ in range(50):
            file.write(b"word " * 200_000)
    corpus = TextFiles(TextFilesConfig(path=str(path), documents="line"))
    tracemalloc.start()
    with caplog.at_level(logging.WARNING):
        sizes = [len(d.text) for d in corpus.documents()]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) == 50_000_000 and max(sizes) == 200_000
    assert len({d.split for d in corpus.documents()}) == 1
    assert peak < 12 * CHUNK_BYTES
    assert len(caplog.records) == 1 and "longer than 200000 characters" in caplog.text


def test_a_long_line_is_cut_into_small_pieces_in_linear_time(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"word " * 2_000_000)
    config = TextFilesConfig(path=path, documents="line", max_document_characters=1000)
    began = time.process_time()
    sizes = [len(document.text) for document in TextFiles(config).documents()]
    assert sum(sizes) == 10_000_000 and max(sizes) == 1000
    assert time.process_time() - began < 3  # it takes 0.1 s; cut piece by piece off a chunk, 5 s


def test_a_json_line_too_long_to_hold_is_refused(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"text": "fine"}\n')
        for _ in range(66):
            file.write(b"word" * (1 << 18))
    with pytest.raises(UserError, match=":2: the line is longer than 16,777,216 bytes"):
        texts(path)


def test_real_stories():
    if not STORIES.is_file():
        pytest.skip("the sample of stories does not lie beside this checkout")
    found = texts(STORIES, documents="line")
    assert len(found) > 4000
    assert all(json.dumps(text) and text.strip() for text in found)
