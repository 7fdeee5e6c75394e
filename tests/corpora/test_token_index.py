"""The token index: read once, memory-mapped, whole or absent."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colaflex.corpora.token_index import Data, build_index, open_index, prepare_data
from colaflex.corpora.tokenizer import load_tokenizer
from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import WorldsConfig
from colaflex.errors import RunFailure, UserError
from colaflex.interfaces.corpus import SPLITS, Corpus, Document, Split

SMALL = WorldsConfig(documents=300, validation_documents=7, test_documents=8, judge_documents=9)


class Lines(Corpus):
    """A corpus that counts how often it is read."""

    def __init__(self, *documents: Document) -> None:
        self.content = documents
        self.readings = 0

    def documents(self) -> Iterator[Document]:
        self.readings += 1
        yield from self.content

    def fingerprint(self) -> str:
        return repr(self.content)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(cache: Path) -> Data:
    return prepare_data(Worlds(SMALL), 300, cache=cache)


def index_folder(cache: Path) -> Path:
    (folder,) = (cache / "index").iterdir()
    return folder


def test_every_document_is_in_its_split_in_order(data: Data):
    for split in SPLITS:
        texts = [d.text for d in Worlds(SMALL).documents() if d.split == split]
        stored = data.index.split(split)
        assert len(stored) == len(texts)
        assert [data.tokenizer.decode(stored.document(i)) for i in range(len(texts))] == texts
        assert stored.bytes.tolist() == [len(text.encode()) for text in texts]
        ends = stored.tokens[stored.offsets[1:] - 1]
        assert np.all(ends == data.index.end_of_text)
        assert np.count_nonzero(stored.tokens == data.index.end_of_text) == len(texts)


def test_tokens_are_memory_mapped_in_two_bytes(data: Data):
    tokens = data.index.split("train").tokens
    assert isinstance(tokens, np.memmap)
    assert tokens.dtype == np.uint16 and not tokens.flags.writeable


def test_a_vocabulary_over_65536_takes_four_bytes(tmp_path: Path):
    import tokenizers
    from tokenizers import models, pre_tokenizers

    words = {"[SEP]": 0, "[MASK]": 1} | {f"w{i}": i + 2 for i in range(70_000)}
    backend = tokenizers.Tokenizer(models.WordLevel(words, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "words.json"))
    corpus = Lines(Document("w69999 w1", "train"))
    data = prepare_data(corpus, path=str(tmp_path / "words.json"), cache=tmp_path)
    train = data.index.split("train")
    assert train.tokens.dtype == np.uint32
    assert train.document(0) == [70_001, 3]
    assert train.first(1) == [[70_001, 3]] and len(train.first(10**6)) == len(train)
    assert corpus.readings == 1


def test_a_second_time_reads_nothing(tmp_path: Path):
    corpus = Lines(*(Document(f"the cat sat on the mat {i % 3}", "train") for i in range(30)))
    first = prepare_data(corpus, 262, cache=tmp_path)
    assert corpus.readings == 2  # once for the tokenizer, once for the index
    again = prepare_data(corpus, 262, cache=tmp_path)
    assert corpus.readings == 2
    assert first.digest == again.digest == again.index.digest
    other = prepare_data(corpus, 261, cache=tmp_path)
    assert other.digest != first.digest


@pytest.mark.parametrize("name", ["train.tokens", "judge.offsets", "test.bytes", "index.json"])
def test_an_index_cut_short_is_built_anew(tmp_path: Path, name: str):
    before = prepare_data(Worlds(SMALL), 300, cache=tmp_path)
    tokens = before.index.split("train").tokens.tolist()
    path = index_folder(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-3])
    assert open_index(path.parent, before.digest) is None
    after = prepare_data(Worlds(SMALL), 300, cache=tmp_path)
    assert after.index.split("train").tokens.tolist() == tokens
    assert after.digest == before.digest


def test_an_index_of_another_digest_or_schema_is_not_opened(data: Data, cache: Path):
    folder = index_folder(cache)
    assert open_index(folder, data.digest) is not None
    assert open_index(folder, "other") is None
    assert open_index(folder / "absent", data.digest) is None
    head = json.loads((folder / "index.json").read_text())
    assert head["digest"] == data.digest and set(head["splits"]) == set(SPLITS)


@pytest.mark.parametrize(
    ("key", "value"),
    [("files", [1]), ("files", {"train.tokens": 7}), ("splits", 7), ("splits", {"train": [1]}),
     ("dtype", {}), ("end_of_text", None), ("end_of_text", "x"), ("digest", None)],
)  # fmt: skip
def test_an_index_whose_head_holds_something_else_is_not_opened(
    data: Data, tmp_path: Path, cache: Path, key: str, value: object
):
    folder = tmp_path / "index"
    shutil.copytree(index_folder(cache), folder)
    assert open_index(folder, data.digest) is not None
    head = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**head, key: value}))
    assert open_index(folder, data.digest) is None


def test_a_pipe_in_an_index_is_not_waited_for(data: Data, tmp_path: Path, cache: Path):
    folder = tmp_path / "index"
    shutil.copytree(index_folder(cache), folder)
    (folder / "train.tokens").unlink()
    os.mkfifo(folder / "train.tokens")
    assert open_index(folder, data.digest) is None


def test_a_full_disk_is_a_clear_failure_and_leaves_nothing(data: Data, tmp_path: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(RunFailure, match="token index can't be written"):
            build_index(Worlds(SMALL), data.tokenizer, tmp_path / "index" / "x", "digest")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "index").iterdir()) == []


def test_a_failing_corpus_leaves_nothing(data: Data, tmp_path: Path):
    class Broken(Lines):
        def documents(self) -> Iterator[Document]:
            yield Document("fine", "train")
            raise UserError("line 2 is wrong")

    with pytest.raises(UserError, match="line 2"):
        build_index(Broken(), data.tokenizer, tmp_path / "index" / "x", "digest")
    assert list((tmp_path / "index").iterdir()) == []


def test_a_faster_process_wins_without_harm(data: Data, cache: Path):
    folder = index_folder(cache)
    written = (folder / "index.json").stat().st_mtime_ns
    build_index(Worlds(SMALL), data.tokenizer, folder, data.digest)
    assert (folder / "index.json").stat().st_mtime_ns == written
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_corpus_that_trains_nothing_is_refused(data: Data, tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text(data.tokenizer.to_json())
    assert load_tokenizer(path).digest == data.tokenizer.digest
    for corpus in (Lines(), Lines(Document("only", "test"), Document("", "train"))):
        with pytest.raises(UserError, match="train split has no documents"):
            prepare_data(corpus, path=str(path), cache=tmp_path)


def test_an_empty_split_is_named_when_it_is_asked_for(tmp_path: Path):
    data = prepare_data(Lines(Document("the the cat cat", "train")), 260, cache=tmp_path)
    assert len(data.index.splits["judge"]) == 0
    with pytest.raises(UserError, match="judge split has no documents"):
        data.index.split("judge")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), st.sampled_from(SPLITS)), min_size=1, max_size=20))
def test_any_text_survives_the_index(
    tmp_path_factory: pytest.TempPathFactory, data: Data, pairs: list[tuple[str, Split]]
):
    tmp_path = tmp_path_factory.mktemp("index")
    documents = [Document("start", "train"), *(Document(*pair) for pair in pairs)]
    build_index(Lines(*documents), data.tokenizer, tmp_path / "i", "digest")
    index = open_index(tmp_path / "i", "digest")
    assert index is not None
    for split in SPLITS:
        stored = index.splits[split]
        found = [data.tokenizer.decode(stored.document(i)) for i in range(len(stored))]
        assert found == [d.text for d in documents if d.split == split and d.text]
