from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import colaflex
from colaflex.corpora.tokenizer import load_tokenizer
from colaflex.host.registry import registry
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.values import LatentBatch, Segmentation, TokenBatch, Vocabulary
from colaflex.testing import conformance_checks

pytest.importorskip("colaflex_digits")

from colaflex_digits.config import DigitsConfig
from colaflex_digits.corpus import Digits
from colaflex_digits.reader import pixels_of
from colaflex_digits.show import main
from colaflex_digits.tokens import LEVELS, TOKENIZER, WORDS

SPECS = Path(__file__).parent.parent / "specs"
VOCABULARY = Vocabulary(29, end_of_text=0, mask=1)
TINY = {
    "representation": {"width": 32, "heads": 2},
    "prior": {"network": {"width": 32, "layers": 1, "heads": 2, "time_width": 8}},
    "training": {
        "log_every": 5,
        "stages": {
            "representation": {
                "steps": 100,
                "batch_size": 16,
                "warmup_steps": 5,
                "learning_rate": 1e-2,
            },
            "prior": {"steps": 10, "batch_size": 8},
        },
    },
    "sampling": {"steps": 2},
    "evaluation": {
        "samples": 4,
        "documents": 16,
        "sweep_steps": [],
        "sweep_guidance": [],
        "sweep_samples": 2,
        "bootstrap": 100,
    },
}


def corpus(**options: object) -> Digits:
    found: Digits = registry().build(registry().config("corpus", {"type": "digits", **options}))
    return found


def representation(**options: object) -> Any:
    torch.manual_seed(0)
    return colaflex.build(
        "representation",
        "digits",
        vocabulary=VOCABULARY,
        max_segment_tokens=8,
        **{"width": 32, "heads": 2, **options},
    )


def rows(*texts: str) -> tuple[TokenBatch, Segmentation]:
    """Documents as a batch, and their segments."""
    encoded = [torch.tensor(ids) for ids in load_tokenizer(TOKENIZER).encode_batch(list(texts))]
    tokens = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)
    lengths = torch.tensor(list(map(len, encoded)))
    batch = TokenBatch(tokens, lengths, torch.ones(len(texts), dtype=torch.bool))
    return batch, colaflex.build("segmenter", "digit_rows", vocabulary=VOCABULARY).segment(batch)


def test_it_is_installed() -> None:
    found = [p.status for p in registry().plugins if p.source.distribution == "colaflex-digits"]
    assert found == ["ready"], "pip install -e plugins/colaflex-digits"


@pytest.mark.parametrize(
    "check",
    [
        *conformance_checks("corpus", "digits"),
        *conformance_checks("segmenter", "digit_rows"),
        *conformance_checks("representation", "digits"),
    ],
)
def test_conformance(check: Callable[[], None]) -> None:
    check()


def test_documents_are_the_images() -> None:
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    documents = list(corpus().documents())
    assert len(documents) == 1797
    for document, image, digit in zip(documents, images, digits, strict=True):
        caption, pixels = pixels_of(document.text, captions=True)
        assert caption == WORDS[digit]
        np.testing.assert_array_equal(pixels, image)


def test_an_image_is_in_the_same_split_with_a_caption_and_without() -> None:
    captioned, alone = (list(corpus(captions=c).documents()) for c in (True, False))
    assert [d.split for d in captioned] == [d.split for d in alone]
    assert [d.text.partition(" ")[2] for d in captioned] == [d.text for d in alone]
    shares = {s: np.mean([d.split == s for d in alone]) for s in ("train", "validation", "test")}
    # Shares of 1,797 coin throws: four standard deviations of a fair one are 0.047.
    assert shares == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.047)
    assert corpus().fingerprint() != corpus(captions=False).fingerprint()


def test_a_token_is_a_reading() -> None:
    tokenizer = load_tokenizer(TOKENIZER)
    assert (tokenizer.size, tokenizer.end_of_text, tokenizer.mask) == (29, 0, 1)
    assert DigitsConfig().tokenizer_file() == TOKENIZER
    ids = tokenizer.encode(" ".join(map(str, range(LEVELS))))
    assert ids == list(range(29 - LEVELS, 29))
    text = next(corpus().documents()).text
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("eleven 17") == [tokenizer.mask] * 2


def test_segments_are_words_and_rows() -> None:
    text = next(corpus().documents()).text
    _, cut = rows(text, text.partition(" ")[2])
    assert cut.lengths.tolist() == [[1] + [8] * 8, [8] * 8 + [0]]
    tokens, _ = rows(text)
    segmenter = colaflex.build("segmenter", "digit_rows", vocabulary=VOCABULARY, rows=2)
    forced = torch.zeros_like(tokens.tokens, dtype=torch.bool)
    forced[0, 20] = True  # within the third row of pixels: behind it rows are whole again
    tokens = TokenBatch(tokens.tokens, tokens.lengths, tokens.complete, forced)
    assert segmenter.segment(tokens).lengths.tolist() == [[1, 16, 3, 13, 16, 16]]


def test_the_sensor_reads_intensities_not_symbols() -> None:
    """Halfway between two grey levels is halfway for the sensor: it is affine in the pixel."""
    made = representation().double()
    dark, middle, bright = (made.sensor(made.grid[torch.full((8,), level)]) for level in (4, 6, 8))
    torch.testing.assert_close(middle, (dark + bright) / 2)
    batch, cut = rows(" ".join(["4"] * 8), " ".join(["5"] * 8), " ".join(["16"] * 8))
    near, far = (made.encode(batch, cut).mean[i, 0] for i in (1, 2))
    start = made.encode(batch, cut).mean[0, 0]
    assert (near - start).norm() < (far - start).norm()


def test_the_actuator_gives_a_distribution_with_one_peak() -> None:
    made = representation().double()
    logits = made.decode(torch.randn(2, 3, 8, dtype=torch.float64))
    torch.testing.assert_close(logits.exp().sum(-1), logits.new_ones(2, 3, 8))
    levels = logits[..., -1 - LEVELS : -1]
    curvature = levels.diff(dim=-1).diff(dim=-1)
    # log of a Gaussian on an even grid: a parabola, open below.
    torch.testing.assert_close(curvature, curvature[..., :1].expand_as(curvature))
    assert bool((curvature < 0).all())


def test_earlier_rows_do_not_see_later_ones() -> None:
    made = representation(encoder_layers=1).double()
    text = next(corpus().documents()).text.split()
    batch, cut = rows(" ".join(text), " ".join([*text[:33], *["7"] * 32]))
    mean = made.encode(batch, cut).mean
    logits = made.decode(mean)
    torch.testing.assert_close(mean[0, :5], mean[1, :5])
    torch.testing.assert_close(logits[0, :5], logits[1, :5])
    assert not torch.allclose(mean[0, 5], mean[1, 5])


@pytest.mark.parametrize(
    "config",
    [
        {
            "type": "flow_matching",
            "network": {"type": "block_causal", "width": 32, "layers": 1, "heads": 2},
        },
        {
            "type": "autoregressive_latent",
            "transformer": {"width": 16, "layers": 1, "heads": 2},
        },
    ],
    ids=lambda config: config["type"],
)
def test_one_prior_serves_images_with_captions_and_without(config: dict[str, Any]) -> None:
    """The same object learns from both and draws for both: nothing tells words from pixels."""
    text = next(corpus().documents()).text
    batch, cut = rows(text, text.partition(" ")[2])
    posterior = representation().encode(batch, cut)
    mask = cut.mask & (cut.count[:, None] // 3 * 3 > torch.arange(cut.lengths.shape[1]))
    options = {key: value for key, value in config.items() if key != "type"}
    prior = colaflex.build("prior", config["type"], latent_dim=8, block_size=3, **options)
    terms = prior.losses(LatentBatch(posterior.mean.detach(), mask), Noise(0))
    sum(term.total for term in terms.values()).backward()
    for row in range(2):
        state = prior.commit(prior.begin(1), posterior.mean[row : row + 1, :3].detach())
        drawn = prior.sample_block(state, SampleNoise(("row",)), SamplingOptions(steps=2))
        assert drawn.shape == (1, 3, 8)
        assert drawn.isfinite().all()


def test_the_reader_knows_real_digits_and_no_others() -> None:
    digits = corpus()
    reader = digits.truth()
    real = [d.text for d in digits.documents() if d.split == "test"]
    found = reader.measure(real)
    assert found["valid_images"].value == 1
    assert found["caption_accuracy"].low > 0.9
    assert 0.05 < found["nearest_training"].value < 0.3
    shares = [found[f"share.{word}"].value for word in WORDS]
    assert sum(shares) == pytest.approx(1)
    shifted = [" ".join([WORDS[1], *text.split()[1:]]) for text in real]
    assert reader.measure(shifted)["caption_accuracy"].value < 0.2
    broken = [real[0] + " 3", real[0].replace("16", "17"), "", "eleven " + real[0][5:]]
    assert reader.measure(broken)["valid_images"].value == 0
    train = [d.text for d in digits.documents() if d.split == "train"][:5]
    assert reader.measure(train)["nearest_training"].value == 0


@pytest.mark.parametrize("name", ["digits", "captioned"])
def test_a_run_sees_draws_and_tells(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    result = colaflex.run(colaflex.Spec.load(SPECS / f"{name}.yaml").override(TINY), out=folder)
    metrics = result["metrics"]
    assert "generation.valid_images" in metrics
    assert ("generation.caption_accuracy" in metrics) == (name == "captioned")
    model = colaflex.load(folder)
    texts = [d.text for d in corpus(captions=name == "captioned").documents() if d.split == "test"]
    latents = model.encode(texts[:32])
    assert latents.values.shape == (32, 8 + (name == "captioned"), 8)
    error = _intensity_error(model.decode(latents), texts[:32], name == "captioned")
    # The mean image, which knows nothing of a document, is off by 0.27.
    assert error < 0.2
    prompts = [word if name == "captioned" else "" for word in WORDS]
    one, again = (model.generate(prompts, seed=3, max_new_tokens=65) for _ in range(2))
    assert one == again
    assert len({sample.text for sample in one}) > 1
    _shows_a_picture(folder, tmp_path / "out.png")


def _intensity_error(decoded: list[str], texts: list[str], captions: bool) -> float:
    """Root mean square over pixels; what is no image counts as blank."""
    squares = []
    for one, other in zip(decoded, texts, strict=True):
        (_, image), (_, wanted) = pixels_of(one, captions), pixels_of(other, captions)
        assert wanted is not None
        squares.append(np.square((0 if image is None else image) - wanted).mean() / 16**2)
    return float(np.sqrt(np.mean(squares)))


def _shows_a_picture(run: Path, out: Path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    assert main([str(run), str(out)]) == 0
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert main([]) == 2
