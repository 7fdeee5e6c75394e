"""Equal tuning: what is searched of each row, what comes next, what wins, and what is stale."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from made_up_boards import BOARD, write_board
from made_up_trials import DATA, ROW, trial_content, tuned_board, write_trial

from colaflex.errors import UserError
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cell_matching import Matcher
from colaflex.leaderboard.cells import Cell, Trial
from colaflex.leaderboard.page import build_page
from colaflex.leaderboard.record import Record, sealed
from colaflex.leaderboard.record_checks import record_problems
from colaflex.leaderboard.standings import stand
from colaflex.leaderboard.table import as_json, print_standings
from colaflex.leaderboard.trials import Winner, load_search, load_winners
from colaflex.leaderboard.tuning_plan import TuningPlan, spec_settings
from colaflex.leaderboard.tuning_proposals import Proposal, Tried, further_samplings, propose
from colaflex.leaderboard.tuning_space import RowSpace

RATE = "training.stages.prior.learning_rate"
QUALITY, NEXT = "generation.distinct_2", "generation.valid_sentences"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return tuned_board(tmp_path)


def test_by_default_what_components_declare_and_the_row_takes_is_searched(board: Board) -> None:
    space = board.spaces[ROW]
    assert set(space.paths) >= {
        RATE,
        "representation.latent_dim",
        "representation.log_snr",
        "representation.readout.weight",
        "prior.block_size",
        "prior.schedule.loc",
        "prior.self_conditioning.share",
        *(f"sampling.{name}" for name in ("guidance", "guidance_interval", "guidance_law")),
        *(f"sampling.{name}" for name in ("grid", "noise_temperature", "renoise", "temperature")),
        "stage1_flops",
    }
    # Of the linear readout nothing can be drawn; widths are solved for.
    assert not {"sampling.estimate", "prior.network.width"} & set(space.paths)
    rate = space.space.at(RATE)[0].distribution
    assert (rate.low, rate.high, rate.log) == (1e-3 / 4, 4e-3, True)  # type: ignore[attr-defined]
    assert space.space.at("stage1_flops")[0].distribution.choices == (  # type: ignore[attr-defined]
        0.15,
        0.3,
        0.6,
    )
    own = space.own()
    assert own["stage1_flops"] == 0.3 and own[RATE] == 1e-3
    assert board.spaces["autoregressive"].paths == (
        "training.stages.baseline.learning_rate",
        "sampling.temperature",
    )


SPACES = [
    (
        "tuning: {trials: 3, fidelity: 0.5}",
        "tuning: {trials: 3, seed: 1}",
        "is a seed of the board",
    ),
    ("tuning: {trials: 3, fidelity: 0.5}", "tuning: {trials: 3, budget: smal}", "did you mean"),
    ("tuning: {trials: 3, fidelity: 0.5}", "tuning: {fidelity: 0.5}", "trials"),
    (
        "tuning: {trials: 3, fidelity: 0.5}",
        "tuning: {trials: 3, fixed: [prior.blok_size]}",
        "no row has it searched; did you mean `prior.block_size`?",
    ),
    (
        "tuning: {trials: 3, fidelity: 0.5}",
        "tuning: {trials: 3, space: {prior.blok_size: [1, 4]}}",
        "tuning.space.prior.blok_size: unknown key",
    ),
    (
        "tuning: {trials: 3, fidelity: 0.5}",
        "tuning: {trials: 3, space: {evaluation.samples: [4, 8]}}",
        "a row can't set what all rows share",
    ),
    (
        "tuning: {trials: 3, fidelity: 0.5}",
        "tuning: {trials: 3, space: {prior.network.width: [16, 32], sampling.steps: [1, 2]}}",
        "is solved for",
    ),
    ("{note: of the quickstart}", "{runs: 3}", "tunes all rows alike"),
    ("{note: of the quickstart}", "{space: {prior.nothing: [1]}}", "unknown key"),
    ("{note: of the quickstart}", "{space: {stage1_flops: [0.1, 2]}}", "shares between 0 and 1"),
    (
        "      sampling.temperature: 1\n",
        "      sampling.temperature: 1\n    tuning: {space: {stage1_flops: [0.1, 0.2]}}\n",
        "the row has no stage 1",
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), SPACES)
def test_what_is_wrong_with_tuning_is_told_with_its_place(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        tuned_board(tmp_path, old, new)
    assert said in str(caught.value)
    assert "small.yaml:" in str(caught.value)


def test_a_row_without_a_board_that_tunes_has_no_space(tmp_path: Path) -> None:
    text = BOARD.replace("{runs: 2, note: by hand}", "{space: {prior.block_size: [1, 4]}}")
    with pytest.raises(UserError, match="the board tunes no row"):
        Board.load(write_board(tmp_path, text))


def test_a_written_space_holds_of_the_rows_that_have_it(tmp_path: Path) -> None:
    share = "stage1_flops: {low: 0.1, high: 0.4}"
    space = f"{{sampling.temperature: [0.5, 1], prior.block_size: [1, 4], {share}}}"
    board = tuned_board(
        tmp_path,
        "tuning: {trials: 3, fidelity: 0.5}",
        f"tuning: {{trials: 3, space: {space}, fixed: [prior.block_size]}}",
    )
    assert board.spaces[ROW].paths == ("sampling.temperature", "stage1_flops")
    assert board.spaces["autoregressive"].paths == ("sampling.temperature",)


def first_of(space: RowSpace) -> Proposal:
    """The row's own recipe."""
    return Proposal(space.own(), {})


def test_what_comes_next_follows_from_seed_and_trials_alone(board: Board) -> None:
    space, plan = board.spaces[ROW], TuningPlan(trials=9, seed=7)
    tried = [Tried(first_of(space), 0.5)]
    for number in range(1, 9):
        proposal = propose(space, plan, tried, "higher")
        assert proposal == propose(space, plan, tried, "higher")
        assert set(proposal.point) == set(space.paths)
        assert 1e-3 / 4 <= float(proposal.point[RATE]) <= 4e-3
        assert proposal.point not in [each.proposal.point for each in tried]
        board.specs[ROW].override(spec_settings(proposal.settings))
        tried.append(Tried(proposal, None if number == 3 else float(proposal.point[RATE])))
    other = TuningPlan(trials=9, seed=8)
    assert propose(space, plan, tried, "higher") != propose(space, other, tried, "higher")
    assert propose(space, plan, tried, "higher") != propose(space, plan, tried, "lower")


@pytest.mark.parametrize("changes", [1, 3])
def test_a_trial_differs_from_the_best_in_a_few_parameters(board: Board, changes: int) -> None:
    """What was not changed stays as the row has it, also where that is none of the values."""
    space, plan = board.spaces[ROW], TuningPlan(trials=9, changes=changes)
    best = Proposal({**space.own(), RATE: 2e-3}, {RATE: 2e-3})
    tried = [Tried(first_of(space), 0.5), Tried(best, 0.9), Tried(first_of(space), None)]
    changed: set[str] = set()
    for _ in range(6):
        proposal = propose(space, plan, tried, "higher")
        differing = {p for p in proposal.point if proposal.point[p] != best.point[p]}
        assert 1 <= len(differing) <= changes
        assert differing - {RATE} <= set(proposal.settings) - {RATE}
        assert len(set(proposal.settings) - {RATE}) <= changes
        assert proposal.settings[RATE] == proposal.point[RATE]
        changed |= differing
        tried.append(Tried(proposal, 0.1))
    assert len(changed) > changes


def test_without_a_bound_all_parameters_change(board: Board) -> None:
    space, plan = board.spaces[ROW], TuningPlan(trials=9, changes=None)
    proposal = propose(space, plan, [Tried(first_of(space), 0.5)], "higher")
    assert set(proposal.settings) == set(space.paths)


def test_further_settings_of_sampling_leave_the_training_as_it_is(board: Board) -> None:
    space, plan = board.spaces[ROW], TuningPlan(trials=9, samplings=4)
    first = propose(space, plan, [Tried(first_of(space), 0.5)], "higher")
    further = list(further_samplings(space, plan, 1, first))
    assert further == list(further_samplings(space, plan, 1, first)) and len(further) == 3
    assert further != list(further_samplings(space, plan, 2, first))
    points = [first.point, *(one.point for one in further)]
    assert all(points.count(point) == 1 for point in points)
    for one in further:
        assert _trained(one.point) == _trained(first.point)
        assert _trained(one.settings) == _trained(first.settings)
        differing = {p for p in one.point if one.point[p] != first.point[p]}
        assert 1 <= len(differing) <= 3 and differing <= set(one.settings)


def _trained(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in settings.items() if not path.startswith("sampling.")}


def test_a_row_with_nothing_to_sample_by_is_measured_once(tmp_path: Path) -> None:
    board = tuned_board(tmp_path, "fidelity: 0.5", "fidelity: 0.5, fixed: [sampling.temperature]")
    plain = board.spaces["autoregressive"]
    plan = TuningPlan(trials=9, samplings=4)
    assert not list(further_samplings(plain, plan, 0, first_of(plain)))


def test_every_trial_of_every_row_takes_the_same_flops(board: Board, tmp_path: Path) -> None:
    matcher = Matcher(board, tmp_path / "matches")
    settings: dict[str, dict[str, Any]] = {
        ROW: {"representation.latent_dim": 8, "stage1_flops": 0.6, RATE: 2e-3},
        "autoregressive": {"training.stages.baseline.learning_rate": 2e-3},
    }
    firsts = {}
    for row in board.rows:
        for number, chosen in enumerate(({}, settings[row])):
            match = matcher.match(Trial(row, "small", number), chosen)
            assert match.ok
            assert match.flops == pytest.approx(0.5 * 3.2e8, rel=0.03)
            assert match.parameters == pytest.approx(24_000, rel=0.02)
            steps = match.values.get("training.stages.representation.steps")
            firsts[row, number] = steps
    assert firsts[ROW, 1] > 1.5 * firsts[ROW, 0]
    cell = Cell(ROW, "small", 0)
    plain, chosen = matcher.match(cell), matcher.match(cell, settings[ROW])
    assert plain.spec_digest != chosen.spec_digest
    spec = matcher.spec(cell, chosen.values)
    assert spec.digest(matcher.data.digest) == chosen.spec_digest
    assert spec.training.for_stage("prior").learning_rate == 2e-3 and spec.seed == 0
    trial = matcher.spec(Trial(ROW, "small", 1), chosen.values)
    assert trial.seed == 1000 and not trial.evaluation.judge.enabled


def tune(board: Board, *values: float | None, second: tuple[float, ...] = ()) -> list[Path]:
    """Trials of a row that came to these values; None: failed."""
    paths = []
    for number, value in enumerate(values):
        settings = {RATE: 1e-3 * (1 + number / 10)} if number else {}
        further = second[number] if second else 0.5
        measured = {QUALITY: value or 0.0, "generation.unigram_entropy": 9.0 - number}
        content = trial_content(
            board,
            number,
            settings,
            {**measured, NEXT: further},
            failed="" if value is not None else "stage prior, step 3: loss is nan",
        )
        paths.append(write_trial(board, content))
    return paths


def winner_of(board: Board) -> Winner | None:
    return load_winners(board)[ROW, "small"]


def test_the_best_trial_wins_once_all_are_done(board: Board) -> None:
    assert load_search(board, ROW, "small").next == 0 and winner_of(board) is None
    paths = tune(board, 0.5, 0.7, 0.6)
    winner = winner_of(board)
    assert winner is not None
    assert (winner.trial.number, winner.value, winner.trials) == (1, 0.7, 3)
    assert winner.settings == {RATE: 1.1e-3}
    assert winner.flops == 3 * 0.5 * 3.2e8
    paths[1].unlink()
    assert load_search(board, ROW, "small").next == 1 and winner_of(board) is None


def test_equal_trials_are_told_apart_by_further_metrics_then_the_first_wins(board: Board) -> None:
    """`unigram_entropy` has no better side; valid sentences have."""
    tune(board, 0.7, 0.7, 0.7, second=(0.2, 0.4, 0.4))
    winner = winner_of(board)
    assert winner is not None and winner.trial.number == 1


def test_failed_trials_count_and_win_nothing(board: Board) -> None:
    tune(board, None, 0.1, None)
    search, winner = load_search(board, ROW, "small"), winner_of(board)
    assert winner is not None and winner.trial.number == 1 and winner.trials == 3
    assert search.next is None and search.flops == 3 * 0.5 * 3.2e8


def test_the_best_setting_of_sampling_is_what_a_trial_is_worth(board: Board) -> None:
    measured = [{QUALITY: value} for value in (0.1, 0.9, 0.3)]
    write_trial(board, trial_content(board, 0, {}, *measured))
    for number in (1, 2):
        write_trial(board, trial_content(board, number, {RATE: 2e-3}, {QUALITY: 0.8}))
    winner = winner_of(board)
    assert winner is not None and winner.value == 0.9
    assert winner.settings == {"sampling.renoise": 0.25}


CHANGES = [
    ("tuning: {trials: 3, fidelity: 0.5}", "tuning: {trials: 3, fidelity: 0.25}", "matched.flops"),
    ("tuning: {trials: 3, fidelity: 0.5}", "tuning: {trials: 3, fidelity: 0.5, samplings: 2}",
     "(samplings changed)"),
    ("tuning: {trials: 3, fidelity: 0.5}",
     "tuning: {trials: 3, fidelity: 0.5, fixed: [prior.schedule.loc]}",
     "(space.prior.schedule.loc changed)"),
    ("stage1_flops: 0.3", "stage1_flops: 0.2", "stage1_flops, space.stage1_flops changed"),
    ("{tuning: {note: of the quickstart}}", "{set: {prior.network.layers: 2}}", "spec.prior"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), CHANGES)
def test_trials_on_other_terms_are_refused_with_what_has_changed(
    board: Board, tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tune(board, 0.5)[0]
    changed = tuned_board(tmp_path, old, new)
    with pytest.raises(UserError) as caught:
        load_winners(changed)
    assert said in str(caught.value) and str(path) in str(caught.value)


def test_more_trials_go_on_from_those_that_there_are(board: Board, tmp_path: Path) -> None:
    tune(board, 0.5, 0.7, 0.6)
    more = tuned_board(tmp_path, "trials: 3", "trials: 5")
    assert load_search(more, ROW, "small").next == 3
    fewer = tuned_board(tmp_path, "trials: 3", "trials: 1")
    winner = winner_of(fewer)
    assert winner is not None and winner.trials == 1


def test_a_changed_renamed_or_repeated_trial_is_refused(board: Board) -> None:
    path = tune(board, 0.5)[0]
    text = path.read_text()
    path.write_text(text.replace("0.5", "0.6", 1))
    with pytest.raises(UserError, match="it was changed"):
        winner_of(board)
    path.write_text(text)
    other = path.with_name("small-0000-abc.json")
    path.rename(other)
    with pytest.raises(UserError, match="rename it"):
        winner_of(board)
    other.rename(path)
    write_trial(board, trial_content(board, 0, {}, {QUALITY: 0.4}))
    with pytest.raises(UserError, match="two records of trial 0"):
        winner_of(board)


def test_trials_on_other_data_are_refused(board: Board) -> None:
    tune(board, 0.5)
    with pytest.raises(UserError, match="was made on other data than the board has now"):
        load_search(board, ROW, "small", "0" * 64)


def cell_record(board: Board, winner: Winner, small_record: Record) -> dict[str, Any]:
    """A real record of another board, as if it were a tuned cell of this one."""
    content = {key: value for key, value in small_record.as_json().items() if key != "digest"}
    spec = board.specs[ROW].override({**winner.settings, "seed": 0})
    items = {"values": [0.25, 0.75], "weights": None}
    metric = {"value": 0.5, "low": 0.2, "high": 0.8, "n": 2}
    return {
        **content,
        "protocol": board.protocol(content["data_digest"]),
        "spec": spec.resolved(),
        "spec_digest": spec.digest(content["data_digest"]),
        "metrics": {QUALITY: metric},
        "items": {QUALITY: items},
        "tuning": {
            "runs": winner.trials,
            "flops": winner.flops,
            "note": "",
            "fidelity": 0.5,
            "settings": dict(winner.settings),
            "trial": winner.trial.digest,
        },
    }


def test_a_record_of_other_settings_than_chosen_is_not_ranked(
    board: Board, small_record: Record
) -> None:
    tune(board, 0.5, 0.7, 0.6)
    winners = load_winners(board)
    winner = winners[ROW, "small"]
    assert winner is not None
    record = sealed(cell_record(board, winner, small_record))
    assert record_problems(board, record.as_json()) == []
    found = stand(board, [record], winners)
    assert found.rows[0].rank == 1
    row = as_json(found)["rows"][0]
    assert row["tuning"]["runs"] == 3 and row["tuning"]["flops"] == 3 * 0.5 * 3.2e8
    assert row["tuning"]["settings"] == {RATE: 1.1e-3} and row["by_seed"] == {"0": 0.5}
    stream = io.StringIO()
    print_standings(found, stream)
    assert "tuning FLOPs" in stream.getvalue() and "480 M" in stream.getvalue()
    page = build_page(found)
    assert "in 3 trials of 50 % of its budget" in page
    assert f"<bdi>{RATE}</bdi> 0.0011" in page
    # Another trial has won by now.
    folder = board.results / "tuning" / ROW
    for path in folder.glob("small-0002-*"):
        path.unlink()
    write_trial(board, trial_content(board, 2, {RATE: 3e-3}, {QUALITY: 0.9}))
    stale = stand(board, [record], load_winners(board)).rows[0]
    assert stale.rank is None
    assert stale.reason == "made with other settings than its tuning has chosen"


WRONG = [
    ({"settings": None}, "tuning: the board tunes every row alike, and this one was not"),
    ({"runs": 2}, "tuning: expected 3 trials of 0.5 of the budget"),
    (
        {"settings": {"prior.network.layers": 2}},
        f"tuning.settings: prior.network.layers is not searched in the row {ROW}",
    ),
    ({"settings": {RATE: 9e-4}}, f"spec.{RATE}: 0.0011, but 0.0009 in the row {ROW}"),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_what_a_record_says_of_its_tuning_is_checked(
    board: Board, small_record: Record, change: dict[str, Any], said: str
) -> None:
    tune(board, 0.5, 0.7, 0.6)
    winner = winner_of(board)
    assert winner is not None
    content = cell_record(board, winner, small_record)
    content["tuning"] |= change
    assert record_problems(board, sealed(content).as_json()) == [said]


def test_how_much_is_tuned_is_part_of_the_terms(board: Board, tmp_path: Path) -> None:
    more = tuned_board(tmp_path / "more", "trials: 3", "trials: 4")
    none = tuned_board(tmp_path / "none", "tuning: {trials: 3, fidelity: 0.5}\n", "")
    assert len({one.protocol(DATA) for one in (board, more, none)}) == 3
    assert {one.trial_protocol(DATA) for one in (board, more, none)} == {none.protocol(DATA)}


def test_a_trial_reads_back_as_it_was_written(board: Board) -> None:
    path = tune(board, 0.5)[0]
    record = load_search(board, ROW, "small").records[0]
    assert record.as_json() == json.loads(path.read_text())
    assert path == board.results / "tuning" / ROW / record.file_name
