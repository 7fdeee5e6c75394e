"""Study files: what they mean, what identifies their trials, and what is wrong with them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wrong_studies import (
    BUDGET,
    DIM,
    FRESH,
    LOC,
    OBJECTIVES,
    POINT,
    PRUNER,
    RUNGS,
    START,
    TPE,
    TRIALS,
    TURNS,
    WRONG,
)

from colaflex.errors import UserError
from colaflex.spec import SpecError
from colaflex.studies.file.study_file import StudyFile

WithStudy = Callable[..., Path]


def test_a_study_is_its_file_its_specs_its_space_and_its_arms(with_study: WithStudy) -> None:
    path = with_study()
    study = StudyFile.load(path)
    assert study.path == path
    assert study.searched.paths == ("representation.latent_dim", "prior.schedule.loc")
    assert [(o.metric, o.direction) for o in study.objectives] == [
        ("generation.valid_sentences", "higher")
    ]
    assert (study.sampler.type, study.sampler.options) == ("tpe", {"multivariate": True})
    assert study.pruner is not None
    assert study.pruner.type == "successive_halving"
    assert study.arms == ("search", "by_turns")
    assert study.sampler_of("search").type == "tpe"
    assert study.sampler_of("by_turns").type == "one_at_a_time"
    assert study.points == {"paper": {"representation.latent_dim": 16, "prior.schedule.loc": 1.0}}
    samples = [s.evaluation.samples for s in (study.base_spec, study.trial_spec, study.fresh_spec)]
    assert samples == [4, 3, 4]


def test_objectives_are_a_name_or_a_list_and_know_their_directions(with_study: WithStudy) -> None:
    several = (
        "objectives: [reconstruction.nll, {metric: generation.ended, better: lower}, cost.flops, "
        "{metric: generation.of_a_plugin, better: higher}]"
    )
    study = StudyFile.load(
        with_study(
            OBJECTIVES,
            several,
            PRUNER,
            "pruner: none",
            RUNGS,
            "",
            TURNS,
            "by_turns: {sampler: nsga2}",
        )
    )
    assert [o.direction for o in study.objectives] == ["lower", "lower", "lower", "higher"]
    assert study.pruner is None


def test_a_study_in_place_is_the_study_with_its_base(with_study: WithStudy) -> None:
    path = with_study()
    known = StudyFile.load(path).identity("search")
    lines = (path.parent / "base.yaml").read_text().splitlines()
    inline = "spec:\n" + "".join(f"  {line}\n" for line in lines)
    path.write_text(path.read_text().replace("base: base.yaml\n", inline))
    assert StudyFile.load(path).identity("search") == known
    path.write_text(path.read_text().replace(inline, "spec: {extends: base.yaml}\n"))
    assert StudyFile.load(path).identity("search") == known
    path.write_text(path.read_text().replace("{extends: base.yaml}", "{segmenter: fixed_patch}"))
    with pytest.raises(SpecError, match=r"small\.yaml:4:7: corpus: required"):
        StudyFile.load(path)


def test_the_four_knobs_are_searched_where_nothing_is_said(with_study: WithStudy) -> None:
    path = with_study(f"space:\n  {DIM}\n  {LOC}\n", "")
    assert StudyFile.load(path).searched.paths == (
        "representation.latent_dim",
        "representation.log_snr",
        "prior.schedule.loc",
        "prior.block_size",
    )
    without = "base.yaml\nspec:\n  extends: base.yaml\n  prior: gaussian\n  representation: text_ae"
    path.write_text(path.read_text().replace("base: base.yaml", without.partition("\n")[2]))
    path.write_text(path.read_text().replace(START, "").replace(", prior.schedule.loc: 1", ""))
    assert StudyFile.load(path).searched.paths == ("representation.latent_dim", "prior.block_size")


def test_the_law_of_the_location_is_the_start_unless_a_file_says_otherwise(
    with_study: WithStudy,
) -> None:
    law = StudyFile.load(with_study(START, "")).start
    assert law is not None
    assert law.trials == 10
    centre = law.centres["prior.schedule.loc"]
    assert (centre.at, centre.slope, centre.of, centre.reference, centre.spread) == (
        *(1.0, 0.5, "representation.latent_dim", 16.0, 0.5),
    )
    given = StudyFile.load(with_study()).start
    assert given is not None
    assert given.trials == 5
    assert given.centres["prior.schedule.loc"].slope == 0
    assert StudyFile.load(with_study(START, "start: none\n")).start is None
    choices = with_study(START, "", LOC, "prior.schedule.loc: [0, 1]")
    assert StudyFile.load(choices).start is None


def test_a_slope_along_a_fixed_dimension_is_settled_by_its_value(with_study: WithStudy) -> None:
    path = with_study(START, "", DIM, "prior.block_size: [1, 4]")
    base = path.parent / "base.yaml"
    base.write_text(base.read_text().replace("latent_dim: 16", "latent_dim: 64"))
    start = StudyFile.load(path).start
    assert start is not None
    centre = start.centres["prior.schedule.loc"]
    assert centre.of is None
    assert centre.at == pytest.approx(1 + 0.5 * 1.3862943611)


CHANGES = [
    (("title: A small study", "title: Another"), True),
    ((BUDGET, "budget: {flops: 1e15}"), True),
    ((TPE, "sampler: random"), True),
    ((PRUNER, "pruner: median"), True),
    ((START, "start: none\n"), True),
    ((FRESH, "fresh: {seeds: 3}"), True),
    (("storage: journal", "storage: sqlite:///trials.db"), True),
    ((POINT, "paper: {point: {representation.latent_dim: 8}}"), True),
    ((DIM, "representation.latent_dim: [8.0, 16, 32]"), True),
    ((f"  {DIM}\n  {LOC}", f"  {LOC}\n  {DIM}"), True),
    (("study: small", "study: other"), False),
    ((DIM, "representation.latent_dim: [8, 16, 32, 64]"), False),
    ((DIM, f"{DIM}\n  prior.block_size: [1, 4]"), False),
    ((LOC, "prior.schedule.loc: {low: -1, high: 3, step: 0.5}"), False),
    ((OBJECTIVES, "objectives: generation.judge_nll"), False),
    ((OBJECTIVES, "objectives: {metric: generation.valid_sentences, better: lower}"), False),
    ((RUNGS, "rungs: [0.5]\n"), False),
    ((RUNGS, "", "seeds: 1\n", "seeds: 2\n"), False),
    ((TRIALS, "trials: {evaluation.samples: 2}"), False),
]


@pytest.mark.parametrize(("pairs", "same"), CHANGES, ids=lambda each: str(each)[:60])
def test_the_identity_is_what_must_be_equal_for_trials_to_compare(
    with_study: WithStudy, pairs: tuple[str, ...], same: bool
) -> None:
    before = StudyFile.load(with_study()).identity("search")
    after = StudyFile.load(with_study(*pairs)).identity("search")
    assert len(before) == 12
    assert int(before, 16) >= 0
    assert (before == after) is same


@settings(
    max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_set_of_changes_that_keep_the_identity_alters_it_and_one_other_always_does(
    with_study: WithStudy, data: st.DataObject
) -> None:
    kept = [pairs for pairs, same in CHANGES if same]
    # Each text can be replaced but once.
    chosen = data.draw(st.lists(st.sampled_from(kept), unique_by=lambda pairs: pairs[0]))
    dims = [pairs for pairs in chosen if DIM in pairs[0]]
    chosen = [pairs for pairs in chosen if pairs not in dims[1:]]
    flat = [text for pairs in chosen for text in pairs]
    known = StudyFile.load(with_study()).identity("search")
    assert StudyFile.load(with_study(*flat)).identity("search") == known
    telling = [OBJECTIVES, "objectives: generation.judge_nll"]
    assert StudyFile.load(with_study(*flat, *telling)).identity("search") != known


def test_arms_data_and_the_base_have_identities_of_their_own(with_study: WithStudy) -> None:
    path = with_study()
    study = StudyFile.load(path)
    found = {study.identity("search"), study.identity("by_turns"), study.identity("search", "data")}
    base = path.parent / "base.yaml"
    for old, new in (("width: 16, layers", "width: 32, layers"), ("steps: 15", "steps: 16")):
        base.write_text(base.read_text().replace(old, new))
        found.add(StudyFile.load(path).identity("search"))
    assert len(found) == 5
    base.write_text("name: other\n" + base.read_text())
    assert StudyFile.load(path).identity("search") in found


@pytest.mark.parametrize(("pairs", "said"), WRONG, ids=lambda each: str(each)[:60])
def test_wrong_studies_are_refused_with_place_message_and_hint(
    with_study: WithStudy, pairs: tuple[str, ...], said: str
) -> None:
    path = with_study(*pairs)
    with pytest.raises(SpecError) as error:
        StudyFile.load(path)
    lines = str(error.value).splitlines()
    assert any(line.startswith(f"{path}:{said}") for line in lines), str(error.value)


def test_a_base_that_is_not_there_is_named_with_the_nearest(with_study: WithStudy) -> None:
    path = with_study("base: base.yaml", "base: bse.yaml")
    nearest = r":4:7: base: \S*bse\.yaml: there is no such file; did you mean `base\.yaml`\?"
    with pytest.raises(SpecError, match=nearest):
        StudyFile.load(path)


def test_all_that_is_wrong_is_said_at_once(with_study: WithStudy) -> None:
    path = with_study(
        *(DIM, "representation.latent_dim: [8, -3]\n  prior.blocksize: [1]"),
        *(LOC, "prior.schedule.loc: {low: 3, high: 1}"),
    )
    with pytest.raises(SpecError) as error:
        StudyFile.load(path)
    places = [(p.origin.line, p.origin.column) for p in error.value.problems]
    assert places == [(6, 34), (7, 3), (8, 29)]


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text\n"])
def test_a_file_that_holds_no_map_is_no_study(tmp_path: Path, text: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match="expected a map with study, base, space"):
        StudyFile.load(path)


def test_a_file_that_is_not_there_is_an_error_for_people(with_study: WithStudy) -> None:
    path = with_study()
    with pytest.raises(UserError, match=r"smal\.yaml: there is no such file; did you mean `small"):
        StudyFile.load(path.with_name("smal.yaml"))


def test_reading_a_study_is_quick_and_imports_no_torch(with_study: WithStudy) -> None:
    prior = "prior: [flow_matching, rectified_flow, consistency, mean_flow, shortcut]"
    path = with_study(
        *(DIM, f"{DIM}\n  {prior}\n  representation.log_snr: default\n  prior.block_size: default"),
    )
    code = (
        "import sys\n"
        "from colaflex.studies.file.study_file import StudyFile\n"
        f"StudyFile.load({str(path)!r})\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    StudyFile.load(path)
    start = time.process_time()
    StudyFile.load(path)
    assert time.process_time() - start < 1


def test_the_example_of_the_documentation_is_a_study(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs/studies-file.md").read_text()
    block = page.partition('```yaml title="study.yaml"\n')[2].partition("```")[0]
    (tmp_path / "studies").mkdir()
    (tmp_path / "worlds.yaml").write_text((root / "specs/worlds.yaml").read_text())
    path = tmp_path / "studies/study.yaml"
    path.write_text(block)
    study = StudyFile.load(path)
    assert study.arms == ("search", "one_at_a_time")
    assert len(study.searched.parameters) == 4
    keys = [key for key in StudyFile.model_fields if f"`{key}`" not in page]
    assert keys == []


@pytest.mark.parametrize("command", ["run", "status", "report"])
def test_errors_of_a_study_are_one_message_of_the_command(
    with_study: WithStudy,
    colaflex_command: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    path = with_study(DIM, "representation.latent_dim: [8, -3]")
    monkeypatch.chdir(tmp_path)
    done = colaflex_command("study", command, path)
    assert done.code == 2
    assert done.out == ""
    assert f"{path}:6:34: space.representation.latent_dim.1: expected an integer" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "runs").exists()
