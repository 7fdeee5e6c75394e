"""What this package offers to colaflex."""

from __future__ import annotations

import colaflex

__all__ = ["colaflex_components"]


@colaflex.hookimpl
def colaflex_components() -> list[colaflex.Component]:
    """The segmenter `sentence` and the representation `sentence_encoder`."""
    return [
        colaflex.Component(
            kind="segmenter",
            name="sentence",
            target="colaflex_sentence.segmenter:Sentence",
            config="colaflex_sentence.config:SentenceConfig",
            summary="Sentences: segments begin behind . ! ?",
        ),
        colaflex.Component(
            kind="representation",
            name="sentence_encoder",
            target="colaflex_sentence.representation:SentenceEncoding",
            config="colaflex_sentence.config:SentenceEncodingConfig",
            summary="A frozen sentence encoder's vector of each segment; its decoder is trained.",
        ),
    ]
