"""What a growing file has said last."""

from pathlib import Path

from colaflex.leaderboard.cell_pool import LONGEST, Tail


def test_the_last_whole_line_of_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "cell.log"
    path.write_text("of an earlier run\n")
    tail = Tail(path)

    def after(text: str | bytes) -> str:
        with path.open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return tail.last()

    assert tail.last() == ""
    assert after("prior: step 0 of 9\n") == "prior: step 0 of 9"
    assert tail.last() == ""
    assert after("prior: step 3") == ""
    assert after(" of 9\n") == "prior: step 3 of 9"
    assert after("one\ntwo\n\n  \n") == "two"
    assert after("first\rsecond\n") == "second"
    assert after(b"\xff\xfe\n") == "\N{REPLACEMENT CHARACTER}" * 2
    assert after("x" * 500 + "\n") == "x" * LONGEST
    assert after("y\n" * 100_000 + "end\n") == "end"
    assert Tail(tmp_path / "none.log").last() == ""
