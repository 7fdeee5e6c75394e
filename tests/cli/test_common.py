"""Tables fit the terminal that they are printed on, and nothing of a cell is cut off."""

from __future__ import annotations

import pytest

from colaflex.cli.common import print_table

SUMMARY = "One latent at a time; its head a Gaussian mixture, a diffusion, or an energy score."
ROWS = [
    ("prior", "autoregressive_latent", "colaflex 0.1.0", "ready", SUMMARY),
    ("representation", "text_vae", "colaflex 0.1.0", "ready", "Short."),
]
HEAD = ("kind", "name", "from", "status", "summary")


@pytest.mark.parametrize("width", [80, 100, 200])
def test_words_stay_whole_and_lines_fit(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(HEAD, ROWS, width)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    words = set(text.split())
    assert {word for row in ROWS for cell in row for word in cell.split()} <= words


def test_what_cannot_fit_is_broken_and_the_first_column_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, value = "representation.encoder_layers", "colaflex:" + 40 * "z"
    print_table(("spec", "one", "other"), [(name, value, value)], 80)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert name in text and text.count("z") == 80 and "…" not in text
