"""Tokenizers that lose something of a text: what is told, and which figures are left out."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

import colaflex
from colaflex.corpora.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import WorldsConfig
from colaflex.evaluation.likelihood import Likelihood, likelihood_metrics
from colaflex.evaluation.reconstruction import Reconstruction, reconstruction_metrics
from colaflex.evaluation.spelling import spelling
from colaflex.experiment.estimate import estimate
from colaflex.experiment.run_options import RunOptions
from colaflex.report import build_report, print_summary
from colaflex.training.progress import LineProgress

SMALL = {"documents": 60, "validation_documents": 9, "test_documents": 9, "judge_documents": 30}
WORLDS = Worlds(WorldsConfig(**SMALL))
TEXTS = [document.text for document in WORLDS.documents()]


def trained(model: object, trainer: object, **parts: object) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    for name, part in parts.items():
        setattr(backend, name, part)
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def words() -> tokenizers.Tokenizer:
    trainer = trainers.WordLevelTrainer(vocab_size=60, special_tokens=["[UNK]"])
    model = models.WordLevel(unk_token="[UNK]")
    return trained(model, trainer, pre_tokenizer=pre_tokenizers.Whitespace())


def word_piece() -> tokenizers.Tokenizer:
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"])
    return trained(
        models.WordPiece(unk_token="[UNK]"),
        trainer,
        normalizer=normalizers.BertNormalizer(lowercase=True),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )


def bytes_of(normalizer: object = None, prefix: bool = False, whole: bool = True) -> object:
    alphabet = pre_tokenizers.ByteLevel.alphabet() if whole else []
    return trained(
        models.BPE(),
        trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet),
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=prefix),
        decoder=decoders.ByteLevel(),
    )


def no_unknown() -> tokenizers.Tokenizer:
    """Letters only: all others vanish."""
    backend = tokenizers.Tokenizer(models.BPE({c: i for i, c in enumerate("abcdefgh ")}, []))
    backend.decoder = decoders.Fuse()
    return backend


LOSSY: dict[str, Callable[[], object]] = {
    "words": words,
    "word_piece": word_piece,
    "lower_case": lambda: bytes_of(normalizers.Lowercase()),
    "no_unknown": no_unknown,
    "stripped_full_stops": lambda: bytes_of(normalizers.Replace(".", "")),
    "prefix_space": lambda: bytes_of(prefix=True),
}


@pytest.mark.parametrize("name", LOSSY)
def test_a_tokenizer_that_loses_something_is_told(name: str):
    tokenizer = Tokenizer(LOSSY[name]())  # type: ignore[arg-type]
    found = spelling(WORLDS, tokenizer, "test", 9)
    assert not tokenizer.exact and not tokenizer.writes(TEXTS)
    assert len(found.exact) == 9 and not found.exact.any()
    assert found.warning is not None and "can't write 9 of 9 held-out documents" in found.warning
    assert found.example[0] != found.example[1]


def test_a_tokenizer_that_loses_nothing_of_the_text_is_not():
    ours = train_tokenizer(WORLDS, 300)
    assert ours.exact and ours.writes(["\0 any \ud7ff text\r\n"])
    made = {
        "letters": bytes_of(whole=False),  # not of all bytes, but of these texts'
        "metaspace": trained(
            models.BPE(),
            trainers.BpeTrainer(vocab_size=200),
            pre_tokenizer=pre_tokenizers.Metaspace(),
            decoder=decoders.Metaspace(),
        ),
    }
    for backend in made.values():
        tokenizer = Tokenizer(backend)
        assert not tokenizer.exact and tokenizer.writes(TEXTS) and not tokenizer.writes(["~ŷ"])
        found = spelling(WORLDS, tokenizer, "test", 9)
        assert found.exact.tolist() == [True] * 9 and found.warning is None
    assert spelling(WORLDS, ours, "test", 9).exact.all()


def test_bits_per_byte_are_left_out_with_a_reason():
    whole = Likelihood(np.array([-3.0, -5.0]), np.array([2.0, 4.0]), np.array([9.0, 11.0]))
    assert "likelihood.bits_per_byte" in likelihood_metrics(whole).metrics
    found = likelihood_metrics(Likelihood(whole.log_p, whole.tokens, None))
    assert set(found.metrics) == set(found.items) == {"likelihood.nats_per_token"}
    assert "can't write" in found.left_out["likelihood.bits_per_byte"]
    assert set(found.left_out) == {"likelihood.bits_per_byte"}
    known = likelihood_metrics(Likelihood(whole.log_p, whole.tokens, None), [-2.0, -math.inf])
    assert set(known.metrics) == set(known.items) == {"likelihood.nats_per_token"}
    assert known.left_out["likelihood.excess_nats"] == found.left_out["likelihood.bits_per_byte"]
    reconstructions = Reconstruction([5, 5], [5, 5], [1.0, 1.0], None, np.array([True, False]))
    measured = reconstruction_metrics(reconstructions)
    assert measured.metrics["reconstruction.exact_documents"].value == 0.5
    assert measured.metrics["reconstruction.token_accuracy"].value == 1.0
    assert "reconstruction.bits_per_byte" not in {*measured.metrics, *measured.items}
    assert "reconstruction.bits_per_byte" in measured.left_out


def test_a_run_with_words_for_tokens(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """It is warned at its start, has no figure per byte, and keeps the spaces of what it writes."""
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS * 3))
    words().save(str(tmp_path / "words.json"))
    changes = {
        "corpus": {"type": "text_files", "path": str(tmp_path / "corpus.txt"), "documents": "line"},
        "tokenizer": {"path": str(tmp_path / "words.json")},
        "baseline": "autoregressive",
        "training.steps": 2,
        "evaluation": {
            "samples": 4,
            "prompt_tokens": 3,
            "documents": 5,
            "bootstrap": 100,
            "likelihood": True,
            "judge": {"steps": 2, "width": 8, "heads": 1, "layers": 1},
        },
    }
    spec = colaflex.Spec.load(tiny).override(changes)
    estimate(spec, RunOptions())
    assert "can't write" in capsys.readouterr().err  # of a dry run as well
    result = colaflex.run(spec, out=tmp_path / "run", progress=LineProgress(sys.stderr))
    told = capsys.readouterr().err.splitlines()
    assert "can't write" in told[0] and "figures per byte are left out" in told[0]
    assert any(line.startswith("baseline: step 0") for line in told[1:])
    assert not any("bits_per_byte" in name for name in result["metrics"])
    assert "likelihood.nats_per_token" in result["metrics"]
    assert "likelihood.bits_per_byte" in result["left_out"]
    assert "likelihood.excess_nats" not in result["left_out"]  # nobody knows p* of this corpus
    shown = io.StringIO()
    print_summary(result, shown)
    assert "likelihood.bits_per_byte is left out: the tokenizer" in shown.getvalue()
    assert "<code>likelihood.bits_per_byte</code>: the tokenizer" in build_report(tmp_path / "run")
    tokenizer = load_tokenizer(tmp_path / "run/tokenizer.json")
    lines = (tmp_path / "run/samples.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["source"] for row in rows} >= {"model", "real", "unigram"}
    for row in (row for row in rows if row["text"]):
        assert row["prompt"] and row["text"].startswith(" ")
        assert row["text"].strip() == tokenizer.decode(row["tokens"])
    model = colaflex.load(tmp_path / "run")
    (made,) = model.generate(["the door was"], max_new_tokens=6, temperature=1.0, seed=3)
    tokens = [*tokenizer.encode("the door was"), *made.tokens]
    assert tokenizer.decode(tokens).endswith(made.text) and made.text.startswith(" ")
    assert "".join(model.stream("the door was", 3, max_new_tokens=6, temperature=1.0)) == made.text
