"""The latent model in use: its parts, prompts, and what comes back of a text."""

from __future__ import annotations

import torch
from small_models import DIM, END, rows, small_model

from colaflex.experiment.result import parameter_counts
from colaflex.interfaces.values import TokenBatch
from colaflex.latent.segments import encode_prompts
from colaflex.spec.training import Training, Weights


def test_parts_partition_the_model() -> None:
    model = small_model(prior="rectified_flow")
    parts = model.parts()
    assert set(parts) == {"segmenter", "representation", "prior"}
    counted = [id(p) for part in parts.values() for p in part.parameters()]
    assert sorted(counted) == sorted(map(id, model.parameters()))
    assert model.log_likelihood(rows([4])) is None


def test_what_is_frozen_counts_nowhere() -> None:
    plain = small_model()
    counts = parameter_counts(plain)
    helped = small_model(Training(weights=Weights(reference_kl=0.1)), prior="rectified_flow")
    # A reference encoder and a teacher are there, and learn nothing.
    assert helped.reference is not None
    sizes = {name: p.numel() for name, p in helped.named_parameters()}
    learning = {g for s in helped.stages() for group in s.groups for g in group.parameters}
    assert parameter_counts(helped) == counts
    assert (
        counts["total"]
        == sum(p.numel() for p in learning)
        == sum(p.numel() for p in plain.parameters())
    )
    frozen = sum(
        n for name, n in sizes.items() if name.startswith(("reference.", "prior.teacher."))
    )
    assert sum(sizes.values()) == counts["total"] + frozen
    assert frozen > counts["representation"] > 0


@torch.no_grad()
def test_prompts_are_encoded_each_on_its_own() -> None:
    model = small_model().double()
    prompts = [[2, 3, 4, 5, 6], [], list(range(2, 12)) * 4, [7]]
    latents, counts = encode_prompts(model, prompts)
    assert counts.tolist() == [3, 0, 12, 1]
    assert encode_prompts(model, [[], []])[0].shape == (2, 0, DIM)
    for row, prompt in enumerate(prompts):
        alone, count = encode_prompts(model, [prompt])
        own = latents[row, : int(count[0])]
        torch.testing.assert_close(alone[0, : int(count[0])], own, atol=1e-9, rtol=0)
    heard, _ = encode_prompts(model, [prompts[2][-24:]])
    torch.testing.assert_close(heard[0], latents[2, :12], atol=1e-9, rtol=0)


@torch.no_grad()
def test_reconstruction_counts_what_comes_back() -> None:
    model = small_model()
    batch = rows([7, 4, 1, 5], [True, True, True, False])
    found = model.reconstruct(batch)
    assert found.counted.tolist() == [7, 4, 1, 5]
    for row, heard in enumerate([8, 4, 2, 5]):  # a document's last segment is filled up
        tokens = torch.nn.functional.pad(batch.tokens, (0, 1))[row : row + 1, :heard]
        latents, _ = model.encode(TokenBatch(tokens, torch.tensor([heard]), batch.complete[:1]))
        logits = model.representation.decode(model.raw(latents.values))[0].flatten(0, 1)
        length = int(batch.lengths[row])
        target = tokens[0, :length]
        nll = -logits[:length].log_softmax(-1).gather(1, target[:, None]).sum()
        torch.testing.assert_close(found.nll[row], nll)
        assert int(found.correct[row]) == int((logits[:length].argmax(-1) == target).sum())
        assert END not in found.tokens[row]


def test_the_first_line_of_its_repr_says_what_it_is_made_of() -> None:
    model = small_model()
    first, *tree = repr(model).splitlines()
    counts = parameter_counts(model)
    assert first == (
        f"LatentLanguageModel: segmenter FixedPatch (0 parameters), "
        f"representation TextVAE ({counts['representation']:,} parameters), "
        f"prior FlowMatching ({counts['prior']:,} parameters)"
    )
    assert tree[0] == "LatentLanguageModel("
    assert any(line.startswith("  (prior): FlowMatching(") for line in tree)
