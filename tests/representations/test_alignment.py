"""Alignment to a frozen encoder: a closed form, gradients, targets, and nothing by default."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from encoders import write
from torch import nn

import colaflex
from colaflex.host.registry import registry
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.spec.training import Training

pytest.importorskip("transformers", reason="needs pip install 'colaflex[hf]'")

WORDS = ("<end>", "<mask>", "In", " the", " beginning", " was", " wo", "rd", " good", ".")
VOCABULARY = Vocabulary(len(WORDS), end_of_text=0, mask=1, texts=WORDS)
SEGMENTS = Segmentation(torch.tensor([[2, 2, 2, 1], [2, 1, 0, 0]]))
# "In the | beginning was | word | <end>" and "the word | ."
TOKENS = TokenBatch(
    torch.tensor([[2, 3, 4, 5, 6, 7, 0], [3, 8, 9, 0, 0, 0, 0]]),
    torch.tensor([7, 3]),
    torch.ones(2, dtype=torch.bool),
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write("frozen_bert", tmp_path_factory.mktemp("bert"))


def build(name: str = "text_vae", **options: Any) -> Any:
    torch.manual_seed(0)
    shape = {"width": 16, "heads": 2, "embedding_dim": 8, "latent_dim": 4}
    return colaflex.build(
        "representation", name, vocabulary=VOCABULARY, max_segment_tokens=2, **{**shape, **options}
    ).double()


def test_targets_are_means_over_the_tokens_of_a_segments_characters(bert: str) -> None:
    made = build(alignment={"encoder": bert, "hidden_width": 8}).alignment
    like = torch.zeros((), dtype=torch.float64)
    targets, told = made.targets(TOKENS, SEGMENTS, like)
    assert told.tolist() == [[True, True, True, False], [True, True, False, False]]
    encoder, backend = made.frozen
    item = backend.encode("In the beginning was word")
    states = encoder.states(torch.tensor([item.ids]), torch.ones(1, len(item.ids)) > 0)[0]
    of_words = [[i for i, w in enumerate(item.word_ids) if w in ws] for ws in ({0, 1}, {2, 3}, {4})]
    for found, tokens in zip(targets[0], of_words, strict=False):
        torch.testing.assert_close(found, states[tokens].mean(0), atol=1e-9, rtol=0)


def test_its_least_is_zero_where_the_projection_hits_the_targets(bert: str) -> None:
    made = build(alignment={"encoder": bert, "hidden_width": 8}).alignment
    targets, told = made.targets(TOKENS, SEGMENTS, torch.zeros((), dtype=torch.float64))
    made.project = nn.Identity()
    # Cosines know no length; five segments have text.
    assert made(3 * targets, TOKENS, SEGMENTS).item() == pytest.approx(0, abs=1e-9)
    assert made(-targets, TOKENS, SEGMENTS).item() == pytest.approx(2 * 5, abs=1e-9)
    assert int(told.sum()) == 5


@pytest.mark.parametrize("name", ["text_vae", "text_ae"])
def test_its_gradient_reaches_the_encoder_and_never_the_frozen_one(name: str, bert: str) -> None:
    made = build(name, alignment={"encoder": bert, "weight": 0.7, "hidden_width": 8})
    term = made.losses(TOKENS, SEGMENTS, Noise(0)).losses["alignment"]
    assert (term.per, term.weight) == ("latents", 0.7)
    term.total.backward()
    for learned in (made.embedding.weight, made.join.weight, made.alignment.project[0].weight):
        assert learned.grad is not None and bool(learned.grad.any())
    frozen = list(made.alignment.frozen[0].model.parameters())
    assert not any(p.requires_grad for p in frozen)
    assert not any("frozen" in key or "pretrained" in key for key in made.state_dict())
    assert 0 < made.frozen_flops(2, 4) < made.flops(2, 4)


@pytest.mark.parametrize("name", ["text_vae", "text_ae"])
def test_without_it_everything_is_as_it_was_to_the_bit(name: str, bert: str) -> None:
    plain, aligned = build(name), build(name, alignment={"encoder": bert, "hidden_width": 8})
    state = aligned.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
    assert set(state) - set(plain.state_dict()) == {
        f"alignment.project.{i}.{part}" for i in (0, 2) for part in ("weight", "bias")
    }
    one, other = (made.losses(TOKENS, SEGMENTS, Noise(0)).losses for made in (plain, aligned))
    assert set(other) - set(one) == {"alignment"} and plain.frozen_flops(2, 4) == 0
    assert all(torch.equal(one[key].total, other[key].total) for key in one)


def test_latents_do_not_hear_the_frozen_encoder(bert: str) -> None:
    made = build(alignment={"encoder": bert, "hidden_width": 8})
    made.encode(TOKENS, SEGMENTS)
    assert made.alignment._frozen is None  # it is not even loaded


def test_a_resting_representation_aligns_nothing_and_pays_nothing_for_it(bert: str) -> None:
    segments = registry().config("segmenter", {"type": "fixed_patch", "size": 2})
    costs = []
    for options in ({}, {"alignment": {"encoder": bert, "hidden_width": 8}}):
        representation = build(mask_weight=0.0, **options)
        model = LatentLanguageModel(
            registry().build(segments),
            representation,
            colaflex.build("prior", "flow_matching", latent_dim=4, block_size=1),
            VOCABULARY,
            segments.capabilities(),
            training=Training(regime="frozen"),
        )
        costs.append({stage.name: stage.flops(TOKENS) for stage in model.stages()})
    (plain, aligned), frozen = costs, representation.frozen_flops(2, 4)
    assert aligned["representation"] - plain["representation"] > frozen
    # The projection alone is counted, by half as the decoder is.
    project = representation.alignment.flops(2, 4)
    assert aligned["prior"] - plain["prior"] == project // 2 < frozen
