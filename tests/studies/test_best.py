from __future__ import annotations

from pathlib import Path

import pytest

from colaflex.errors import UserError
from colaflex.spec import Spec
from colaflex.studies.best import write_best
from colaflex.studies.objective import Point

WORLDS = Path(__file__).parents[2] / "specs" / "worlds.yaml"
POINT: Point = {
    "representation.latent_dim": 32,
    "prior.schedule.loc": 1.25,
    "prior": "rectified_flow",
}


@pytest.fixture(scope="module")
def base() -> Spec:
    return Spec.load(WORLDS)


def dimension(spec: Spec) -> int:
    assert spec.representation is not None
    return spec.representation.latent_dim


def test_the_spec_has_the_point_and_all_else_of_the_base(base: Spec, tmp_path: Path) -> None:
    path = tmp_path / "new" / "best.yaml"
    write_best(base.override(POINT), POINT, path)
    best = Spec.load(path)
    assert best == base.override(POINT) and best.digest() == base.override(POINT).digest()
    assert dimension(best) == 32
    assert "#   prior.schedule.loc: 1.25" in path.read_text()


def test_its_own_file_is_replaced_and_no_other(base: Spec, tmp_path: Path) -> None:
    path, other = tmp_path / "best.yaml", tmp_path / "mine.yaml"
    write_best(base.override(POINT), POINT, path)
    write_best(base.override({"representation.latent_dim": 8}), {}, path)
    assert dimension(Spec.load(path)) == 8
    other.write_text("name: mine\n")
    for taken in (other, tmp_path):
        with pytest.raises(UserError, match="another file stands here"):
            write_best(base.override(POINT), POINT, taken)
    assert other.read_text() == "name: mine\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["best.yaml", "mine.yaml"]


def test_a_place_that_can_not_be_written_is_named(base: Spec, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        write_best(base.override(POINT), POINT, tmp_path / "file" / "best.yaml")
