"""Two levels of segments: where the coarse ones stand, and that nothing later is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import colaflex
from colaflex.errors import UserError
from colaflex.host.registry import registry
from colaflex.interfaces.levels import (
    coarse_places,
    fine_lengths,
    fine_places,
    levelled,
    places_of,
    spread,
)
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.spec import Spec

END = 0
TEXTS = ("", " the", " word", ".", "s", " more", ",", " and")
VOCABULARY = Vocabulary(len(TEXTS), end_of_text=END, mask=4, texts=TEXTS)
FINE = ({"type": "fixed_patch", "size": 2}, {"type": "phrase", "max_tokens": 4})


def build(config: Any) -> Any:
    found = registry().config("segmenter", config)
    needed = {"vocabulary": VOCABULARY} if found.capabilities().needs_vocabulary else {}
    return registry().build(found, **needed)


@st.composite
def batches(draw: Any) -> TokenBatch:
    lengths = draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    width = max(lengths)
    rows = [
        draw(st.lists(st.integers(1, 7), min_size=width, max_size=width))
        for _ in range(len(lengths))
    ]
    marks = [
        draw(st.lists(st.sampled_from((False, False, True)), min_size=width, max_size=width))
        for _ in range(len(lengths))
    ]
    count, tokens = torch.tensor(lengths), torch.tensor(rows)
    tokens[torch.arange(width) >= count[:, None]] = END
    ends = torch.ones(len(lengths), dtype=torch.bool)
    return TokenBatch(tokens, count, ends, torch.tensor(marks))


@settings(max_examples=50)
@given(batches(), st.integers(1, 5), st.sampled_from(FINE))
def test_a_coarse_segment_stands_before_every_run_of_fine_ones(
    batch: TokenBatch, run: int, fine: Any
) -> None:
    inner = build(fine).segment(batch)
    both = build({"type": "pyramid", "run": run, "fine": fine}).segment(batch)
    assert both.lengths.sum(1).tolist() == batch.lengths.tolist()
    for row in range(len(batch.lengths)):
        expected: list[tuple[int, int]] = []
        for i, length in enumerate(inner.lengths[row, : int(inner.count[row])].tolist()):
            expected += [(0, 1)] * (i % run == 0) + [(length, 0)]
        exists = both.mask[row]
        found = zip(
            both.lengths[row, exists].tolist(), both.level[row, exists].tolist(), strict=True
        )
        assert list(found) == expected
        assert not exists[len(expected) :].any() and both.count[row] == len(expected)
    # What the fine segments hold is found in the same slots.
    grid, held = both.slots(batch.tokens, 4)
    inner_grid, inner_held = inner.slots(batch.tokens, 4)
    assert torch.equal(grid[held], inner_grid[inner_held])


@settings(max_examples=30)
@given(batches(), st.integers(1, 5), st.sampled_from(FINE))
def test_a_text_cut_short_has_the_segments_that_it_has_within_the_whole(
    batch: TokenBatch, run: int, fine: Any
) -> None:
    segmenter = build({"type": "pyramid", "run": run, "fine": fine})
    whole = segmenter.segment(batch)
    starts = (whole.lengths.cumsum(1) - whole.lengths).masked_fill(~whole.mask, 99)
    for cut in range(1, batch.tokens.shape[1]):
        lengths = batch.lengths.clamp(max=cut)
        part = segmenter.segment(
            TokenBatch(batch.tokens[:, :cut], lengths, batch.complete, batch.forced[:, :cut])
        )
        for row, length in enumerate(lengths.tolist()):
            kept = starts[row][starts[row] < length].tolist()
            begun = (part.lengths.cumsum(1) - part.lengths)[row, part.mask[row]].tolist()
            assert begun == kept
            assert torch.equal(part.level[row, part.mask[row]], whole.level[row, : len(kept)])


@given(st.integers(1, 6), st.lists(st.integers(1, 9), max_size=20))
def test_places_of_both_levels(group: int, lengths: list[int]) -> None:
    fine = torch.tensor([lengths], dtype=torch.int64)
    places = places_of(len(lengths), group)
    both = spread(fine, group)
    assert both.shape[1] == places
    assert torch.equal(fine_lengths(both, group), fine)
    assert fine_places(places, group) == len(lengths)
    coarse = coarse_places(torch.arange(places), group)
    assert int(coarse.sum()) == places - len(lengths)
    segmentation = levelled(both, group)
    assert segmentation.mask.all()
    level = torch.zeros(1, places) if segmentation.level is None else segmentation.level
    assert torch.equal(level[0] > 0, coarse)


def test_a_learned_segmenter_of_fine_segments_learns_as_alone() -> None:
    fine = {"type": "entropy", "width": 16, "layers": 1, "heads": 2}
    pyramid = build({"type": "pyramid", "fine": fine})
    tokens = torch.randint(1, 8, (2, 12), generator=torch.Generator().manual_seed(0))
    batch = TokenBatch(tokens, torch.tensor([12, 7]), torch.tensor([True, True]))
    cut, alone = pyramid.segment(batch), pyramid.fine.segment(batch)
    ours, theirs = pyramid.losses(batch, cut), pyramid.fine.losses(batch, alone)
    assert {name: term.total.item() for name, term in ours.items()} == {
        name: term.total.item() for name, term in theirs.items()
    }
    assert pyramid.flops(2, 12) == pyramid.fine.flops(2, 12) > 0
    config = registry().config("segmenter", {"type": "pyramid", "fine": fine})
    declared = config.capabilities()
    assert declared.learned and declared.variable and declared.needs_vocabulary
    assert (declared.levels, declared.group) == (2, 4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"segmenter": {"type": "pyramid", "run": 2}},
            "prior.block_size: a block of 4 would separate a coarse latent from its run: the "
            "segmenter pyramid has groups of 3; choose a multiple of 3: 3 or 6",
        ),
        (
            {"segmenter": {"type": "pyramid", "run": 6}},
            "choose a multiple of 7: 7",
        ),
        (
            {"segmenter": "pyramid", "representation": "token_embedding"},
            "the representation token_embedding can't read segments of 2 levels; choose",
        ),
        (
            {"segmenter": {"type": "pyramid", "fine": "pyramid"}},
            "fine: pyramid has 2 levels itself; choose a segmenter of one, e.g. fixed_patch",
        ),
        (
            {"segmenter": {"type": "pyramid", "fine": "fixed_path"}},
            "segmenter.fine: unknown segmenter 'fixed_path'; did you mean 'fixed_patch'?",
        ),
    ],
)
def test_what_can_not_work_is_refused_with_the_reason(change: Any, told: str, tiny: Path) -> None:
    with pytest.raises(UserError) as error:
        Spec.load(tiny).override(change)
    assert told in str(error.value)


def test_two_priors_on_one_representation_of_two_levels(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    small = {"samples": 2, "documents": 2, "sweep_steps": [], "sweep_guidance": []}
    changes = {
        "segmenter": {"type": "pyramid", "run": 1, "fine": {"type": "fixed_patch", "size": 4}},
        "evaluation": small,
        "training": {"steps": 4},
    }
    reused = []
    for prior in ("flow_matching", "rectified_flow"):
        spec = Spec.load(tiny).override({**changes, "prior": {"type": prior}})
        result = colaflex.run(spec, tmp_path / prior)
        reused.append(result["training"]["stages"][0]["reused"])
        metrics = {name: row["value"] for name, row in result["metrics"].items()}
        assert metrics["reconstruction.nll"] > 0
        # A block of 4 places holds 2 fine segments of 4 tokens.
        per_block = metrics["speed.network_evaluations_per_block"]
        assert metrics["speed.network_evaluations_per_token"] == per_block / 8
        assert '"loss.coarse"' in (tmp_path / prior / "metrics.jsonl").read_text()
        model = colaflex.load(tmp_path / prior)
        alone = model.generate(["The"], max_new_tokens=11, seed=1)[0]
        assert alone == model.generate(["And so it was", "The"], max_new_tokens=11, seed=1)[1]
    assert reused == [False, True]
