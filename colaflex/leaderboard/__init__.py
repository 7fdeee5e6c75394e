"""Boards: fair comparisons, from a grid of runs to records, ranks and a page."""
