from __future__ import annotations

import csv
import io
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_up_records import make_record

from colaflex.interfaces.metric import Measurement
from colaflex.leaderboard.page import build_page
from colaflex.leaderboard.references import references
from colaflex.leaderboard.standings import Entry, Standings, over_seeds
from colaflex.leaderboard.table import ESTIMATED, as_csv, as_json, print_standings
from colaflex.leaderboard.tradeoffs import Point, front_line, levels

METRIC = "generation.coherent_documents"


def entry(standings: Standings, name: str, budget: str = "large") -> Entry:
    return next(row for row in standings.rows if (row.name, row.budget) == (name, budget))


def places(standings: Standings, budget: str = "large") -> dict[str, int | None]:
    table = next(table for table in standings.tables if table.budget == budget)
    return {row.name: row.rank for row in table.rows}


def test_rows_are_ranked_within_each_budget_and_equals_tie(bench: Any) -> None:
    found = bench.stand()
    assert [table.budget for table in found.tables] == ["small", "large"]
    for table in found.tables:
        assert len(table.ranked) == 6
        assert table.ranked[0].name == "masked_diffusion"
        assert table.ranked[0].rank == 1 and not table.ranked[0].tie
        for one in table.ranked:
            shared = [row for row in table.ranked if row.rank == one.rank]
            assert one.tie == (len(shared) > 1)
            # Nobody of the same rank is told apart, and whoever is told apart has another rank.
            assert not any(table.differ(one.name, other.name) for other in shared)
            # A rank is the best place that is left: at least as many rows stand before it.
            before = sum((row.rank or 0) < (one.rank or 0) for row in table.ranked)
            assert (one.rank or 0) <= 1 + before
    large = places(found)
    tied = ("flow_matching", "rectified_flow", "autoregressive_latent")
    assert [large[name] for name in tied] == [2, 2, 2]


def test_a_row_against_its_copy_is_a_tie(bench: Any) -> None:
    copies = [json.loads(json.dumps(r)) for r in bench.records if r["row"] == "flow_matching"]
    bench.keep(row="flow_matching")
    for copy in copies:
        copy["row"] = "copy"
    bench.records += copies
    table = bench.stand().tables[0]
    assert [(row.rank, row.tie) for row in table.rows] == [(1, True), (1, True)]
    assert table.p_of("copy", "flow_matching") == 1.0


def test_values_are_means_over_seeds_and_seeds_are_kept(bench: Any) -> None:
    row = entry(bench.stand(), "consistency")
    own = [r for r in bench.records if (r["row"], r["budget"]) == ("consistency", "large")]
    shares = [sum(r["items"][METRIC]["values"]) / len(r["items"][METRIC]["values"]) for r in own]
    assert row.value == pytest.approx(sum(shares) / 3)
    assert [metrics[METRIC].value for metrics in row.by_seed] == pytest.approx(shares)
    measured = row.metrics[METRIC]
    assert measured.low < measured.value < measured.high
    # Three seeds on the same items tell more than one alone, but not three times as much.
    alone = own[0]["metrics"][METRIC]
    assert (alone["high"] - alone["low"]) / 3 < measured.high - measured.low
    assert measured.high - measured.low < alone["high"] - alone["low"]


def test_intervals_over_seeds_stand_beside_those_over_items(bench: Any) -> None:
    for seed, quality in enumerate((0.5, 0.58, 0.74)):
        bench.drop(row="flow_matching", budget="large", seed=seed)
        bench.add("flow_matching", seed, "large", quality)
    row = entry(bench.stand(), "flow_matching")
    values = [metrics[METRIC].value for metrics in row.by_seed]
    items, seeds = row.metrics[METRIC], row.over_seeds[METRIC]
    assert (items.n, seeds.n) == (160, 3) and items.value == seeds.value == row.shown[METRIC].value
    # Student's t of two degrees of freedom, and what the items add.
    half = 4.3027 * statistics.stdev(values) / math.sqrt(3)
    assert seeds.high - seeds.value == pytest.approx(half, rel=0.06) and seeds.high <= 1
    assert seeds.low < items.low - 0.1 < items.high + 0.1 < seeds.high
    # Of a metric without items there is the seeds' t alone.
    speed = row.over_seeds["speed.generation_tokens_per_second"]
    assert (speed.low, speed.high, speed.n) == (2400, 2400, 3)


def test_a_lucky_training_makes_no_rank(bench: Any) -> None:
    # Over items 0.61 against 0.43 is beyond doubt; over seeds as far apart as these it is not.
    for seed, (better, worse) in enumerate(((0.9, 0.7), (0.5, 0.1), (0.45, 0.5))):
        for row, quality in (("flow_matching", better), ("consistency", worse)):
            bench.drop(row=row, budget="large", seed=seed).add(row, seed, "large", quality)
    found = bench.stand()
    table = next(table for table in found.tables if table.budget == "large")
    assert table.over == "seeds" and not table.differ("consistency", "flow_matching")
    only = bench.keep(seed=0).stand()
    table = next(table for table in only.tables if table.budget == "large")
    assert table.over == "items" and table.differ("consistency", "flow_matching")


def test_of_one_seed_ranks_are_of_trained_models_and_say_so(bench: Any) -> None:
    found = bench.keep(seed=0, budget="small").stand()
    assert [table.over for table in found.tables] == ["items"]
    assert all(row.rank and not row.over_seeds and row.shown is row.metrics for row in found.rows)
    assert places(found, "small")["masked_diffusion"] == 1
    document = as_json(found)["rows"]
    assert {row["ranked_over"] for row in document} == {"items", None}
    assert all(not row["over_seeds"] for row in document)
    stream = io.StringIO()
    print_standings(found, stream)
    assert "One seed a row" in stream.getvalue() and "over seeds" not in stream.getvalue()


def test_a_row_of_one_seed_has_no_rank_among_methods(bench: Any) -> None:
    for seed in (1, 2):
        bench.drop(row="consistency", budget="large", seed=seed)
    row = entry(bench.stand(), "consistency")
    assert (row.rank, row.reason) == (None, "has one seed; ranks are over seeds")
    assert entry(bench.stand(), "consistency", "small").rank == 5
    # As long as no two rows have several, there are no methods to compare.
    for name in ("flow_matching", "rectified_flow", "normalizing_flow", "autoregressive_latent"):
        for seed in (1, 2):
            bench.drop(row=name, budget="large", seed=seed)
    table = bench.stand().tables[1]
    assert table.over == "items" and len(table.ranked) == 6


def declare_bits(record: dict[str, Any], bits: float) -> None:
    """Give a record a likelihood."""
    values = [bits * 8 + 0.1 * (i % 5) for i in range(40)]
    record["items"]["likelihood.bits_per_byte"] = {"values": values, "weights": [8.0] * 40}
    record["metrics"]["likelihood.bits_per_byte"] = {
        "value": sum(values) / 320, "low": bits, "high": bits + 0.1, "n": 40
    }  # fmt: skip


def test_a_bound_stands_with_its_sign_everywhere(bench: Any) -> None:
    text = bench.board.path.read_text("utf-8")
    shown = text.replace("show: [", "show: [likelihood.bits_per_byte, ").replace(
        "  masked_diffusion: {", "  exact: {set: {baseline: autoregressive}}\n  masked_diffusion: {"
    )
    bench.board.path.write_text(shown, "utf-8")
    bench.board = type(bench.board).load(bench.board.path)
    bench.change(lambda r: r.update(protocol=bench.board.protocol(r["data_digest"])))
    for seed in range(3):
        exact = make_record(bench.board, "masked_diffusion", seed, "large", 0.9)
        spec = bench.board.specs["exact"].override({"seed": seed})
        bench.records.append({**exact, "row": "exact", "spec": spec.resolved()})
    given = {"masked_diffusion": 2.1, "normalizing_flow": 1.2, "exact": 0.7, "flow_matching": 3.3}
    for row, bits in given.items():
        bench.change(lambda r, bits=bits: declare_bits(r, bits), row=row)
    found = bench.stand()
    bounds = {row.name for row in found.rows if "likelihood.bits_per_byte" in row.bounds}
    assert bounds == {"masked_diffusion", "normalizing_flow"}
    estimated = {row.name for row in found.rows if "likelihood.bits_per_byte" in row.estimates}
    assert estimated == {"flow_matching"}
    stream = io.StringIO()
    print_standings(found, stream)
    assert "≤ 2.12" in stream.getvalue() and "≤ 1.2" in stream.getvalue()
    assert "0.725" in stream.getvalue() and "≤ 0.7" not in stream.getvalue()
    assert "≈ 3.3" in stream.getvalue() and "≤ 3.3" not in stream.getvalue()
    assert ESTIMATED in stream.getvalue()
    named = {row["name"]: row.get("bounds") for row in as_json(found)["rows"] if row["rank"]}
    assert named["exact"] == [] and named["masked_diffusion"] == ["likelihood.bits_per_byte"]
    estimates = {row["name"]: row.get("estimates") for row in as_json(found)["rows"] if row["rank"]}
    assert estimates["flow_matching"] == ["likelihood.bits_per_byte"] and estimates["exact"] == []
    assert named["flow_matching"] == []
    page = build_page(found)
    assert "≤ 2.12" in page and "≤ 0.7" not in page and "upper bound" in page
    assert "≈ 3.3" in page and "≤ 3.3" not in page and "marks an estimate" in page


def test_a_board_ranked_by_an_estimate_tells_so_in_figures_and_csv(bench: Any) -> None:
    text = bench.board.path.read_text("utf-8")
    ranked = text.replace(
        "{metric: generation.coherent_documents, better: higher}",
        "{metric: likelihood.bits_per_byte}",
    )
    bench.board.path.write_text(ranked, "utf-8")
    bench.board = type(bench.board).load(bench.board.path)
    bench.change(lambda r: r.update(protocol=bench.board.protocol(r["data_digest"])))
    for row, bits in {"masked_diffusion": 2.1, "flow_matching": 3.3}.items():
        bench.change(lambda r, bits=bits: declare_bits(r, bits), row=row)
    found = bench.stand()
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(as_csv(found)))}
    told = {name: (rows[name]["bound"], rows[name]["estimate"]) for name in rows}
    assert told["flow_matching"] == ("False", "True")
    assert told["masked_diffusion"] == ("True", "False")
    page = build_page(found)
    assert "flow_matching (≈)" in page and "masked_diffusion (≤)" in page


def test_a_collapsed_row_says_so(bench: Any) -> None:
    def collapse(record: dict[str, Any]) -> None:
        record["metrics"]["generation.unigram_entropy"]["value"] = 1.5

    found = bench.change(collapse, row="consistency").stand()
    assert [row.name for row in found.rows if row.caveats] == ["consistency", "consistency"]
    (said,) = entry(found, "consistency").caveats
    assert said.startswith("collapsed: ") and "1.50 against 4.33" in said
    stream = io.StringIO()
    print_standings(found, stream)
    assert f"consistency: {said}" in stream.getvalue()
    rows = as_json(found)["rows"]
    assert {row["name"] for row in rows if row["caveats"]} == {"consistency"}
    page = build_page(found)
    assert page.count(f'<p class="note">C{said[1:]}.</p>') == 2


@pytest.mark.parametrize("broken", ["no:such", "", "\x00"])
def test_what_may_be_a_bound_is_marked(bench: Any, broken: str) -> None:
    # A stranger's component that isn't installed: "at most" is true of exact values as well.
    def unknown(record: dict[str, Any]) -> None:
        declare_bits(record, 2.1)
        record["spec"]["baseline"] = {"type": broken}

    bench.change(unknown, row="masked_diffusion", budget="large")
    row = entry(bench.stand(), "masked_diffusion")
    assert row.bounds == {"likelihood.bits_per_byte"}


def _flops(record: dict[str, Any], factor: float, ok: bool = True) -> None:
    asked = record["matched"]["flops"]["asked"]
    record["matched"] |= {"flops": {"asked": asked, "found": factor * asked}, "ok": ok}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: _flops(r, 1.2), "FLOPs +20.0 % off the board's (3 % are allowed)"),
        (lambda r: _flops(r, 0.96), "FLOPs -4.0 % off the board's (3 % are allowed)"),
        # What a record asked for is not what counts, nor what it says of itself.
        (lambda r: r["matched"]["flops"].update(asked=9e12, found=9e12), "FLOPs +12.5 % off"),
        (lambda r: r["matched"].update(ok=False), "not matched, by its own record"),
        (lambda r: r["parameters"].update(total=1_050_000), "parameters +5.0 % off"),
        (lambda r: r.update(protocol="b0" * 32), "another protocol (b0b0b0b0b0b0"),
        (lambda r: r["items"].pop(METRIC), f"holds no items of {METRIC}"),
        (lambda r: r["metrics"].pop(METRIC), f"lacks {METRIC}"),
        (lambda r: r.update(seed=r["seed"] + 10), "none of the board's seeds (has 10, 11, 12)"),
        (lambda r: r.update(seed=0), "3 records of seed 0"),
    ],
)  # fmt: skip
def test_what_does_not_compare_is_shown_unranked_with_the_reason(
    bench: Any, change: Any, reason: str
) -> None:
    before = places(bench.stand())
    bench.change(change, row="masked_diffusion", budget="large")
    found = bench.stand()
    row = entry(found, "masked_diffusion")
    assert row.rank is None and not row.tie
    assert row.reason.startswith(reason)
    table = next(table for table in found.tables if table.budget == "large")
    assert table.rows[-1] is row and len(table.ranked) == 5
    # The others move up, and no test counts the row.
    assert all(places(found)[r.name] == (before[r.name] or 0) - 1 for r in table.ranked)
    assert not any("masked_diffusion" in pair for pair in table.p)
    assert entry(found, "masked_diffusion", "small").rank == 1


def test_one_unfair_seed_is_enough(bench: Any) -> None:
    bench.change(lambda r: _flops(r, 1.2), row="consistency", budget="small", seed=1)
    assert "FLOPs" in entry(bench.stand(), "consistency", "small").reason


def test_a_row_that_lacks_seeds_says_so_and_others_count_nothing(bench: Any) -> None:
    bench.drop(row="consistency", budget="large", seed=1)
    bench.add("consistency", 7, "large", quality=1.0)  # a lucky seed that the board doesn't have
    row = entry(bench.stand(), "consistency")
    assert (row.seeds, row.missing) == ([0, 2], (1,))
    assert row.rank is not None


def test_lower_is_better_where_the_board_says_so(bench: Any) -> None:
    text = bench.board.path.read_text("utf-8").replace("better: higher", "better: lower")
    bench.board.path.write_text(text, "utf-8")
    bench.board = type(bench.board).load(bench.board.path)
    found = places(bench.stand())
    assert found["normalizing_flow"] == 1 and found["masked_diffusion"] == 6


def test_each_row_is_ranked_by_the_first_metric_that_it_has(bench: Any) -> None:
    ranks = "rank: [{metric: likelihood.bits_per_byte}, {metric: generation.coherent_documents}]\n"
    text = bench.board.path.read_text("utf-8")
    line = next(line for line in text.splitlines() if line.startswith("rank:"))
    bench.board.path.write_text(text.replace(line + "\n", ranks), "utf-8")
    bench.board = type(bench.board).load(bench.board.path)
    for row, bits in {"masked_diffusion": 2.1, "normalizing_flow": 1.2}.items():
        bench.change(lambda r, bits=bits: declare_bits(r, bits), row=row)
    found = bench.stand()
    assert [(t.metric, t.budget, t.better) for t in found.tables] == [
        ("likelihood.bits_per_byte", "small", "lower"),
        ("likelihood.bits_per_byte", "large", "lower"),
        (METRIC, "small", "higher"),
        (METRIC, "large", "higher"),
    ]
    assert [row.name for row in found.tables[0].rows] == ["normalizing_flow", "masked_diffusion"]
    assert len(found.tables[2].rows) == 4


def test_the_standings_do_not_depend_on_the_order_of_records(bench: Any) -> None:
    first = as_json(bench.stand())
    bench.records.reverse()
    assert as_json(bench.stand()) == first


def test_references_are_read_from_records_and_have_no_rank(bench: Any) -> None:
    found = references(bench.stand().tables)
    assert [one.name for one in found] == [
        "real", "oracle_latents", "oracle_latents", "trigram", "bigram", "unigram",
    ]  # fmt: skip
    real = found[0]
    assert real.budgets == ("small", "large")
    assert real.metrics[METRIC] == Measurement(1.0, 0.996, 1.004, 160)
    # Stage 1 differs by seed and budget: the mean over seeds, at each budget.
    assert [one.budgets for one in found[1:3]] == [("small",), ("large",)]
    assert 0.98 < found[1].metrics[METRIC].value < 0.985


def test_json_is_what_the_contract_says(bench: Any) -> None:
    bench.change(lambda r: r.update(protocol="b0" * 32), row="consistency")
    document = as_json(bench.stand())
    assert list(document) == ["board", "rows"] and document["board"] == "worlds"
    json.dumps(document, allow_nan=False)
    for row in document["rows"]:
        assert list(row)[:6] == ["rank", "tie", "name", "components", "metrics", "digest"]
        assert len(row["digest"]) == 64
        assert isinstance(row["rank"], int) == (row["reason"] == "")
        assert all(set(m) == {"value", "low", "high", "n"} for m in row["metrics"].values())
    by_family = {row["family"] for row in document["rows"]}
    assert by_family == {"latent", "baseline", "reference"}
    digests = {row["digest"] for row in document["rows"] if row["family"] != "reference"}
    assert len(digests) == 12
    assert document["rows"][0]["components"]["baseline"] == "masked_diffusion"


def test_csv_has_a_line_a_row_and_no_formulas(bench: Any) -> None:
    bench.change(lambda r: r.update(row="=HYPERLINK(1)"), row="consistency")
    lines = list(csv.DictReader(io.StringIO(as_csv(bench.stand()))))
    ranked = [line for line in lines if line["rank"]]
    assert len(ranked) == 12 and len(lines) == 18
    assert float(ranked[0]["low"]) < float(ranked[0]["value"]) == float(ranked[0][METRIC])
    assert "'=HYPERLINK(1)" in {line["name"] for line in lines}


def test_the_terminal_shows_ties_intervals_and_reasons(bench: Any) -> None:
    bench.change(lambda r: _flops(r, 1.2), row="consistency", budget="large")
    bench.drop(row="normalizing_flow", budget="large", seed=0)
    bench.change(lambda r: r.update(row="\x1b[31m[bold]\u202etxt"), row="autoregressive_latent")
    stream = io.StringIO()
    print_standings(bench.stand(), stream)
    text = stream.getvalue()
    assert "=2" in text and "Real text" in text
    assert "consistency: not ranked: FLOPs +20.0 % off" in text
    assert "normalizing_flow: lacks seed 0" in text and "2 of 3" in text
    assert "[bold]" in text and "\x1b" not in text and "\u202e" not in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_narrow_terminal_shows_fewer_columns_whole(bench: Any, width: int) -> None:
    stream = io.StringIO()
    print_standings(bench.keep(budget="small").stand(), stream, width)
    lines = stream.getvalue().splitlines()
    table = [line for line in lines[1:] if not line.startswith("no room for: ")]
    assert max(map(len, table)) <= width
    for row in ("autoregressive_latent", "masked_diffusion", "Decoder on encoder latents"):
        line = next(line for line in lines if row in line)
        assert "[" in line and "]" in line
    left_out = [line for line in lines if line.startswith("no room for: ")]
    assert len(left_out) == (width < 150)
    assert all("tuning runs" in line and "--html" in line for line in left_out)


def test_the_command_reads_records_and_imports_no_torch(bench: Any, tmp_path: Path) -> None:
    path, page, table = bench.write(), tmp_path / "out/page.html", tmp_path / "out/rows.csv"
    code = (
        "import sys\n"
        "from colaflex.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules\n"
        "raise SystemExit(code)"
    )
    arguments = ["leaderboard", path, "--json", "--html", page, "--csv", table]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(as_json(bench.stand())))
    assert "<!doctype html>" in page.read_text("utf-8") and table.read_text("utf-8")


def test_a_board_is_found_by_name_and_one_without_records_says_so(
    bench: Any, colaflex_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.board.path.parent.parent.parent)
    ended = colaflex_command("leaderboard", "worlds")
    assert ended.code == 2 and "holds no records" in ended.err and "bench run worlds" in ended.err
    bench.keep(budget="small").write()
    ended = colaflex_command("leaderboard", "worlds")
    assert ended.code == 0 and "masked_diffusion" in ended.out
    ended = colaflex_command("leaderboard", "words")
    assert ended.code == 2 and "worlds" in ended.err


def points(*pairs: tuple[float, float]) -> list[Point]:
    def measured(value: float) -> Measurement:
        return Measurement(value, value, value, 1)

    return [Point((("steps", i),), measured(x), measured(y)) for i, (x, y) in enumerate(pairs)]


def test_the_front_is_what_none_beats_in_both() -> None:
    places = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (2.0, 2.0), (4.0, 2.0)]
    assert front_line(places, 1, 1) == [1, 4]
    assert front_line(places, -1, 1) == [0, 1]
    assert front_line(places, -1, -1) == [0]
    assert front_line([], 1, 1) == []


def test_levels_are_what_all_half_and_the_best_reach_each_at_its_fastest() -> None:
    rows = {
        "slow": points((10.0, 0.9), (20.0, 0.5)),
        "fast": points((50.0, 0.6), (80.0, 0.55)),
        "bad": points((99.0, 0.5)),
        "none": [],
    }
    found = levels(rows, 1)
    assert [level.value for level in found] == [0.5, 0.6, 0.9]
    speeds = [{n: p and p.x.value for n, p in level.fastest.items()} for level in found]
    assert speeds[0] == {"slow": 20, "fast": 80, "bad": 99}
    assert speeds[1] == {"slow": 10, "fast": 50, "bad": None}
    assert speeds[2] == {"slow": 10, "fast": None, "bad": None}
    # Where less is better the same holds upside down.
    assert [level.value for level in levels(rows, -1)] == [0.55, 0.5]


def test_a_run_that_missed_its_budget_and_says_so_is_shown_without_a_rank(
    bench: Any, colaflex_command: Any
) -> None:
    def train_longer(record: dict[str, Any]) -> None:
        for each in (record["training"], *record["training"]["stages"]):
            each["flops"] *= 1.2
        asked, found = record["matched"]["flops"]["asked"], record["training"]["flops"]
        record["matched"] |= {"flops": {"asked": asked, "found": found}, "ok": False}

    bench.keep(budget="small").change(train_longer, row="masked_diffusion")
    ended = colaflex_command("leaderboard", bench.write(), "--json")
    assert ended.code == 0, ended.err
    row = next(row for row in ended.json["rows"] if row["name"] == "masked_diffusion")
    assert row["rank"] is None and row["reason"].startswith("FLOPs +")
    assert sum(row["rank"] is not None for row in ended.json["rows"]) == 5


def test_intervals_over_seeds_end_where_values_do() -> None:
    share = over_seeds("generation.distinct_documents", [0.9, 1.0, 1.0])
    assert (share.low < 0.9, share.high) == (True, 1.0)
    rate = over_seeds("speed.generation_tokens_per_second", [100.0, 5000.0, 200.0])
    assert rate.low == 0.0 and rate.high > 5000.0
    nll = over_seeds("generation.judge_nll", [0.1, 1.0, 4.0])
    assert nll.low < 0.0 and nll.high > 4.0
