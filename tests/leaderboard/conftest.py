"""Makes the small board of these tests known to them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from small_board import run_folder, small_board, small_record, with_board

__all__ = ["run_folder", "small_board", "small_record", "with_board"]
