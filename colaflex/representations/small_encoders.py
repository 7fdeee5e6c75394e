"""Tiny encoders with random weights, written as transformers writes real ones: for checks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from colaflex.representations.pretrained_encoder import transformers_library

__all__ = ["small_bert", "small_t5"]

TEXTS = ("In the beginning was the word , and the word was good .", "The end of the words .")


def small_bert(folder: Path, texts: Sequence[str] = TEXTS) -> Mapping[str, object]:
    """Write a BERT of two layers, and a WordPiece tokenizer; the options that name them."""
    library = transformers_library()
    words = _counted(texts)
    letters = sorted({letter for word in words for letter in word})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = dict.fromkeys([*special, *letters, *(f"##{x}" for x in letters), *words])
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106  no password
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(special)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = library.BertConfig(
        vocab_size=backend.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,  # contexts tell, which at the usual size they would hardly
    )
    return _written(folder, library.BertModel, config, backend)


def small_t5(folder: Path, texts: Sequence[str] = TEXTS) -> Mapping[str, object]:
    """Write the encoder of a T5 of two layers, and a tokenizer; the options that name them."""
    library = transformers_library()
    words = Counter({f"▁{word}": count for word, count in _counted(texts).items()})
    letters = Counter({letter: 1 for word in words for letter in word if letter not in words})
    special = ["<pad>", "</s>", "<unk>", "<extra_id_0>"]
    pieces = [(piece, math.log(count / 100)) for piece, count in (words + letters).items()]
    backend = Tokenizer(
        models.Unigram([(piece, 0.0) for piece in special] + pieces, special.index("<unk>"), False)
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(special)
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    config = library.T5Config(
        vocab_size=backend.get_vocab_size(),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        dropout_rate=0.1,
        tie_word_embeddings=False,
    )
    return _written(folder, library.T5EncoderModel, config, backend)


def _counted(texts: Sequence[str]) -> Counter[str]:
    """Words of the texts in order: a trained vocabulary would be another one in every process."""
    return Counter(word for text in texts for word in text.split())


def _written(folder: Path, kind: type, config: object, backend: Tokenizer) -> Mapping[str, object]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind(config)
    model.save_pretrained(folder)
    backend.save(str(folder / "tokenizer.json"))
    return {"encoder": str(folder), "context": 2}
