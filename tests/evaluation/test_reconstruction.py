from __future__ import annotations

import math

import pytest

from colaflex.evaluation.reconstruction import Reconstruction, reconstruction_metrics


def test_pooled_over_documents():
    metrics = reconstruction_metrics(
        Reconstruction(
            correct=[10, 18, 30], tokens=[10, 20, 30], nll=[1.0, 6.0, 2.0], bytes=[40, 70, 110]
        )
    ).metrics
    value = {name.removeprefix("reconstruction."): m.value for name, m in metrics.items()}
    assert value["token_accuracy"] == pytest.approx(58 / 60)
    assert value["exact_documents"] == pytest.approx(2 / 3)
    assert value["nll"] == pytest.approx(9 / 60)
    assert value["bits_per_byte"] == pytest.approx(9 / math.log(2) / 220)
    assert all(m.n == 3 and m.low < m.value < m.high for m in metrics.values())


def test_a_perfect_reconstruction_keeps_an_interval():
    metrics = reconstruction_metrics(
        Reconstruction([5] * 50, [5] * 50, [0.0] * 50, [9] * 50)
    ).metrics
    accuracy = metrics["reconstruction.token_accuracy"]
    assert accuracy.value == accuracy.high == 1
    assert 0.9 < accuracy.low < 1
