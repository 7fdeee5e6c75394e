"""Byte-level BPE: trained on the train split and cached by content, or any tokenizer.json."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from colaflex.corpora.tokenizer_bounds import LARGEST, check_bounds, library_failures
from colaflex.errors import RunFailure, UserError
from colaflex.files.reading import inside, parse_json, read_bytes, read_text
from colaflex.files.writing import cache_dir, write_atomic
from colaflex.interfaces.corpus import Corpus
from colaflex.statistics.draws import stable_digest

__all__ = [
    "END_OF_TEXT",
    "MASK",
    "StreamDecoder",
    "Tokenizer",
    "load_tokenizer",
    "thinned",
    "train_tokenizer",
]

log = logging.getLogger("colaflex")

END_OF_TEXT = "<|endoftext|>"
MASK = "<|mask|>"
SMALLEST_VOCABULARY = 258  # all bytes, end-of-text, mask
REVISION = 2
# All of a text up to this size trains the tokenizer, then an ever smaller part of what follows.
WHOLE_CHARACTERS = 10_000_000

# Tokens of a prompt that a stream decodes again at every step: they decide how what follows is
# written.
CONTEXT = 64

# Under what names other tokenizers have the two special tokens; ours are added where none exists.
_END_NAMES = (END_OF_TEXT, "</s>", "<|end_of_text|>", "<eos>", "[SEP]")
_MASK_NAMES = (MASK, "[MASK]", "<mask>", "<extra_id_0>")


class Tokenizer:
    """Text to token ids and back. Special tokens written out in a text are ordinary text."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True
        self._backend = backend
        self.end_of_text = self._special(_END_NAMES)
        self.mask = self._special(_MASK_NAMES)
        self.size: int = backend.get_vocab_size(with_added_tokens=True)

    def _special(self, names: Sequence[str]) -> int:
        for name in names:
            token = self._backend.token_to_id(name)
            if token is not None:
                self._backend.add_special_tokens([AddedToken(name, special=True, normalized=False)])
                return int(token)
        self._backend.add_special_tokens([AddedToken(names[0], special=True, normalized=False)])
        return int(self._backend.token_to_id(names[0]) or 0)

    @property
    def digest(self) -> str:
        """SHA-256 of the tokenizer's serialised form."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def exact(self) -> bool:
        """Whether any text comes back as it is, by the tokenizer's make: a BPE of all bytes.

        Of others it depends on the text; see `writes`.
        """
        definition = json.loads(self.to_json())
        model, cut = definition["model"], definition["pre_tokenizer"] or {}
        return (
            model["type"] == "BPE"
            and definition["normalizer"] is None
            and (cut.get("type"), cut.get("add_prefix_space")) == ("ByteLevel", False)
            and (definition["decoder"] or {}).get("type") == "ByteLevel"
            and set(pre_tokenizers.ByteLevel.alphabet()) <= set(model["vocab"])
            and not (model["continuing_subword_prefix"] or model["end_of_word_suffix"])
            and not any(token["lstrip"] or token["rstrip"] for token in definition["added_tokens"])
        )

    def writes(self, texts: Sequence[str]) -> bool:
        """Whether all of the texts come back as they are."""
        return self.exact or self.decode_batch(self.encode_batch(texts)) == list(texts)

    def to_json(self) -> str:
        """The content of its tokenizer.json."""
        return str(self._backend.to_str(pretty=False))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        with library_failures("the tokenizer can't read a text"):
            return list(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of many texts, in parallel."""
        with library_failures("the tokenizer can't read a text"):
            encoded = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [item.ids for item in encoded]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids; special tokens are left out, broken UTF-8 becomes U+FFFD."""
        with library_failures("the tokenizer can't write a text"):
            return str(self._backend.decode(list(tokens), skip_special_tokens=True))

    def decode_batch(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The texts of many rows of token ids."""
        with library_failures("the tokenizer can't write a text"):
            ids = [list(row) for row in rows]
            decoded = self._backend.decode_batch(ids, skip_special_tokens=True)
        return [str(text) for text in decoded]

    def continued(
        self, prompts: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]
    ) -> list[tuple[str, str]]:
        """Of rows that go on behind prompts, the prompts' texts and what follows them.

        The two join to the text of all their tokens. Decoded alone, a row may lose the space that
        it begins with, or half of a character.
        """
        before = self.decode_batch(prompts)
        whole = self.decode_batch([[*p, *row] for p, row in zip(prompts, rows, strict=True)])
        shared = [_shared(*texts) for texts in zip(before, whole, strict=True)]
        return [(text[:end], text[end:]) for text, end in zip(whole, shared, strict=True)]

    def token(self, token_id: int) -> str:
        """The text of one token, for display."""
        return self.decode([token_id]) or str(self._backend.id_to_token(token_id))

    def token_texts(self) -> tuple[str, ...]:
        """The text of every token, as `token` gives it."""
        decode, name = self._backend.decode, self._backend.id_to_token
        with library_failures("the tokenizer can't write a text"):
            return tuple(str(decode([i]) or name(i)) for i in range(self.size))

    def stream(self, prompt: Sequence[int] = ()) -> StreamDecoder:
        """A decoder for tokens that arrive a few at a time, behind those of a prompt."""
        return StreamDecoder(self, prompt)


def _shared(before: str, whole: str) -> int:
    """How many characters of a prompt's text stay as they are when tokens follow."""
    if whole.startswith(before):
        return len(before)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(before, whole, strict=False))
    return sum(1 for _ in alike)


class StreamDecoder:
    """Decodes a row that grows behind a prompt; unfinished characters are held back."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._tokens = list(prompt)[-CONTEXT:]
        self._before = tokenizer.decode(self._tokens)
        self._length = 0

    def _text(self) -> str:
        text = self._tokenizer.decode(self._tokens)
        return text[_shared(self._before, text) :]

    def push(self, tokens: Sequence[int]) -> str:
        """The text that the new tokens complete."""
        self._tokens.extend(tokens)
        text = self._text()
        stable = len(text.rstrip("\N{REPLACEMENT CHARACTER}"))
        piece = text[self._length : stable]
        self._length = max(self._length, stable)
        return piece

    def finish(self) -> str:
        """What is left, with U+FFFD for bytes that never became a character."""
        text = self._text()
        piece, self._length = text[self._length :], len(text)
        return piece


def _new_backend() -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend


def train_tokenizer(corpus: Corpus, vocab_size: int, cache: Path | None = None) -> Tokenizer:
    """Byte-level BPE of the train split, from the cache where it was trained before.

    Args:
        corpus: read once, streaming; of a very large one a part is learned from (`thinned`).
        vocab_size: token ids in all, the 256 bytes and two special tokens included.
        cache: folder of the cache, by default the user's.

    Raises:
        UserError: the size is too small, or larger than the text has merges for.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise UserError(
            f"tokenizer.vocab_size: {vocab_size} is too small; the 256 bytes, {END_OF_TEXT} and "
            f"{MASK} alone are {SMALLEST_VOCABULARY}"
        )
    key = stable_digest("bpe", REVISION, tokenizers.__version__, corpus.fingerprint(), vocab_size)
    path = (cache or cache_dir()) / "tokenizers" / key[:32] / "tokenizer.json"
    if (known := _cached(path)) is not None:
        return known
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT, MASK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend = _new_backend()
    texts = (document.text for document in corpus.documents() if document.split == "train")
    backend.train_from_iterator(thinned(texts, WHOLE_CHARACTERS), trainer)
    largest = backend.get_vocab_size()
    if largest < vocab_size:
        raise UserError(
            f"tokenizer.vocab_size: {vocab_size} is more than the text supports; pairs that occur "
            f"twice run out at {largest}, which is the largest possible size"
        )
    tokenizer = Tokenizer(backend)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = tokenizer.to_json()
        write_atomic(path.with_suffix(".sha256"), hashlib.sha256(text.encode()).hexdigest())
        write_atomic(path, text)
    except OSError as error:
        raise RunFailure(f"the tokenizer can't be saved in {path.parent}: {error}") from error
    return tokenizer


def _cached(path: Path) -> Tokenizer | None:
    """A tokenizer that was trained before, where it is whole."""
    try:
        digest = read_text(inside(path.parent, path.with_suffix(".sha256").name), 64)
        content = read_bytes(inside(path.parent, path.name), LARGEST)
    except UserError:
        return None
    if hashlib.sha256(content).hexdigest() != digest:
        log.warning("the kept tokenizer %s is damaged and is trained anew", path)
        return None
    return load_tokenizer(path)


def thinned(texts: Iterable[str], whole: int) -> Iterator[str]:
    """All texts up to so many characters, then half as many with every doubling.

    Twice the text hardly moves a byte-level BPE, and takes twice the time: this way a corpus of
    gigabytes trains on tens of megabytes, from its beginning to its end.
    """
    stride, seen, bound = 1, 0, whole
    for number, text in enumerate(texts):
        while seen >= bound:
            stride, bound = 2 * stride, 2 * bound
        seen += len(text)
        if number % stride == 0:
            yield text


def load_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer.json of whatever kind, its padding and truncation switched off.

    Raises:
        UserError: it can't be read, is no tokenizer.json, or could hang or fill the memory.
    """
    try:
        content = read_text(path, LARGEST)
        check_bounds(parse_json(content, path), path)
    except UserError as error:
        raise UserError(f"tokenizer.path: {error}") from None
    with library_failures(f"tokenizer.path: {path} is no tokenizer.json"):
        return Tokenizer(tokenizers.Tokenizer.from_str(content))
