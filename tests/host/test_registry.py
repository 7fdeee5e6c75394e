from __future__ import annotations

import sys
from textwrap import dedent
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ValidationError

import colaflex
from colaflex.errors import UserError
from colaflex.hooks import KINDS
from colaflex.host.registry import ComponentError, registry
from colaflex.interfaces.component import ComponentConfig, Slot
from colaflex.solvers.configs import EulerConfig

CONFIG = """
    from colaflex.interfaces.configs import SolverConfig

    class Config(SolverConfig):
        pass
"""

COMPONENTS_HOOK = """
    import colaflex

    @colaflex.hookimpl
    def colaflex_components():
        return [colaflex.Component({fields})]
"""


def rows_of(registry: Any, distribution: str) -> Any:
    return [row for row in registry.rows() if row["distribution"] == distribution]


def test_a_strangers_solver_is_found_configured_and_built(site: Any) -> None:
    site.add_solver("zoo", "leapfrog")
    found = site.registry()
    entry = found.find("solver", "leapfrog")
    assert (entry.distribution, entry.version, entry.entry_point) == ("colaflex-zoo", "1.0", "zoo")
    assert entry.qualified == "colaflex-zoo:leapfrog"
    assert found.find("solver", "Colaflex_Zoo:leapfrog") == entry
    config = found.config("solver", {"type": "colaflex-zoo:leapfrog", "rate": 2})
    assert (config.type, config.rate) == ("leapfrog", 2.0)
    assert found.config("solver", "leapfrog").rate == 1.0
    assert found.config("solver", config) is config
    built = found.build(config, width=7)
    assert built.width == 7 and built.config is config
    assert type(built) is found.target("solver", "leapfrog")
    assert found.heavy_configs == set()
    assert "leapfrog" in found.names("solver")
    (row,) = rows_of(found, "colaflex-zoo")
    assert (row["kind"], row["name"], row["status"], row["reason"]) == (
        "solver",
        "leapfrog",
        "ready",
        "",
    )


def test_two_claims_of_a_name_make_it_ambiguous(site: Any) -> None:
    site.add_solver("one", "leapfrog")
    site.add_solver("two", "leapfrog")
    found = site.registry()
    with pytest.raises(ComponentError) as error:
        found.find("solver", "leapfrog")
    assert "colaflex-one:leapfrog or colaflex-two:leapfrog" in str(error.value)
    assert found.find("solver", "colaflex-two:leapfrog").distribution == "colaflex-two"
    config = found.config("solver", "colaflex-two:leapfrog")
    assert config.type == "colaflex-two:leapfrog"
    assert type(found.build(config)).__module__ == "two.solver"
    assert {"colaflex-one:leapfrog", "colaflex-two:leapfrog"} <= set(found.names("solver"))
    assert "leapfrog" not in found.names("solver")
    for distribution in ("colaflex-one", "colaflex-two"):
        (row,) = rows_of(found, distribution)
        assert row["status"] == "ambiguous"
        assert row["reason"] == "write colaflex-one:leapfrog or colaflex-two:leapfrog"


def test_ours_cannot_be_shadowed(site: Any) -> None:
    site.add_solver("zoo", "euler")
    found = site.registry()
    assert found.find("solver", "euler").distribution == "colaflex"
    assert found.find("solver", "colaflex:euler") == found.find("solver", "euler")
    assert found.config("solver", "colaflex-zoo:euler").type == "colaflex-zoo:euler"
    (row,) = rows_of(found, "colaflex-zoo")
    assert (row["status"], row["reason"]) == ("ambiguous", "write colaflex-zoo:euler")
    ours = next(r for r in rows_of(found, "colaflex") if r["name"] == "euler")
    assert ours["status"] == "ready"


def test_one_distribution_cannot_claim_a_name_twice(site: Any) -> None:
    hook = COMPONENTS_HOOK.format(fields='"solver", "mine", "a.b:C", "a.c:D", "It."')
    site.add(
        "colaflex-zoo",
        {"zoo_a.py": hook, "zoo_b.py": hook},
        "[colaflex]\na = zoo_a\nb = zoo_b\n",
    )
    found = site.registry()
    a, b = found.plugins[1:]
    assert (a.status, b.status) == ("ready", "failed")
    assert "entry point 'a' already" in b.reason


def test_unknown_names_come_with_the_nearest_and_the_list(site: Any) -> None:
    found = site.registry()
    with pytest.raises(UserError) as error:
        found.find("solver", "mid_point")
    assert "unknown solver 'mid_point'; did you mean 'midpoint'?" in str(error.value)
    assert "adaptive_heun, bosh3, dopri5" in str(error.value)
    with pytest.raises(UserError, match="unknown kind of component 'solvr'; did you mean 'solver'"):
        found.find("solvr", "euler")
    with pytest.raises(UserError, match="'euler' is a solver"):
        found.find("coupling", "euler")
    with pytest.raises(UserError, match="pip install colaflex-lost"):
        found.find("solver", "colaflex-lost:leapfrog")
    with pytest.raises(UserError, match=r"there are: .*masked_diffusion"):
        found.find("baseline", "anything")


def test_a_long_list_is_left_out(site: Any) -> None:
    components = ", ".join(
        f'colaflex.Component("task", "task_{i}", "a.b:C", "a.c:D", "It.")' for i in range(30)
    )
    site.add_plugin(
        "zoo",
        f"import colaflex\n@colaflex.hookimpl\ndef colaflex_components(): return [{components}]",
    )
    with pytest.raises(UserError) as error:
        site.registry().find("task", "task_333")
    assert "did you mean 'task_3'" in str(error.value)
    assert "task_17" not in str(error.value)


def test_a_failed_plugins_component_fails_with_the_stored_cause(site: Any) -> None:
    fields = '"solver", "leapfrog", "zoo.a:B", "zoo.c:D", "It.", interface=9'
    site.add_plugin("zoo", COMPONENTS_HOOK.format(fields=fields))
    found = site.registry()
    with pytest.raises(UserError) as error:
        found.find("solver", "leapfrog")
    assert "colaflex-zoo 1.0" in str(error.value)
    assert "written for interface version 9" in str(error.value)
    assert "colaflex plugins --why zoo" in str(error.value)
    (row,) = rows_of(found, "colaflex-zoo")
    assert (row["name"], row["status"]) == ("leapfrog", "failed")


def test_a_plugin_that_failed_before_naming_anything_is_mentioned(site: Any) -> None:
    site.add_plugin("zoo", "import no_such_module_at_all")
    site.add_solver("off", "verlet")
    found = site.registry(COLAFLEX_DISABLE_PLUGINS="off")
    for name in ("leapfrog", "colaflex-zoo:leapfrog"):
        with pytest.raises(UserError) as error:
            found.find("solver", name)
        assert "No module named 'no_such_module_at_all'" in str(error.value)
    with pytest.raises(UserError, match="switched off by COLAFLEX_DISABLE_PLUGINS"):
        found.find("solver", "verlet")
    (zoo,), (off,) = rows_of(found, "colaflex-zoo"), rows_of(found, "colaflex-off")
    assert (zoo["kind"], zoo["name"], zoo["status"]) == (None, None, "failed")
    assert off["status"] == "disabled"


def test_a_disabled_plugin_is_never_imported(site: Any) -> None:
    site.add_plugin("zoo", "raise AssertionError('imported')")
    for environment in ({"COLAFLEX_PLUGINS": ""}, {"COLAFLEX_DISABLE_PLUGINS": "colaflex-zoo"}):
        assert site.registry(**environment).plugins[1].status == "disabled"
    assert "zoo.hooks" not in sys.modules


def test_strict_raises_with_the_traceback(site: Any) -> None:
    site.add_plugin("zoo", "import no_such_module_at_all")
    with pytest.raises(UserError) as error:
        site.registry(COLAFLEX_STRICT_PLUGINS="1")
    assert "colaflex-zoo 1.0" in str(error.value)
    assert "Traceback" in str(error.value)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("class Config: pass", "its config zoo.config:Config is no subclass of ComponentConfig"),
        ("Config = 3", "is no subclass of ComponentConfig"),
        ("from colaflex.interfaces.configs import PriorConfig as Config", "has kind = 'prior'"),
        ("import no_such_module_at_all", "its config zoo.config:Config fails to import"),
        ("import sys; sys.exit()", "it called sys.exit(None) while loading"),
        ("Other = 3", "AttributeError"),
    ],
)
def test_an_unfit_config_names_the_distribution(site: Any, config: Any, expected: str) -> None:
    site.add_solver("zoo", "leapfrog", config=config)
    found = site.registry()
    for call in (found.config_class, found.config):
        with pytest.raises(UserError) as error:
            call("solver", "leapfrog")
        assert expected in str(error.value)
        assert "colaflex-zoo 1.0" in str(error.value)


def test_strict_lets_the_failure_of_an_import_through(site: Any) -> None:
    site.add_solver("zoo", "leapfrog", config="import no_such_module_at_all")
    with pytest.raises(ModuleNotFoundError):
        site.registry(COLAFLEX_STRICT_PLUGINS="1").config("solver", "leapfrog")


def test_an_unfit_target_names_the_distribution(site: Any) -> None:
    site.add_solver("zoo", "leapfrog", solver="Solver = 3")
    found = site.registry()
    with pytest.raises(UserError, match=r"colaflex-zoo 1.0.*target zoo.solver:Solver is 3"):
        found.build(found.config("solver", "leapfrog"))


def test_a_users_mistake_told_by_a_module_stays_as_it_is(site: Any) -> None:
    text = "from colaflex.errors import UserError\nraise UserError('install the extra')"
    site.add_solver("zoo", "leapfrog", solver=text)
    found = site.registry()
    with pytest.raises(UserError) as error:
        found.target("solver", "leapfrog")
    assert str(error.value) == "install the extra"


def test_a_config_that_imports_torch_is_recorded(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    (site.path / "torch.py").write_text("")
    site.add_solver("zoo", "leapfrog", config="import torch\n" + dedent(CONFIG))
    found = site.registry()
    found.config("solver", "leapfrog")
    assert found.heavy_configs == {"zoo.config:Config"}


@pytest.mark.parametrize("raw", [None, 3, [], {}, {"type": 3}, {"rate": 1.0}])
def test_a_value_that_names_nothing(site: Any, raw: Any) -> None:
    with pytest.raises(UserError, match="a solver is a name, or a mapping with `type`"):
        site.registry().config("solver", raw)


def test_a_config_without_type_is_known_by_its_class(site: Any) -> None:
    found = site.registry()
    assert found.entry_of(EulerConfig()).component.name == "euler"
    assert type(found.build(EulerConfig())).__name__ == "OdeSolver"

    class Unregistered(EulerConfig):
        pass

    with pytest.raises(UserError, match="is the config of 0 components"):
        found.entry_of(Unregistered())


NESTING = """
    class Solver:
        def __init__(self, config, depth, build):
            self.inner = build(config.inner) if depth else None
"""

NESTING_CONFIG = """
    from typing import Annotated

    from pydantic import Field

    from colaflex.interfaces.component import ComponentConfig, Slot
    from colaflex.interfaces.configs import SolverConfig

    class Config(SolverConfig):
        inner: Annotated[ComponentConfig, Slot("solver")] = Field("euler", description="Inner.")
"""


def test_nested_components_are_built_through_build(site: Any) -> None:
    registry()
    site.add_solver("zoo", "nested", solver=NESTING, config=NESTING_CONFIG)
    found = site.registry()
    config = found.config("solver", {"type": "nested", "inner": {"type": "dopri5", "rtol": 0.5}})
    assert found.build(config, depth=1).inner.config.rtol == 0.5
    default = found.config("solver", "nested")
    assert found.build(default, depth=1).inner.config.type == "euler"
    with pytest.raises(UserError, match="can't be built: missing a required argument: 'depth'"):
        found.build(config)
    with pytest.raises(UserError, match="has no option 'dept'; did you mean 'depth'"):
        found.build(config, dept=1)


def test_any_context_reaches_a_constructor_that_takes_any(site: Any) -> None:
    text = "class Solver:\n    def __init__(self, config, **context): self.context = context"
    site.add_solver("zoo", "open", solver=text)
    found = site.registry()
    assert set(found.build(found.config("solver", "open"), a=1).context) == {"a", "build"}


def test_an_error_while_building_names_a_strangers_distribution(site: Any) -> None:
    text = "class Solver:\n    def __init__(self, config): raise RuntimeError('no')"
    site.add_solver("zoo", "raising", solver=text)
    found = site.registry()
    with pytest.raises(RuntimeError) as error:
        found.build(found.config("solver", "raising"))
    assert "colaflex-zoo 1.0" in error.value.__notes__[0]


def test_an_error_of_ours_while_building_stays_as_it_is(site: Any) -> None:
    hook = COMPONENTS_HOOK.format(fields='"task", "raising", "ours:Task", "ours:Config", "It."')
    text = """
        from colaflex.interfaces.component import ComponentConfig

        class Config(ComponentConfig):
            kind = "task"

        class Task:
            def __init__(self, config): raise RuntimeError("no")
    """
    site.add("colaflex", {"ours.py": text, "hook.py": hook}, "[colaflex]\nbuiltin = hook\n", "9")
    found = site.registry()
    with pytest.raises(RuntimeError) as error:
        found.build(found.config("task", "raising"))
    assert not hasattr(error.value, "__notes__")


def test_a_failure_of_ours_is_never_passed_over(site: Any) -> None:
    site.add("colaflex", {}, "[colaflex]\nbuiltin = no_such_module_at_all\n", "9")
    with pytest.raises(UserError, match="No module named"):
        site.registry()


def test_a_slot_gives_the_place_of_a_wrong_name() -> None:
    registry()

    class Outer(BaseModel):
        solver: Annotated[ComponentConfig, Slot("solver")]

    assert isinstance(Outer(solver="euler").solver, EulerConfig)
    with pytest.raises(ValidationError) as error:
        Outer(solver="oiler")
    (problem,) = error.value.errors()
    assert problem["loc"] == ("solver",)
    assert isinstance(problem["ctx"]["error"], ComponentError)


def test_build_from_python() -> None:
    solver = colaflex.build("solver", "dopri5", rtol=0.25)
    assert solver.config.rtol == 0.25 and solver.config.type == "dopri5"
    with pytest.raises(UserError, match="no option 'rtoll'; did you mean 'rtol'"):
        colaflex.build("solver", "dopri5", rtoll=0.25)
    with pytest.raises(ValidationError):
        colaflex.build("solver", "dopri5", rtol=-1)


def test_the_registry_of_the_process_warns_once(site: Any) -> None:
    site.add_plugin("zoo", "import no_such_module_at_all")
    done = site.python(
        "-c",
        "from colaflex.host.registry import registry\nregistry(); registry()",
        COLAFLEX_DISABLE_PLUGINS="missing",
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert "no plugin 'missing' is installed" in lines[0]
    assert "colaflex-zoo 1.0" in lines[1] and "colaflex plugins --why zoo" in lines[1]


def test_the_registry_of_this_process_is_one(
    site: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add_plugin("zoo", "import no_such_module_at_all")
    monkeypatch.setenv("COLAFLEX_DISABLE_PLUGINS", "missing")
    registry.cache_clear()
    try:
        assert registry() is registry()
        assert capsys.readouterr().err.count("warning") == 2
    finally:
        registry.cache_clear()


def test_a_plugin_with_life_cycle_hooks_alone_is_listed(site: Any) -> None:
    site.add_plugin("zoo", "import colaflex\n@colaflex.hookimpl\ndef colaflex_step(): pass")
    (row,) = rows_of(site.registry(), "colaflex-zoo")
    assert (row["kind"], row["status"], row["entry_point"]) == (None, "ready", "zoo")


def test_rows_are_ordered_by_kind_and_name(site: Any) -> None:
    site.add_plugin("zoo", "raise ValueError")
    rows = site.registry().rows()
    known = [(KINDS.index(r["kind"]), r["name"]) for r in rows if r["kind"]]
    assert known == sorted(known)
    assert rows[-1]["kind"] is None
