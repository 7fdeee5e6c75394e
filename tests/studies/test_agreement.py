"""What the trials of a study share: other data, another precision or folder is refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from colaflex.errors import UserError
from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.study import SEARCH, Study, Where
from colaflex.studies.work.agreement import join

WithStudy = Callable[..., Path]
WORDS = ("the cat sat on the mat", "a dog ran to the park", "two birds sang in a tree")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder with forty short documents."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.txt").write_text(f"{WORDS[number % 3]} {number}.\n" * 3)
    return folder


@pytest.fixture
def study_on(with_study: WithStudy, tmp_path: Path) -> Callable[..., Study]:
    """Opens the small study with a folder of texts for a corpus."""
    path = with_study()
    worlds = "{type: worlds, documents: 120, validation_documents: 12, test_documents: 12}"
    base = tmp_path / "base.yaml"
    text = base.read_text()
    assert worlds in text

    def open_study(corpus: Path, out: str = "out", storage: str = "journal") -> Study:
        base.write_text(text.replace(worlds, f"{{type: text_files, path: {corpus}}}"))
        file = StudyFile.load(path)
        return Study(file, Where(tmp_path / out, storage))

    return open_study


def joined(study: Study, precision: str = "auto", device: str = "cpu") -> tuple[str, list[str]]:
    said: list[str] = []
    return join(study, study.arms, precision, device, said.append), said


def add_trial(study: Study) -> None:
    study.arm(SEARCH).add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"point": {}}))


def test_other_data_is_refused_and_the_same_at_another_place_goes_on(
    texts: Path, study_on: Callable[..., Study]
) -> None:
    study = study_on(texts)
    _, said = joined(study)
    add_trial(study)
    assert said == []
    assert study.status()["data"] == study.data(SEARCH) is not None

    moved = texts.with_name("moved")
    shutil.copytree(texts, moved)
    assert joined(study_on(moved))[1] == []
    # A document more, one less, one changed by a letter, others in their place.
    more, less, letter = (texts.with_name(name) for name in ("more", "less", "letter"))
    for other in (more, less, letter):
        shutil.copytree(texts, other)
    (more / "40.txt").write_text("A new one.\n")
    (less / "07.txt").unlink()
    (letter / "07.txt").write_text((texts / "07.txt").read_text().replace("a", "o", 1))
    for other in (more, less, letter):
        study = study_on(other)
        with pytest.raises(UserError, match="the data is not what the trials of search") as caught:
            joined(study)
        assert "another --out" in str(caught.value)
        assert "--storage" not in str(caught.value)
        assert len(study.records(SEARCH)) == 1  # the old one is looked at as before
    (letter / "07.txt").write_text((texts / "07.txt").read_text())
    assert joined(study_on(letter))[1] == []


def test_other_data_in_a_database_needs_another_storage_too(
    texts: Path, study_on: Callable[..., Study], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = study_on(texts, storage=url)
    joined(study)
    (texts / "07.txt").write_text("Something else.\n")
    with pytest.raises(UserError, match="another --out and another --storage"):
        joined(study_on(texts, storage=url))


def test_a_study_of_before_takes_the_present_data_and_says_so(
    texts: Path, study_on: Callable[..., Study]
) -> None:
    study = study_on(texts)
    add_trial(study)
    _, said = joined(study)
    assert len(said) == 1 and "the present data is taken to be theirs" in said[0]
    assert joined(study)[1] == []
    (texts / "07.txt").write_text("Something else.\n")
    with pytest.raises(UserError, match="the data is not"):
        joined(study_on(texts))


def test_trials_have_one_precision(texts: Path, study_on: Callable[..., Study]) -> None:
    study = study_on(texts)
    assert joined(study, "bf16")[0] == "bf16"
    for asked in ("auto", "bf16"):
        assert joined(study_on(texts), asked)[0] == "bf16"
    with pytest.raises(UserError, match="--precision fp32: the trials of this study are in bf16"):
        joined(study, "fp32")


def test_a_folder_with_trials_of_another_storage_is_refused(
    texts: Path, study_on: Callable[..., Study], tmp_path: Path
) -> None:
    study = study_on(texts)
    joined(study)
    add_trial(study)
    (tmp_path / "out" / study.folder_of(SEARCH) / "0000").mkdir(parents=True)
    moved = study_on(texts, storage=f"sqlite:///{tmp_path}/study.db")
    with pytest.raises(UserError, match=r"another storage knows.*another folder with --out"):
        joined(moved)
    assert joined(study_on(texts))[1] == []
    assert joined(study_on(texts, "out2", f"sqlite:///{tmp_path}/study.db"))[1] == []
    assert joined(study_on(texts, "elsewhere"))[1] == []


def test_a_folder_of_before_belongs_to_the_storage_that_has_its_trials(
    texts: Path, study_on: Callable[..., Study], tmp_path: Path
) -> None:
    study = study_on(texts)
    (tmp_path / "out" / study.folder_of(SEARCH) / "0000").mkdir(parents=True)
    other = study_on(texts, storage=f"journal:{tmp_path}/other.log")
    with pytest.raises(UserError, match="another storage knows"):
        joined(other)
    add_trial(study)
    joined(study)
    with pytest.raises(UserError, match="another storage knows"):
        joined(other)


def test_what_made_it_another_study_is_named(
    texts: Path, study_on: Callable[..., Study], tmp_path: Path
) -> None:
    study = study_on(texts)
    joined(study)
    add_trial(study)
    pairs = [
        ("[8, 16, 32]", "[8, 16]", ("space.representation.latent_dim",)),
        ("high: 3", "high: 4", ("space.prior.schedule.loc",)),
        ("rungs: [0.33, 0.66]", "rungs: [0.5]", ("rungs",)),
        ("evaluation.samples: 3", "evaluation.samples: 2", ("evaluation.samples",)),
        ("objectives: generation.valid_sentences", "objectives: cost.flops", ("objectives",)),
    ]
    path = study.file.path
    text = path.read_text()
    for old, new, keys in pairs:
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        (other,) = [o for o in study_on(texts).others() if "/search-" in o.name]
        assert (other.complete, other.keys) == (1, keys)
    # Budget, sampler and title may change.
    path.write_text(text.replace("trials: 40", "trials: 50").replace("A small", "A fine"))
    assert study_on(texts).others() == []
    assert len(study_on(texts).records(SEARCH)) == 1
