"""Tiny encoders with random weights, written as transformers writes real ones: for checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from colaflex.representations.pretrained_encoder import transformers_library

__all__ = ["small_bert", "small_t5"]

TEXTS = ("In the beginning was the word , and the word was good .", "The end of the words .")


def small_bert(folder: Path, texts: Sequence[str] = TEXTS) -> Mapping[str, object]:
    """Write a BERT of two layers, and a WordPiece tokenizer; the options that name them."""
    library = transformers_library()
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106  no password
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    backend.train_from_iterator(texts, trainer)
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
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>", "<extra_id_0>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=special,
        unk_token="<unk>",  # noqa: S106  no password
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
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


def _written(folder: Path, kind: type, config: object, backend: Tokenizer) -> Mapping[str, object]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind(config)
    model.save_pretrained(folder)
    backend.save(str(folder / "tokenizer.json"))
    return {"encoder": str(folder), "context": 2}
