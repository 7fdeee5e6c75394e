"""Everything that is measured of a model, on a corpus small enough to count by hand."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

import colaflex
from colaflex.corpora.token_index import prepare_data
from colaflex.errors import UserError
from colaflex.evaluation.evaluate import Evaluator
from colaflex.evaluation.judge import JudgeSettings
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.host.registry import registry
from colaflex.interfaces.corpus import Corpus, Document, Truth
from colaflex.interfaces.metric import Measurement
from colaflex.latent.model import LatentModel
from colaflex.metrics.names import ROWS
from colaflex.statistics.intervals import proportion

PLAN = EvaluationPlan(
    samples=4,
    documents=5,
    sweep_steps=(1,),
    sweep_guidance=(2.0,),
    sweep_samples=2,
    bootstrap=100,
    max_tokens=64,
    likelihood=False,
)


@pytest.fixture(scope="module")
def evaluator(finished: Path) -> Evaluator:
    model = colaflex.load(finished)
    corpus = registry().build(model.spec.corpus)
    data = prepare_data(corpus, path=str(finished / "tokenizer.json"))
    return Evaluator(model.model, data, corpus, model.options.but(max_new_tokens=20), PLAN)


def with_plan(evaluator: Evaluator, **changes: object) -> Evaluator:
    plan = PLAN.model_copy(update=changes)
    return Evaluator(evaluator.model, evaluator.data, evaluator.corpus, evaluator.options, plan)


def test_reconstruction_reads_so_many_documents(evaluator: Evaluator) -> None:
    found = evaluator.reconstruction().metrics
    documents = [evaluator.held_out.document(i) for i in range(5)]
    tokens = sum(len(document) + 1 for document in documents)
    assert found["reconstruction.token_accuracy"].n == 5
    nll = found["reconstruction.nll"]
    bits = found["reconstruction.bits_per_byte"]
    size = int(evaluator.held_out.bytes[:5].sum())
    assert bits.value * size == pytest.approx(nll.value * tokens / 0.6931471805599453, rel=1e-6)
    assert nll.low < nll.value < nll.high


def test_without_samples_no_text_is_generated(evaluator: Evaluator) -> None:
    found = with_plan(evaluator, samples=0).run()
    assert found.samples == []
    assert {name.split(".")[0] for name in found.metrics} == {"reconstruction", "denoising"}


def test_where_a_law_that_followed_the_training_lies_is_measured(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that has seen nothing: its base, logit-normal about 1."""
    fixed = with_plan(evaluator, samples=0).run().metrics
    assert "denoising.mostly_noise" not in fixed
    adaptive = colaflex.build("schedule", "adaptive", latent_dim=8, bins=512)
    monkeypatch.setitem(evaluator.model.prior._modules, "schedule", adaptive)
    found = with_plan(evaluator, samples=0).run().metrics
    assert found.keys() - fixed.keys() == {
        "denoising.mostly_noise",
        *(f"denoising.at_logit_time.{at}.times" for at in range(-4, 5)),
    }
    # Phi((1 - ln 9)), and of the unit about the middle.
    assert found["denoising.mostly_noise"].value == pytest.approx(0.1156, abs=1e-3)
    assert found["denoising.at_logit_time.1.times"].value == pytest.approx(0.3829, abs=1e-3)


def test_rows_stand_beside_each_other(evaluator: Evaluator) -> None:
    arguments = (evaluator.model, evaluator.data, evaluator.corpus)
    found = Evaluator(*arguments, evaluator.options.but(max_new_tokens=200), PLAN).run()
    by_source: dict[str, list[dict[str, object]]] = {}
    for sample in found.samples:
        by_source.setdefault(str(sample["source"]), []).append(sample)
    assert {source: len(rows) for source, rows in by_source.items()} == dict.fromkeys(
        ("model", "real", "oracle_latents", "trigram", "bigram", "unigram"), 4
    )
    real = evaluator.data.tokenizer.decode_batch([evaluator.held_out.document(i) for i in range(4)])
    assert [row["text"] for row in by_source["real"]] == real
    assert found.metrics["generation.real.valid_sentences"].value == 1.0
    assert found.metrics["generation.brier_lm"].n == 5


def test_texts_by_the_decoder_before_its_adaptation_stand_beside_the_others(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = evaluator.model
    assert isinstance(model, LatentModel)
    before = with_plan(evaluator).run()
    kept = copy.deepcopy(model.representation)
    monkeypatch.setitem(model._modules, "unadapted", kept)
    monkeypatch.delitem(vars(model), "unadapted", raising=False)
    with torch.no_grad():  # an adaptation for the worse: it says one thing all the time
        kept_bias = model.representation.unembedding.bias.clone()
        model.representation.unembedding.bias[65] += 100
    try:
        after = with_plan(evaluator).run()
    finally:
        model.representation.unembedding.bias.data.copy_(kept_bias)
    texts = [
        {s: [r["tokens"] for r in e.samples if r["source"] == s] for s in ROWS}
        for e in (before, after)
    ]
    assert texts[1]["unadapted"] == texts[0]["model"] != texts[1]["model"]
    assert texts[1]["oracle_unadapted"] == texts[0]["oracle_latents"] != texts[1]["oracle_latents"]
    name = "valid_sentences"
    for old, new in (("", "unadapted."), ("oracle_latents.", "oracle_unadapted.")):
        there = before.metrics[f"generation.{old}{name}"]
        assert after.metrics[f"generation.{new}{name}"] == there
    assert not any("unadapted" in each for each in before.metrics)


class Vowels(Truth):
    """A stranger's corpus knows that its documents begin with a vowel."""

    def measure(self, texts: Sequence[str], resamples: int = 1000) -> dict[str, Measurement]:
        return {"vowels": proportion([text[:1].lower() in "aeiou" for text in texts])}

    def references(self, real: Sequence[str]) -> dict[str, list[str]]:
        return {"marked": [f"A {text}" for text in real]}


class Stranger(Corpus):
    def documents(self) -> Iterator[Document]:
        yield Document("An apple.", "train")

    def fingerprint(self) -> str:
        return "stranger"

    def truth(self) -> Truth:
        return Vowels()


def test_a_strangers_corpus_measures_texts_itself(evaluator: Evaluator) -> None:
    arguments = (evaluator.model, evaluator.data, Stranger(), evaluator.options)
    found = (
        Evaluator(*arguments, PLAN.model_copy(update={"judged_by": JudgeSettings()})).run().metrics
    )
    rows = ("model", "real", "oracle_latents", "trigram", "bigram", "unigram", "marked")
    names = {f"generation.{row}.vowels".replace(".model.", ".") for row in rows}
    assert names < set(found)
    assert found["generation.marked.vowels"].value == 1.0
    assert {found[name].n for name in names} == {PLAN.samples}
    assert "generation.at_steps.1.vowels" in found
    assert not any("judge" in name or "known_words" in name for name in found)


def test_the_same_evaluation_twice_gives_the_same(evaluator: Evaluator) -> None:
    once, again = evaluator.run(), evaluator.run()
    assert once.samples == again.samples
    quality = [n for n in once.metrics if not n.startswith("speed.")]
    assert all(once.metrics[name] == again.metrics[name] for name in quality)


def test_samples_can_continue_held_out_text(evaluator: Evaluator) -> None:
    found = with_plan(evaluator, prompt_tokens=3, samples=3).run()
    prompts = evaluator.data.tokenizer.decode_batch(
        [evaluator.held_out.document(i)[:3] for i in range(3)]
    )
    for source in ("model", "real", "oracle_latents", "unigram"):
        rows = [row for row in found.samples if row["source"] == source]
        assert [row["prompt"] for row in rows] == prompts


def test_fewer_documents_than_samples_are_no_trouble(evaluator: Evaluator) -> None:
    count = len(evaluator.held_out)
    found = with_plan(evaluator, samples=count + 3, sweep_samples=count + 1).run()
    sources = [row["source"] for row in found.samples]
    assert sources.count("model") == count + 3 and sources.count("real") == count
    assert "generation.at_steps.1.valid_sentences" in found.metrics


def test_the_split_is_the_one_asked_for(evaluator: Evaluator) -> None:
    found = with_plan(evaluator, split="validation")
    assert found.held_out is evaluator.data.index.splits["validation"]


def test_a_judge_without_documents_is_refused_at_once(finished: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"The hen number {i} is red.\n" for i in range(60)))
    model = colaflex.load(finished)
    corpus = registry().build(
        registry().config(
            "corpus",
            {"type": "text_files", "path": str(text), "documents": "line", "judge": 0.0},
        )
    )
    data = prepare_data(corpus, path=str(finished / "tokenizer.json"))
    arguments = (model.model, data, corpus, model.options)
    with pytest.raises(UserError, match="a judge needs 20 or more"):
        Evaluator(*arguments, PLAN.model_copy(update={"judged_by": JudgeSettings()}))
    for plan in (PLAN.model_copy(update={"judged_by": JudgeSettings(), "samples": 0}), PLAN):
        Evaluator(*arguments, plan)
