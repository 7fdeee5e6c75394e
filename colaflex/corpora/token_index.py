"""The corpus as token ids on disk: read once, streaming, then memory-mapped.

A folder `index/<digest>/` in the cache holds, for each split, all tokens one document after the
other (`<split>.tokens`, uint16 or uint32), where documents begin (`<split>.offsets`, int64, one
more than documents) and their UTF-8 sizes (`<split>.bytes`, int64, for bits per byte), all little
endian. Each document ends with end-of-text. The folder appears whole or not at all; `index.json`
has the SHA-256 of every file, and they are compared when it is opened (a second or so a GiB; not
where the environment has COLAFLEX_NO_VERIFY).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from colaflex.corpora.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from colaflex.errors import RunFailure, UserError
from colaflex.files.reading import MissingFile, inside, read_json, verifying
from colaflex.files.writing import cache_dir, sha256_file, sweep_cache, sync_directory, temporary
from colaflex.interfaces.corpus import SPLITS, Corpus, Document, Split
from colaflex.statistics.draws import stable_digest

__all__ = ["Data", "SplitIndex", "TokenIndex", "build_index", "open_index", "prepare_data"]

SCHEMA = 1
log = logging.getLogger("colaflex")

UNREADABLE = (OSError, UserError, ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What an index that is not as it was written leads to."""
# Bounds on what is held in memory at once while the corpus is read.
BATCH_DOCUMENTS = 1024
BATCH_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class SplitIndex:
    """The documents of one split.

    Attributes:
        tokens: (tokens,) uint16 or uint32, memory-mapped; end-of-text ends each document.
        offsets: (documents + 1,) int64, where documents begin and the last one ends.
        bytes: (documents,) int64, UTF-8 size of each document.
    """

    tokens: NDArray[np.unsignedinteger[Any]]
    offsets: NDArray[np.int64]
    bytes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.bytes)

    def document(self, number: int) -> list[int]:
        """The tokens of a document, without its end-of-text."""
        start, stop = int(self.offsets[number]), int(self.offsets[number + 1])
        tokens: list[int] = self.tokens[start : stop - 1].tolist()
        return tokens

    def head(self, count: int) -> SplitIndex:
        """The first documents, at most so many, as a split of their own."""
        return SplitIndex(self.tokens, self.offsets[: count + 1], self.bytes[:count])

    def spread(self, tokens: int) -> Iterator[int]:
        """Numbers of documents from beginning to end that hold about so many tokens together."""
        stride = max(1, -(-int(self.offsets[-1]) // tokens))
        for number in range(0, len(self), stride):
            if tokens <= 0:
                return
            tokens -= int(self.offsets[number + 1] - self.offsets[number])
            yield number

    def first(self, count: int) -> list[list[int]]:
        """The first documents, at most so many, as `document` gives them."""
        return [self.document(number) for number in range(min(count, len(self)))]


@dataclass(frozen=True)
class TokenIndex:
    """All splits of a corpus as tokens.

    Attributes:
        splits: by name.
        end_of_text: token id that ends documents.
        digest: of the corpus's content and the tokenizer.
    """

    splits: Mapping[Split, SplitIndex]
    end_of_text: int
    digest: str

    def split(self, name: Split) -> SplitIndex:
        """A split that has documents; raises UserError for one that has none."""
        index = self.splits[name]
        if not len(index):
            raise UserError(f"corpus: the {name} split has no documents")
        return index


@dataclass(frozen=True)
class Data:
    """A corpus ready for training.

    Attributes:
        tokenizer: of the corpus, or the one given.
        index: its tokens.
        digest: of content and tokenizer; part of an experiment's digest.
        corpus: digest of the content alone, whatever its tokens; "" where it isn't known.
    """

    tokenizer: Tokenizer
    index: TokenIndex
    digest: str
    corpus: str = ""


def prepare_data(
    corpus: Corpus, vocab_size: int = 4096, path: str | None = None, cache: Path | None = None
) -> Data:
    """Tokenizer and token index of a corpus, out of the cache where they are known.

    Args:
        corpus: where documents come from.
        vocab_size: size of the tokenizer trained on the train split.
        path: a tokenizer.json to use instead, or None.
        cache: folder of the cache, by default the user's.

    Raises:
        UserError: unusable corpus or tokenizer settings.
        RunFailure: the cache can't be written, say because the disk is full.
    """
    sweep_cache(cache or cache_dir())
    if path is None:
        tokenizer = train_tokenizer(corpus, vocab_size, cache)
    else:
        tokenizer = load_tokenizer(Path(path))
    fingerprint = corpus.fingerprint()
    digest = stable_digest("index", SCHEMA, fingerprint, tokenizer.digest)
    folder = (cache or cache_dir()) / "index" / digest[:32]
    index = open_index(folder, digest)
    if index is None:
        build_index(corpus, tokenizer, folder, digest)
        index = open_index(folder, digest)
    if index is None:
        raise RunFailure(f"the token index {folder} is not readable after it was written")
    return Data(tokenizer, index, digest, stable_digest("corpus", fingerprint))


def open_index(folder: Path, digest: str) -> TokenIndex | None:
    """The index in a folder, or None where there is none that is whole and has this digest."""
    try:
        head = read_json(inside(inside(folder.parent, folder.name), "index.json"))
        if head["schema"] != SCHEMA or head["digest"] != digest or "files" not in head:
            return None  # of another corpus, or of before there were digests
        if verifying():
            _verify(folder, head["files"])
        dtype = np.dtype(head["dtype"])
        splits = {name: _open_split(folder, name, head["splits"][name], dtype) for name in SPLITS}
        end_of_text = int(head["end_of_text"])
    except MissingFile:
        return None
    except UNREADABLE as error:
        log.warning("the token index %s is damaged (%s) and is made anew", folder, error)
        return None
    return TokenIndex(splits, end_of_text, digest)


def _verify(folder: Path, digests: Mapping[str, str]) -> None:
    """Raise ValueError for a file that is not as it was written."""
    for name, digest in digests.items():
        if sha256_file(inside(folder, name)) != digest:
            raise ValueError(f"{name}: its SHA-256 is not the one in index.json")


def _open_split(
    folder: Path, name: Split, counts: Mapping[str, int], dtype: np.dtype[Any]
) -> SplitIndex:
    tokens = _map(folder / f"{name}.tokens", dtype, counts["tokens"])
    offsets = _map(folder / f"{name}.offsets", np.dtype("<i8"), counts["documents"] + 1)
    sizes = _map(folder / f"{name}.bytes", np.dtype("<i8"), counts["documents"])
    if int(offsets[-1]) != counts["tokens"]:
        raise ValueError("offsets and tokens disagree")
    return SplitIndex(tokens, offsets, sizes)


def _map(path: Path, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    if path.stat().st_size != count * dtype.itemsize:
        raise ValueError(f"{path} has another length")
    # An empty file can't be mapped.
    return np.memmap(path, dtype, "r") if count else np.empty(0, dtype)


def build_index(corpus: Corpus, tokenizer: Tokenizer, folder: Path, digest: str) -> None:
    """Read the corpus once and write its index; nothing is left behind by a failure."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary(folder, folder=True) as new:
            _write(corpus, tokenizer, new, digest)
            if folder.exists() and open_index(folder, digest) is None:
                shutil.rmtree(folder)
            try:
                new.rename(folder)
            except OSError:
                # Another process may have been faster; then its index serves as well.
                if open_index(folder, digest) is None:
                    raise
        sync_directory(folder.parent)
    except OSError as error:
        raise RunFailure(
            f"the token index can't be written in {folder.parent}: {error.strerror or error}"
        ) from error


class _SplitWriter:
    """Appends documents of one split to its three files."""

    def __init__(self, folder: Path, name: Split, dtype: np.dtype[Any], files: ExitStack) -> None:
        def create(suffix: str) -> BinaryIO:
            return files.enter_context((folder / f"{name}.{suffix}").open("wb"))

        self.dtype = dtype
        self.token_file, self.offset_file, self.byte_file = map(
            create, ("tokens", "offsets", "bytes")
        )
        self.documents, self.tokens = 0, 0
        self.offset_file.write(np.int64(0).astype("<i8").tobytes())

    def append(self, documents: list[list[int]], sizes: list[int], end_of_text: int) -> None:
        flat, offsets = array("q"), array("q")
        for tokens in documents:
            flat.extend(tokens)
            flat.append(end_of_text)
            offsets.append(self.tokens + len(flat))
        self.token_file.write(np.frombuffer(flat, np.int64).astype(self.dtype).tobytes())
        self.offset_file.write(np.frombuffer(offsets, np.int64).astype("<i8").tobytes())
        self.byte_file.write(np.array(sizes, "<i8").tobytes())
        self.documents += len(documents)
        self.tokens += len(flat)

    def close(self) -> dict[str, int]:
        for file in (self.token_file, self.offset_file, self.byte_file):
            file.flush()
            os.fsync(file.fileno())
        return {"documents": self.documents, "tokens": self.tokens}

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file, once it is closed."""
        paths = [Path(f.name) for f in (self.token_file, self.offset_file, self.byte_file)]
        return {path.name: sha256_file(path) for path in paths}


def _write(corpus: Corpus, tokenizer: Tokenizer, folder: Path, digest: str) -> None:
    dtype = np.dtype("<u2" if tokenizer.size <= 2**16 else "<u4")
    with ExitStack() as files:
        writers = {name: _SplitWriter(folder, name, dtype, files) for name in SPLITS}
        for batch in _batches(corpus.documents()):
            encoded = tokenizer.encode_batch([document.text for document in batch])
            for name in SPLITS:
                chosen = [i for i, document in enumerate(batch) if document.split == name]
                writers[name].append(
                    [encoded[i] for i in chosen],
                    [len(batch[i].text.encode()) for i in chosen],
                    tokenizer.end_of_text,
                )
        counts = {name: writer.close() for name, writer in writers.items()}
    if counts["train"]["documents"] == 0:
        raise UserError("corpus: the train split has no documents")
    head = {
        "schema": SCHEMA,
        "digest": digest,
        "dtype": dtype.str,
        "end_of_text": tokenizer.end_of_text,
        "splits": counts,
        "files": {n: d for writer in writers.values() for n, d in writer.digests().items()},
    }
    with (folder / "index.json").open("w", encoding="utf-8") as file:
        json.dump(head, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Documents in batches bounded in number and, but for one long document, in characters."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        if not document.text:
            continue
        batch.append(document)
        characters += len(document.text)
        if len(batch) >= BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
