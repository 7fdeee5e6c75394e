"""The kit's three faces: a function, pytest parameters, a command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from broken.parts import Euler, LooksTwice

from colaflex.errors import UserError
from colaflex.interfaces.conformance import Conformance
from colaflex.testing import CheckResult, check, conformance_checks


def statuses(results: list[CheckResult]) -> dict[str, str]:
    return {result.name: result.status for result in results}


class Excused(LooksTwice):
    conformance = Conformance(
        expected_failures={"solver.evaluations": "it looks twice", "solver.dtype": "it can't"}
    )


def test_expected_failures_have_reasons_and_are_strict() -> None:
    found = {result.name: result for result in check(Excused)}
    assert found["solver.evaluations"].status == "expected_failure"
    assert found["solver.evaluations"].reason == "it looks twice"
    assert found["solver.dtype"].status == "failed"
    assert "take it off its list" in found["solver.dtype"].message
    given = check(LooksTwice, expected_failures={"solver.evaluations": "known"})
    assert statuses(given)["solver.evaluations"] == "expected_failure"


def test_a_component_is_found_by_name_path_or_class() -> None:
    by_name = statuses(check("solver", "euler"))
    assert statuses(check(Euler)) == by_name
    assert set(by_name.values()) == {"passed"}
    shared = check("colaflex.solvers.ode:OdeSolver", only=["solver.base"])
    assert [r.component for r in shared] == [
        f"solver {n}" for n in ("euler", "midpoint", "heun", "rk4")
    ]
    small = check("segmenter", "fixed_patch", config={"size": 3}, only=["segmenter.longest"])
    assert statuses(small) == {"segmenter.longest": "passed"}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (("solver", "eulr"), "did you mean 'euler'"),
        (("solver",), "which solver"),
        (("no.such.module:Thing",), "No module named"),
        (("colaflex.solvers.ode:Nothing",), "Nothing"),
        (("nonsense",), "package.module:Class"),
        ((dict,), "not known|no kind"),
    ],
)
def test_what_cannot_be_found_is_said(target: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check(*target)


def test_pytest_parameters() -> None:
    parameters = conformance_checks(Excused)
    assert [p.id for p in parameters] == [result.name for result in check(Excused)]
    by_name = {p.id: p.values[0] for p in parameters}
    by_name["solver.base"]()
    with pytest.raises(pytest.xfail.Exception, match="it looks twice"):
        by_name["solver.evaluations"]()
    with pytest.raises(pytest.fail.Exception, match="take it off its list"):
        by_name["solver.dtype"]()


def test_the_command(colaflex_command: Any) -> None:
    done = colaflex_command("plugins", "check", "solver", "euler", "--json")
    assert done.code == 0
    assert {row["status"] for row in done.json} == {"passed"}
    assert list(done.json[0]) == ["component", "name", "status", "reason", "message"]
    broken = colaflex_command("plugins", "check", "broken.parts:LooksTwice")
    assert broken.code == 1
    assert "makes 2" in broken.out and "1 failed" in broken.out
    failed = json.loads(
        colaflex_command("plugins", "--json", "check", "broken.parts:LooksTwice").out
    )
    assert [row["name"] for row in failed if row["status"] == "failed"] == ["solver.evaluations"]
    everything = colaflex_command("plugins", "check", "broken.parts:Euler", "--all")
    assert everything.code == 0 and "solver.direction" in everything.out
    absent = colaflex_command("plugins", "check", "no_such_package:Thing")
    assert absent.code == 2
    assert "can't be found" in absent.err and not absent.out
