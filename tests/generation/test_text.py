"""Text out of a trained model: what a row depends on, and what it does not."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import colaflex
from colaflex.experiment.loading import LoadedModel
from colaflex.generation.text import GenerationOptions, TextGenerator

PROMPTS = [
    "The",
    "",
    "Bob is a painter. He",
    "naïve café, 東京 and 🙂",
    "The",
    " ".join(["the quick brown fox"] * 40),
    "\n\t \x00",
]


@pytest.fixture(scope="module")
def model(finished: Path) -> LoadedModel:
    """In float64, where batches of any size give equal tokens."""
    model = colaflex.load(finished)
    model.model.double()
    return model


def tokens(model: LoadedModel, prompts: list[str], **options: object) -> list[tuple[int, ...]]:
    return [row.tokens for row in model.generate(prompts, **options)]  # type: ignore[arg-type]


def test_a_row_does_not_depend_on_its_batch(model: LoadedModel) -> None:
    for options in ({}, {"temperature": 1.0, "guidance": 2.0}):
        together = tokens(model, PROMPTS, max_new_tokens=20, **options)
        for prompt, row in zip(PROMPTS[:4], together, strict=False):
            assert tokens(model, [prompt], max_new_tokens=20, **options) == [row]
        backwards = tokens(model, PROMPTS[::-1], max_new_tokens=20, **options)
        assert backwards[::-1][1:4] == together[1:4]


@pytest.mark.parametrize(("limit", "value"), [("ROWS_AT_ONCE", 2), ("TOKENS_AT_ONCE", 50)])
def test_many_prompts_are_continued_in_parts(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    whole = tokens(model, PROMPTS, max_new_tokens=12, temperature=1.0)
    monkeypatch.setattr(f"colaflex.generation.text.{limit}", value)
    assert tokens(model, PROMPTS, max_new_tokens=12, temperature=1.0) == whole


def test_a_prompt_given_twice_is_continued_in_two_ways(model: LoadedModel) -> None:
    first, second = tokens(model, ["The", "The"], temperature=1.0)
    assert first != second
    assert tokens(model, ["The"], temperature=1.0) == [first]


def test_generation_is_a_pure_function_of_prompts_options_and_seed(model: LoadedModel) -> None:
    once = model.generate(PROMPTS, seed=3, temperature=1.0)
    assert model.generate(PROMPTS, seed=3, temperature=1.0) == once
    assert model.generate(PROMPTS, seed=4, temperature=1.0) != once


@pytest.mark.parametrize("limit", [0, 1, 5, 17])
def test_no_row_is_longer_than_asked(model: LoadedModel, limit: int) -> None:
    for row in model.generate(PROMPTS, max_new_tokens=limit):
        assert row.finish in ("end", "length")
        assert len(row.tokens) <= limit
        assert row.finish == "end" or len(row.tokens) == limit
        assert model.tokenizer.decode(row.tokens) == row.text


def test_a_shorter_limit_is_a_prefix(model: LoadedModel) -> None:
    short = tokens(model, PROMPTS, max_new_tokens=5)
    long = tokens(model, PROMPTS, max_new_tokens=25)
    assert [row[:5] for row in long] == short


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_stream_joins_to_the_text(model: LoadedModel, prompt: str) -> None:
    options = {"max_new_tokens": 24, "temperature": 1.0}
    (row,) = model.generate([prompt], seed=1, **options)
    assert "".join(model.stream(prompt, seed=1, **options)) == row.text


def test_a_prompt_longer_than_any_row_in_training_is_continued(model: LoadedModel) -> None:
    limit = model.spec.training.max_tokens
    long = "Bob is a painter. " * 60
    assert len(model.tokenizer.encode(long)) > 2 * limit
    with pytest.warns(UserWarning, match=f"the prompt is longer .* last {limit} tokens are heard"):
        (row,) = model.generate([long], max_new_tokens=limit + 10)
    assert len(row.tokens) == limit + 10 or row.finish == "end"


def test_prompts_that_are_not_heard_whole_are_told_once_a_call_to_the_caller(
    model: LoadedModel,
) -> None:
    limit = model.spec.training.max_tokens
    tokens = model.tokenizer.encode("Bob is a painter. " * 60)
    whole, cut = (model.tokenizer.decode(tokens[:n]) for n in (limit // 2, 2 * limit))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.generate([whole, ""], max_new_tokens=2)
    with pytest.warns(UserWarning, match="2 of 4 prompts are longer") as told:
        model.generate([whole, cut, "", cut], max_new_tokens=2)
    assert len(told) == 1 and told[0].filename == __file__
    with pytest.warns(UserWarning, match="the prompt is longer") as told:
        assert "".join(model.stream(cut, max_new_tokens=2)) is not None
    assert len(told) == 1 and told[0].filename == __file__


def test_nothing_to_continue_gives_nothing(model: LoadedModel) -> None:
    assert model.generate([]) == []


def test_steps_and_guidance_reach_the_prior(model: LoadedModel) -> None:
    latents = [
        model.sample_latents(2, 3, options=GenerationOptions(steps=n, guidance=g).latents)
        for n, g in ((1, 1.0), (4, 1.0), (4, 3.0))
    ]
    assert all(drawn.shape == (2, 12, 4) for drawn in latents)
    assert not latents[0].allclose(latents[1])
    # The first block has no history, so there is nothing to guide by.
    assert latents[1][:, :4].allclose(latents[2][:, :4])
    assert not latents[1][:, 4:].allclose(latents[2][:, 4:])


def test_none_keeps_an_option() -> None:
    options = GenerationOptions(steps=3, top_k=5)
    assert options.but(steps=None, guidance=2.0) == GenerationOptions(
        steps=3, guidance=2.0, top_k=5
    )
    with pytest.raises(TypeError, match="tepms"):
        options.but(tepms=1)


def test_tokens_go_in_and_come_out_without_text(model: LoadedModel) -> None:
    generator = TextGenerator(model.model, model.tokenizer)
    prompts = model.tokenizer.encode_batch(["The", ""])
    rows = generator.generate_tokens(prompts, model.options)
    assert [tuple(new) for new, _ in rows] == tokens(model, ["The", ""])
