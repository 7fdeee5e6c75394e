"""A small T5 of one's own, for `frozen_t5`: python benchmarks/small_t5.py FOLDER.

Builds a T5 from a configuration, trains it briefly by span corruption on the Bible, and saves it
with its tokenizer.json in transformers' format. It is no pretrained T5 and is not called one.

Source: Raffel et al. (2019), section 3.1.4: 15 % of the tokens in spans of 3, each replaced by one
sentinel, https://arxiv.org/abs/1910.10683.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from colaflex.host.registry import registry

SENTINELS = 32
SPECIAL = ["<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in range(SENTINELS))]
END, FIRST = 1, 3
RATE, SPAN = 0.15, 3


def tokenizer_of(texts: Sequence[str], size: int) -> Tokenizer:
    """A Unigram tokenizer as T5 has one, which puts </s> behind a text."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        texts,
        trainers.UnigramTrainer(
            vocab_size=size,
            special_tokens=SPECIAL,
            unk_token="<unk>",  # noqa: S106  no password
            show_progress=False,
        ),
    )
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", END)]
    )
    return made


def corrupted(row: list[int], draws: random.Random) -> tuple[list[int], list[int]]:
    """What is left of a row, and what was taken from it, each span under its sentinel."""
    count = min(SENTINELS, max(1, round(RATE * len(row) / SPAN)))
    places = sorted(draws.sample(range(0, max(count, len(row) - SPAN), SPAN), count))
    left: list[int] = []
    taken: list[int] = []
    done = 0
    for sentinel, place in enumerate(places, FIRST):
        left += [*row[done:place], sentinel]
        taken += [sentinel, *row[place : place + SPAN]]
        done = place + SPAN
    return [*left, *row[done:], END], [*taken, END]


def padded(rows: Sequence[list[int]], filler: int) -> torch.Tensor:
    """(rows, longest) ids."""
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and save; prints the loss, nats per target token."""
    from transformers import T5Config, T5ForConditionalGeneration

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    for name, value in (
        ("steps", 600), ("rows", 16), ("tokens", 96), ("vocabulary", 4096), ("width", 128),
        ("layers", 4), ("documents", 3000),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args(arguments)
    corpus = registry().build(registry().config("corpus", {"type": "bible", "verses": 4}))
    train = (d.text for d in corpus.documents() if d.split == "train")
    texts = list(islice(train, given.documents))
    tokenizer = tokenizer_of(texts, given.vocabulary)
    encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    rows = [row for item in encoded if len(row := item.ids[: given.tokens]) > 4 * SPAN]
    torch.manual_seed(0)
    draws = random.Random(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=tokenizer.get_vocab_size(),
            d_model=given.width,
            d_kv=given.width // 4,
            d_ff=4 * given.width,
            num_layers=given.layers,
            num_heads=4,
        )
    )
    model.config.decoder_start_token_id = 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(given.steps):
        pairs = [corrupted(row, draws) for row in draws.sample(rows, given.rows)]
        sources, targets = (
            padded([p[k] for p in pairs], filler) for k, filler in ((0, 0), (1, -100))
        )
        loss = model(input_ids=sources, attention_mask=(sources != 0).long(), labels=targets).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step + 1 == given.steps:
            print(f"step {step + 1}: {loss.item():.3f} nats per target token", flush=True)
    model.save_pretrained(given.folder)
    tokenizer.save(str(given.folder / "tokenizer.json"))


if __name__ == "__main__":
    main()
