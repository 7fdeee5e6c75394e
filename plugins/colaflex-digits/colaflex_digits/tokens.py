"""The vocabulary of sensor readings: words first, then grey levels from dark to bright.

`python -m colaflex_digits.tokens` writes the tokenizer.json that the package ships.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["LEVELS", "SIDE", "TOKENIZER", "WORDS"]

SIDE = 8
"""Pixels of a row, and rows of an image."""

LEVELS = 17
"""Grey levels of a pixel; they are the last ids of the vocabulary."""

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

TOKENIZER = Path(__file__).with_name("tokenizer.json")


def _write(path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    from colaflex.corpora.tokenizer import END_OF_TEXT, MASK

    tokens = [END_OF_TEXT, MASK, *WORDS, *map(str, range(LEVELS))]
    ids = {token: number for number, token in enumerate(tokens)}
    # What is neither a word nor a level is heard as something hidden.
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=MASK))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([END_OF_TEXT, MASK])
    path.write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write(TOKENIZER)
