"""What a run says about itself: one self-contained page, and summaries for the terminal.

All are pure functions of the files in a run folder. Nothing here imports torch.
"""

from __future__ import annotations

from colaflex.report.page import build_report
from colaflex.report.text_summary import print_seeds, print_summary

__all__ = ["build_report", "print_seeds", "print_summary"]
