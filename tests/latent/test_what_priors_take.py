"""Whole models whose priors take what representations offer: trained, loaded, generating."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import colaflex
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.latent.segments import committed, encode_segments, open_rows, prompt_segments
from colaflex.priors.block_sampling import BlockSampler, PinnedNoise
from colaflex.spec import Spec

TAKES = {
    "prior.readout": "auto",
    "prior.history": "auto",
    "evaluation.samples": 2,
    "evaluation.sweep_steps": [],
    "evaluation.sweep_guidance": [],
    "evaluation.sweep_drawn_steps": [2],
    "evaluation.sweep_sampling": {"renoise": ["ddpm"], "noise_temperature": [0.5]},
    "evaluation.sweep_samples": 2,
}
PARTS: dict[str, dict[str, Any]] = {
    "text_vae": {},
    "text_ae": {"representation": "text_ae"},
    "resampler": {"representation": "resampler", "segmenter.size": 4},
    "token_embedding": {"representation": "token_embedding", "segmenter.size": 1},
    "variable segments": {"segmenter": {"type": "phrase", "max_tokens": 4}},
    "two levels": {"segmenter": {"type": "pyramid", "run": 3, "fine": "fixed_patch"}},
    "shared": {"representation.readout.embeddings": "shared"},
    "frozen, shortcut": {"representation.readout.embeddings": "frozen", "prior": "shortcut"},
    "joint": {"training.regime": "joint"},
    "chained": {"prior.readout": "chained"},
    "block_recurrent": {"prior.readout": "block_recurrent", "prior.block_size": 3},
    "recurrent": {"prior.readout": "recurrent", "representation.readout.draw_weight": 0.5},
    "second head, joint": {"prior.readout": "second_head", "training.regime": "joint"},
}
PROMPTS = ["The", "The painter walked to the", "", "Anna was in the garden and"]


@pytest.fixture(scope="module", params=PARTS, ids=lambda name: name.replace(" ", "_"))
def run(request: Any, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("takes") / "run"
    spec = Spec.load(tiny).override(TAKES).override(PARTS[request.param])
    colaflex.run(spec, folder)
    return folder


def test_a_loaded_model_generates_and_no_row_hears_another(run: Path) -> None:
    model = colaflex.load(run)
    assert model.model.prior.needs_content
    for options in ({}, {"reencode": True}, {"guidance": 1.5}):
        made = model.generate(PROMPTS, seed=1, max_new_tokens=20, steps=2, **options)
        for prompt, row in zip(PROMPTS, made, strict=True):
            (alone,) = model.generate([prompt], seed=1, max_new_tokens=20, steps=2, **options)
            assert alone.tokens == row.tokens
    assert model.generate(PROMPTS, seed=1, max_new_tokens=20, steps=2) == model.generate(
        PROMPTS, seed=1, max_new_tokens=20, steps=2
    )


def test_a_run_tells_how_drawn_estimates_fare(run: Path) -> None:
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    prior = colaflex.load(run).spec.prior
    assert prior is not None
    drawing = ("auto", "chained", "recurrent", "block_recurrent")
    draws = prior.capabilities().estimates and prior.readout in drawing
    for name in ("valid_sentences", "distinct_documents", "coherent_documents"):
        assert (f"generation.at_drawn_steps.2.{name}" in metrics) == draws
    if draws:
        assert metrics["speed.at_drawn_steps.2.network_evaluations_per_block"]["value"] == 2
    assert (
        "generation.at_renoise.ddpm.valid_sentences" in metrics
    ) == prior.capabilities().estimates
    assert "generation.at_noise_temperature.0.5.valid_sentences" in metrics


def test_a_sample_may_end_in_what_is_drawn(run: Path) -> None:
    prior: Any = colaflex.load(run).model.prior
    if not (prior.config.capabilities().estimates and hasattr(prior.head, "embedding")):
        return
    options = SamplingOptions(steps=1, estimate="draw", end="draw", estimate_temperature=0.7)
    keys, state = SampleNoise(("a", "b", "c")), prior.begin(3)
    shape = (prior.block_size, prior.latent_dim)
    with torch.no_grad():
        ended = prior.sample_block(state, keys, options)
        draw = PinnedNoise(keys, shape, prior.lift.weight, None)
        estimate = BlockSampler(prior.denoiser, state).estimates(keys, 0.7)
        assert torch.equal(ended, estimate(0, torch.tensor(1.0), draw(0)))
        mean = prior.sample_block(state, keys, replace(options, end="mean"))
    assert not torch.equal(ended, mean)


def test_latents_are_sampled_block_by_block(run: Path) -> None:
    model = colaflex.load(run)
    drawn = model.sample_latents(2, 3, seed=1)
    block, dim = model.model.prior.block_size, model.model.representation.latent_dim
    assert drawn.shape == (2, 3 * block, dim)
    assert drawn.equal(model.sample_latents(2, 3, seed=1))
    torch.testing.assert_close(drawn[:1], model.sample_latents(1, 3, seed=1), atol=1e-4, rtol=0)


def test_a_prompt_is_read_as_training_reads_it(run: Path) -> None:
    """What a prefix is told of a prompt's segments is what training tells of the same ones."""
    model = colaflex.load(run).model
    tokens = [5, 9, 17, 33, 8, 61, 12]
    (segments,) = prompt_segments(model, [tokens])
    told: list[torch.Tensor] = []
    kept = model.prior.commit_told
    model.prior.commit_told = lambda state, z, content, counts=None: told.append(content)
    latents, counts = encode_segments(model, [segments])
    committed(model, model.prior.begin(1), latents, [segments], counts)
    model.prior.commit_told = kept
    batch = open_rows(model, [tokens])
    expected = model.representation.content(batch, model.cut(batch))
    count = int(counts[0])
    assert torch.equal(told[0][:, :count], expected[:, :count])


def test_a_way_of_sampling_that_a_model_has_not_is_one_message(
    colaflex_command: Callable[..., Any], tiny: Path, finished: Path, tmp_path: Path
) -> None:
    linear = tmp_path / "linear"
    assert colaflex_command("run", tiny, "--set", "prior.readout=linear", "--out", linear).code == 0
    done = colaflex_command("generate", linear, "--estimate", "draw")
    assert done.code == 2 and "linear readout says nothing" in done.err
    done = colaflex_command("generate", finished, "--estimate", "mode")
    assert done.code == 2 and "--estimate: expected" in done.err
    assert colaflex_command("generate", finished, "--renoise", "0.5").code == 0
    knobs = ("--renoise", "ddpm", "--noise-temperature", "0.9", "--guidance-law", "data_end")
    more = ("--guidance", "2", "--guidance-interval", "0", "0.5")
    assert colaflex_command("generate", finished, *knobs, *more).code == 0
    done = colaflex_command("generate", finished, "--guidance-interval", "0.5", "0")
    assert done.code == 2 and "--guidance-interval: expected" in done.err


def test_readout_options_are_no_part_of_stage_one(tiny: Path) -> None:
    spec = Spec.load(tiny)
    other = spec.override({"representation.readout.weight": 0.5})
    assert spec.stage1_digest() == other.stage1_digest()
    assert spec.digest() != other.digest()
