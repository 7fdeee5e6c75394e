"""Byte-level BPE: exact, cached by content, and clear about what it can't do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.corpora.tokenizer import (
    END_OF_TEXT,
    MASK,
    Tokenizer,
    load_tokenizer,
    thinned,
    train_tokenizer,
)
from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import WorldsConfig
from colaflex.errors import RunFailure, UserError
from colaflex.interfaces.corpus import Corpus, Document

WORLDS = Worlds(
    WorldsConfig(documents=200, validation_documents=5, test_documents=5, judge_documents=5)
)


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
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train_tokenizer(WORLDS, 300, tmp_path_factory.mktemp("cache"))


@given(text=st.text(max_size=200))
def test_any_text_comes_back_exactly(tokenizer: Tokenizer, text: str):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(texts=st.lists(st.text(max_size=50), max_size=8))
def test_batches_equal_single_calls(tokenizer: Tokenizer, texts: list[str]):
    encoded = tokenizer.encode_batch(texts)
    assert encoded == [tokenizer.encode(text) for text in texts]
    assert tokenizer.decode_batch(encoded) == texts


@given(text=st.text(max_size=100), data=st.data())
def test_streaming_gives_the_same_text_in_whole_characters(
    tokenizer: Tokenizer, text: str, data: st.DataObject
):
    tokens = tokenizer.encode(text)
    stream, pieces = tokenizer.stream(), []
    while tokens:
        count = data.draw(st.integers(1, 4))
        pieces.append(stream.push(tokens[:count]))
        tokens = tokens[count:]
    assert "".join(pieces) + stream.finish() == text
    if "\N{REPLACEMENT CHARACTER}" not in text:
        assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)


def test_streaming_shows_bytes_that_never_become_a_character(tokenizer: Tokenizer):
    *_, last = tokens = tokenizer.encode("€")
    stream = tokenizer.stream()
    assert stream.push(tokens[:-1]) == ""
    assert stream.finish() == "\N{REPLACEMENT CHARACTER}"
    assert last < tokenizer.size


def test_special_tokens_written_out_are_text(tokenizer: Tokenizer):
    text = f"a {END_OF_TEXT} b {MASK}"
    tokens = tokenizer.encode(text)
    assert tokenizer.end_of_text not in tokens and tokenizer.mask not in tokens
    assert tokenizer.decode([*tokens, tokenizer.end_of_text]) == text
    assert tokenizer.token(tokenizer.end_of_text) == END_OF_TEXT
    assert tokenizer.size == 300
    assert tokenizer.token_texts() == tuple(map(tokenizer.token, range(300)))


def test_a_trained_tokenizer_is_cached_by_content(tmp_path: Path):
    corpus = Lines(*(Document("the cat sat on the mat " * 3, "train") for _ in range(3)))
    first = train_tokenizer(corpus, 262, tmp_path)
    again = train_tokenizer(corpus, 262, tmp_path)
    assert corpus.readings == 1
    assert first.digest == again.digest and first.size == again.size == 262
    assert train_tokenizer(corpus, 263, tmp_path).digest != first.digest
    assert corpus.readings == 2


def test_only_the_train_split_is_learned_from(tmp_path: Path):
    train = Document("aaaa bbbb aaaa bbbb", "train")
    alone = train_tokenizer(Lines(train), 260, tmp_path)
    held_out = [Document("zzzz " * 50, split) for split in ("validation", "test", "judge")]
    beside = train_tokenizer(Lines(train, *held_out), 260, tmp_path)
    assert alone.digest == beside.digest


def test_a_large_corpus_is_thinned_evenly_to_its_end():
    texts = [f"{i:010d}" for i in range(1600)]
    assert list(thinned(texts[:100], 1000)) == texts[:100]
    kept = [int(text) for text in thinned(texts, 1000)]
    assert kept[:100] == list(range(100))
    for start in (100, 200, 400, 800):
        assert sum(start <= i < 2 * start for i in kept) == 50
    assert kept[-1] >= 1600 - 16


def test_a_vocabulary_beyond_the_text_names_the_largest(tmp_path: Path):
    with pytest.raises(UserError, match="run out at") as caught:
        train_tokenizer(WORLDS, 50_000, tmp_path)
    assert list(tmp_path.iterdir()) == []
    largest = int(str(caught.value).split("run out at ")[1].split(",")[0])
    assert train_tokenizer(WORLDS, largest, tmp_path).size == largest


def test_a_vocabulary_below_the_bytes_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="258"):
        train_tokenizer(WORLDS, 257, tmp_path)


def test_a_cache_that_cannot_be_written_is_a_failure(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(RunFailure, match="can't be saved"):
        train_tokenizer(WORLDS, 260, blocked)


def test_padding_and_truncation_of_a_file_are_switched_off(tokenizer: Tokenizer, tmp_path: Path):
    content = json.loads(tokenizer.to_json())
    content["truncation"] = {
        "direction": "Right",
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    content["padding"] = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "x",
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    loaded = load_tokenizer(path)
    text = "Anna was travelling alone and the path led to the castle."
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.digest == tokenizer.digest


def test_special_tokens_of_other_names_are_found_or_added(tmp_path: Path):
    import tokenizers
    from tokenizers import models, pre_tokenizers

    words = {"[UNK]": 0, "[SEP]": 1, "cat": 2, "sat": 3}
    backend = tokenizers.Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path / "words.json"
    backend.save(str(path))
    loaded = load_tokenizer(path)
    assert (loaded.end_of_text, loaded.mask, loaded.size) == (1, 4, 5)
    assert loaded.encode("cat sat") == [2, 3]


@pytest.mark.parametrize("content", ["", "{}", "[1, 2", '{"version": "1.0"}'])
def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, content: str):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"tokenizer.json(: not readable as JSON| is no tokenizer)"):
        load_tokenizer(path)
    with pytest.raises(UserError, match="no such file"):
        load_tokenizer(tmp_path / "absent.json")
