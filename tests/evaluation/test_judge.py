from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from colaflex.errors import RunFailure, UserError
from colaflex.evaluation.judge import Judge, JudgeNetwork, JudgeSettings
from colaflex.evaluation.judge_training import train_judge
from colaflex.interfaces.metric import Measurement

END, SIZE = 0, 12
SMALL = JudgeSettings(steps=60, width=32, layers=2, heads=2, batch_size=8, max_tokens=16)


def cycles(count: int, seed: int = 0) -> list[list[int]]:
    """Documents that count upwards in a circle of ten tokens, from a random one on."""
    rng = np.random.default_rng(seed)
    starts, sizes = rng.integers(0, 10, count), rng.integers(5, 15, count)
    return [
        [*((start + np.arange(size)) % 10 + 1).tolist(), END]
        for start, size in zip(starts, sizes, strict=True)
    ]


def untrained(max_tokens: int = 8) -> Judge:
    torch.manual_seed(0)
    settings = JudgeSettings(width=16, layers=2, heads=2, max_tokens=max_tokens)
    network = JudgeNetwork(SIZE, 16, 2, 2, max_tokens)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Judge(network, settings, END, Measurement(0.0, 0.0, 0.0, 1))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path))
    return tmp_path


def per_token(judge: Judge, documents: list[list[int]]) -> float:
    scores = judge.nll(documents)
    return sum(nll for nll, _ in scores) / sum(tokens for _, tokens in scores)


def test_it_learns_is_cached_and_is_the_same_again(cache: Path):
    seen: list[int] = []
    state = torch.random.get_rng_state()
    judge = train_judge(cycles(200), SIZE, END, SMALL, lambda step, *_: seen.append(step))
    assert torch.equal(state, torch.random.get_rng_state())
    test, shuffled = cycles(50, 1), [sorted(d, reverse=True) for d in cycles(50, 1)]
    # The start costs log 10 once; where it ends is worth about log 10 over the document.
    assert per_token(judge, test) < 1.0 < math.log(SIZE) < per_token(judge, shuffled)
    assert judge.held_out.low < judge.held_out.value < judge.held_out.high < 1.0
    assert judge.held_out.n == 20
    assert seen[:3] == [1, 2, 3]
    assert seen[-1] == SMALL.steps

    (path,) = (cache / "judges").iterdir()
    seen.clear()
    cached = train_judge(cycles(200), SIZE, END, SMALL, lambda step, *_: seen.append(step))
    assert not seen
    assert (cached.nll(test), cached.held_out) == (judge.nll(test), judge.held_out)

    path.write_bytes(path.read_bytes()[:100])
    again = train_judge(cycles(200), SIZE, END, SMALL)
    assert (again.nll(test), again.held_out) == (judge.nll(test), judge.held_out)
    train_judge(cycles(40), SIZE, END, JudgeSettings(steps=1, width=16, layers=1, heads=1))
    assert len(list((cache / "judges").iterdir())) == 2


def test_probabilities_sum_to_one():
    judge = untrained()
    for context in ([], [3], [3, 1, 4, 1, 5]):
        before = judge.nll([context])[0][0]
        nll = [judge.nll([[*context, token]])[0][0] - before for token in range(SIZE)]
        assert sum(map(math.exp, (-x for x in nll))) == pytest.approx(1, abs=1e-5)


def test_a_score_does_not_depend_on_the_other_documents():
    judge, documents = untrained(), cycles(12)
    together = judge.nll(documents)
    alone = [judge.nll([document])[0] for document in documents]
    assert [n for _, n in together] == [len(d) for d in documents]
    assert [x for x, _ in together] == pytest.approx([x for x, _ in alone], abs=1e-4)
    assert judge.nll([[]]) == [(0.0, 0)]
    assert judge.nll([]) == []


@pytest.mark.parametrize("length", [1, 7, 8, 9, 11, 12, 13, 16, 17, 40])
def test_windows_score_every_token_once_with_half_a_row_before_it(length: int):
    judge = untrained(max_tokens=8)
    document = np.random.default_rng(length).integers(1, SIZE, length).tolist()
    full = [END, *document]
    expected = 0.0
    for i in range(1, len(full)):
        # Token i stands in the first window that reaches it; windows move by half a row.
        start = 0 if i <= 8 else 4 * math.ceil((i - 8) / 4)
        history = torch.tensor([full[start:i]])
        with torch.no_grad():
            log_p = judge._network(history)[0, -1].log_softmax(-1)
        expected -= float(log_p[full[i]])
    assert judge.nll([document])[0] == (pytest.approx(expected, abs=1e-4), length)


def test_a_training_that_diverges_is_not_kept(cache: Path):
    settings = dataclasses.replace(SMALL, steps=3, learning_rate=1e30)
    with pytest.raises(RunFailure, match="never finite"):
        train_judge(cycles(30), SIZE, END, settings)
    assert not (cache / "judges").exists()


def test_a_cache_that_cannot_be_written_is_named(cache: Path):
    (cache / "judges").write_text("in the way")
    with pytest.raises(RunFailure, match="judges"):
        train_judge(cycles(30), SIZE, END, dataclasses.replace(SMALL, steps=1))


def test_too_few_documents():
    with pytest.raises(UserError, match=r"19 documents.*evaluation\.judge\.enabled"):
        train_judge(cycles(19), SIZE, END, SMALL)
