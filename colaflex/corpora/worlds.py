"""`worlds`: text whose generative process is known, and what texts are worth under it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from colaflex.corpora.worlds_process import Judgement, World, WorldsConfig, split_sentences
from colaflex.interfaces.corpus import SPLITS, Corpus, Document, StoryTruth, Truth
from colaflex.interfaces.metric import Items, Measurement
from colaflex.statistics.draws import keyed_rng, stable_digest
from colaflex.statistics.intervals import Floats, jackknife, proportion, ratio

__all__ = ["WorldTruth", "Worlds", "shuffle_sentences"]

REVISION = 1
CHUNK = 1024


class Worlds(Corpus):
    """Documents drawn from a world, a chunk at a time."""

    def __init__(self, config: WorldsConfig) -> None:
        self.config = config
        self.world = World(config)

    def fingerprint(self) -> str:
        """A digest of the options."""
        options = self.config.model_dump(exclude={"type"})
        return stable_digest("worlds", REVISION, sorted(options.items()))

    def documents(self) -> Iterator[Document]:
        """All documents; those of one split don't depend on how many another has."""
        config = self.config
        counts = (
            config.documents,
            config.validation_documents,
            config.test_documents,
            config.judge_documents,
        )
        for split, count in zip(SPLITS, counts, strict=True):
            for start in range(0, count, CHUNK):
                rng = keyed_rng("worlds", config.seed, split, start)
                chunk = self.world.draws(rng, CHUNK)
                for _, derivation in zip(range(min(CHUNK, count - start)), chunk, strict=False):
                    yield Document(self.world.render(derivation), split)

    def truth(self) -> Truth:
        """The world itself."""
        return WorldTruth(self.world)


@dataclass(frozen=True)
class WorldTruth(StoryTruth):
    """Measures texts against the distribution that a world's documents are drawn from."""

    world: World

    def measure(self, texts: Sequence[str], resamples: int = 1000) -> dict[str, Measurement]:
        """Validity, coherence, distribution of the factors, and likelihood under p* of all texts.

        Returns:
            `valid_sentences` (share of all sentences drawn), `valid_documents` (every sentence
            valid and their number right) and `coherent_documents` (valid, and no factor mentioned
            with two values; shares of all documents drawn);
            `kl_factor.<name>` and `kl_pair.<name>.<name>`: KL in nats from the values that valid
            documents give a factor, or a pair, to p*, and `kl_factors`, `kl_pairs`, their means;
            the value of a factor is its first mention, uniform and independent under p* at any
            sharing;
            `oracle_support` (share of all documents that p* can make), `oracle_nll` (mean -log p*
            of those, nats per document) and `oracle_entropy` (of p*, exact, what `oracle_nll` is
            for samples from p*; at sharing 1 every document of the support has just this NLL).
        """
        judged, scores = self._judged(texts), self.log_prob(texts)
        items = _items(judged, scores)
        nll = items.pop("oracle_nll")
        entropy = self.world.entropy()
        return {
            **{name: proportion(shares.values, shares.weights) for name, shares in items.items()},
            **_divergences(self.world, [j for j in judged if j.valid]),
            "oracle_nll": ratio(nll.values, nll.weights or (), "oracle_nll", resamples=resamples),
            "oracle_entropy": Measurement(entropy, entropy, entropy, len(texts)),
        }

    def items(self, texts: Sequence[str]) -> dict[str, Items]:
        """What each text adds to the shares, and to `oracle_nll` where p* can make it."""
        return _items(self._judged(texts), self.log_prob(texts))

    def log_prob(self, texts: Sequence[str]) -> list[float]:
        """log p* of every text in nats, exactly; -inf for what p* can't make."""
        parsed = [self.world.derivation(text) for text in texts]
        return [-math.inf if d is None else self.world.log_prob(d) for d in parsed]

    def _judged(self, texts: Sequence[str]) -> list[Judgement]:
        return [self.world.document_judgement(text) for text in texts]

    def references(self, real: Sequence[str]) -> dict[str, list[str]]:
        """Real sentences shuffled between documents, which have all but coherence."""
        return {"shuffled": shuffle_sentences(real)}

    def sentences(self, text: str) -> list[str]:
        """The sentences of a text, with an unfinished one at the end."""
        return split_sentences(text)

    def facts(self, sentence: str, position: int) -> dict[str, str] | None:
        """The word for each factor that a sentence mentions at its place, or None."""
        parsed = self.world.parse_sentence(sentence, position)
        return None if parsed is None else self.world.words(parsed)

    def reworded(self, sentence: str, position: int) -> str | None:
        """A sentence in the wording that follows its own, the first one behind the last."""
        parsed = self.world.parse_sentence(sentence, position)
        wordings = self.world.config.paraphrases
        if parsed is None or wordings == 1:
            return None
        other = replace(parsed, paraphrase=(parsed.paraphrase + 1) % wordings)
        return self.world.render_sentence(other)


def shuffle_sentences(texts: Sequence[str], seed: int = 0) -> list[str]:
    """Documents in which every sentence keeps its place and comes from a document of its own."""
    grid = [split_sentences(text) for text in texts]
    columns = max(map(len, grid), default=0)
    rng = keyed_rng("shuffle_sentences", seed)
    for place in range(columns):
        rows = [row for row in grid if len(row) > place]
        moved = [rows[i][place] for i in rng.permutation(len(rows))]
        for row, sentence in zip(rows, moved, strict=True):
            row[place] = sentence
    return [" ".join(row) for row in grid]


def _divergences(world: World, valid: Sequence[Judgement]) -> dict[str, Measurement]:
    names = [world.factor_name(factor) for factor in range(world.config.factors)]
    mentioned = [name for name, count in zip(names, world.mention_counts, strict=True) if count > 0]
    count = world.config.values
    values = {
        name: np.array([j.values[name][0] for j in valid], dtype=np.int64) for name in mentioned
    }
    factors = {f"kl_factor.{name}": _kl(values[name], count) for name in mentioned}
    pairs = {
        f"kl_pair.{a}.{b}": _kl(values[a] * count + values[b], count**2)
        for a, b in combinations(mentioned, 2)
    }
    metrics = {name: jackknife(*kl) for name, kl in (factors | pairs).items()}
    for name, group in (("kl_factors", factors), ("kl_pairs", pairs)):
        if group:
            whole = float(np.mean([kl[0] for kl in group.values()]))
            metrics[name] = jackknife(whole, np.mean([kl[1] for kl in group.values()], axis=0))
    return metrics


def _kl(cells: NDArray[np.int64], count: int) -> tuple[float, Floats]:
    """KL(empirical || uniform over `count` cells), and the same without each of the documents.

    The plug-in errs upwards by about (count - 1) / (2 n), which is taken off (Miller and Madow), so
    that samples from p* are near 0 and may fall below it.
    """
    n = len(cells)
    if n == 0:
        return math.nan, np.zeros(0)
    if n == 1:
        return math.log(count) - (count - 1) / 2, np.zeros(1)
    counts = np.bincount(cells, minlength=count)
    terms = counts * np.log(np.maximum(counts, 1))
    fewer = np.maximum(counts - 1, 0)
    change = terms - fewer * np.log(np.maximum(fewer, 1))

    def corrected(total: Floats, size: int) -> Floats:
        plug_in = math.log(count) - math.log(size) + total / size
        return np.asarray(plug_in - (count - 1) / (2 * size))

    whole = terms.sum()
    return float(corrected(whole, n)), corrected(whole - change[cells], n - 1)


def _items(judged: Sequence[Judgement], scores: Sequence[float]) -> dict[str, Items]:
    possible = [score > -math.inf for score in scores]
    return {
        "valid_sentences": Items.of(
            [j.valid_sentences for j in judged], [j.sentences for j in judged]
        ),
        "valid_documents": Items.of([j.valid for j in judged]),
        "coherent_documents": Items.of([j.coherent for j in judged]),
        "oracle_support": Items.of(possible),
        "oracle_nll": Items.of(
            [-score if able else 0.0 for score, able in zip(scores, possible, strict=True)],
            possible,
        ),
    }
