"""What tokens add to a text, whatever the tokenizer: spaces, halves of characters, suffixes."""

from __future__ import annotations

from itertools import pairwise

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from colaflex.corpora.tokenizer import Tokenizer

TEXTS = [
    "Once upon a time there was a little café. It wasn't far, and nobody walked there!",
    "Anna walked on; she found 東京 and a smile 🙂 behind the walking talking door.",
    'Le café d\'à côté: naïve, drôle -- and "quoted" (in brackets).',
]


def trained(model: object, trainer: object, **parts: object) -> Tokenizer:
    backend = tokenizers.Tokenizer(model)
    for name, part in parts.items():
        setattr(backend, name, part)
    backend.train_from_iterator(TEXTS * 20, trainer)
    return Tokenizer(backend)


def byte_level() -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(
        models.BPE(),
        trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
    )


def metaspace(scheme: str) -> Tokenizer:
    return trained(
        models.BPE(unk_token="<unk>"),
        trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False),
        pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme=scheme),
        decoder=decoders.Metaspace(prepend_scheme=scheme),
    )


def unigram() -> Tokenizer:
    return trained(
        models.Unigram(),
        trainers.UnigramTrainer(
            vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        ),
        pre_tokenizer=pre_tokenizers.Metaspace(),
        decoder=decoders.Metaspace(),
    )


def llama() -> Tokenizer:
    """Spaces as symbols, bytes for what is unknown, and the first space taken off."""
    pieces = {f"<0x{byte:02X}>": byte for byte in range(256)}
    for letter in "▁Onceupatimhrwslkdbfgvy":
        pieces.setdefault(letter, len(pieces))
    backend = tokenizers.Tokenizer(models.BPE(pieces, [], byte_fallback=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return Tokenizer(backend)


def word_piece() -> Tokenizer:
    return trained(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=150, special_tokens=["[UNK]"], show_progress=False),
        normalizer=normalizers.BertNormalizer(lowercase=True),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )


def words() -> Tokenizer:
    return trained(
        models.WordLevel(unk_token="[UNK]"),
        trainers.WordLevelTrainer(vocab_size=60, special_tokens=["[UNK]"], show_progress=False),
        pre_tokenizer=pre_tokenizers.Whitespace(),
    )


def suffixes() -> Tokenizer:
    return trained(
        models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>"),
        trainers.BpeTrainer(
            vocab_size=200,
            special_tokens=["[UNK]"],
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
        pre_tokenizer=pre_tokenizers.Whitespace(),
        decoder=decoders.BPEDecoder("</w>"),
    )


MADE = {
    "byte_level": byte_level,
    "metaspace": lambda: metaspace("always"),
    "metaspace_first": lambda: metaspace("first"),
    "metaspace_never": lambda: metaspace("never"),
    "unigram": unigram,
    "llama": llama,
    "word_piece": word_piece,
    "words": words,
    "suffixes": suffixes,
}


@pytest.fixture(scope="module", params=MADE)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return MADE[request.param]()


def cuts(tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
    rows = tokenizer.encode_batch(TEXTS)
    return [(row[:at], row[at:]) for row in rows for at in range(len(row) + 1)]


def test_prompt_and_what_follows_join_to_the_text_of_all_tokens(tokenizer: Tokenizer):
    parts = cuts(tokenizer)
    joined = ["".join(both) for both in tokenizer.continued(*zip(*parts, strict=True))]
    assert joined == [tokenizer.decode([*prompt, *row]) for prompt, row in parts]


def test_a_prompt_of_whole_characters_stays_as_it_is(tokenizer: Tokenizer):
    for prompt, row in cuts(tokenizer):
        before = tokenizer.decode(prompt)
        if not before.endswith("\N{REPLACEMENT CHARACTER}"):
            assert tokenizer.continued([prompt], [row])[0][0] == before


@pytest.mark.parametrize("step", [1, 3])
def test_a_stream_behind_a_prompt_joins_to_what_follows(tokenizer: Tokenizer, step: int):
    for prompt, row in cuts(tokenizer)[:: 5 if step == 1 else 1]:
        stream = tokenizer.stream(prompt)
        pieces = [stream.push(row[at : at + step]) for at in range(0, len(row), step)]
        assert "".join([*pieces, stream.finish()]) == tokenizer.continued([prompt], [row])[0][1]
        assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@pytest.mark.parametrize("name", ["metaspace", "metaspace_first", "unigram", "llama", "words"])
def test_the_space_before_a_word_is_kept(name: str):
    tokenizer = MADE[name]()
    prompt = tokenizer.encode("Once upon a")
    row = tokenizer.encode("Once upon a time")[len(prompt) :]
    assert tokenizer.continued([prompt], [row]) == [("Once upon a", " time")]
    assert tokenizer.continued([[]], [tokenizer.encode("Once upon")]) == [("", "Once upon")]


def test_nothing_changes_for_bytes():
    tokenizer = byte_level()
    for prompt, row in cuts(tokenizer):
        if not tokenizer.decode(prompt).endswith("\N{REPLACEMENT CHARACTER}"):
            assert tokenizer.continued([prompt], [row])[0][1] == tokenizer.decode(row)


def test_a_long_prompt_gives_the_stream_the_same_text():
    for make in (metaspace, byte_level):
        tokenizer = make("always") if make is metaspace else make()
        tokens = tokenizer.encode(" ".join(TEXTS * 4))
        for at, after in pairwise(range(len(tokens) // 2, len(tokens), 29)):
            stream = tokenizer.stream(tokens[:at])
            text = stream.push(tokens[at:after]) + stream.finish()
            assert text == tokenizer.continued([tokens[:at]], [tokens[at:after]])[0][1]
