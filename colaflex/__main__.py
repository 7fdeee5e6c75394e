"""`python -m colaflex`."""

from __future__ import annotations

import sys

from colaflex.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
