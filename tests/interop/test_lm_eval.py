"""Tasks of lm-evaluation-harness, from local files and offline, on a run folder and on a bigram."""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from colaflex.cli.new_plugin import PackageNames, render
from colaflex.errors import UserError
from colaflex.experiment.loading import LoadedModel, load
from colaflex.interfaces.language_model import GeneratedTokens, LanguageModel
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.stage import Stage
from colaflex.interfaces.values import TokenBatch

pytest.importorskip("lm_eval", reason="needs the extra lm-eval: pip install 'colaflex[lm-eval]'")

from colaflex.interop.lm_eval import evaluate, main
from colaflex.interop.lm_eval_model import HarnessModel, cut

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

GENERATE = """
task: local_generate
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{context}}}}"
doc_to_target: "{{{{target}}}}"
generation_kwargs: {{until: ["."], max_gen_toks: 12, do_sample: false}}
metric_list: [{{metric: exact_match}}]
"""

CHOICE = """
task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_choice: ["{{{{target}}}}", "{longer}"]
doc_to_target: 0
metric_list: [{{metric: acc}}]
"""

ROLLING = """
task: local_perplexity
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{target}}}}"
metric_list: [{{metric: bits_per_byte}}]
"""


class Bigram(LanguageModel):
    """p(next | last) from a fixed table; a document begins behind an end-of-text."""

    def __init__(self, size: int, end: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        table = torch.randn(size, size, generator=generator, dtype=torch.float64)
        self.table, self.end = nn.Parameter(table.log_softmax(-1)), end

    def stages(self) -> Sequence[Stage]:
        return []

    def parts(self) -> Mapping[str, nn.Module]:
        return {}

    def reconstruct(self, tokens: TokenBatch) -> None:
        return None

    def log_likelihood(self, tokens: TokenBatch) -> Tensor:
        before = torch.nn.functional.pad(tokens.tokens, (1, 0), value=self.end)[:, :-1]
        return torch.where(tokens.mask, self.table[before, tokens.tokens], 0.0).sum(1)

    def generate_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        seed: int,
        max_new_tokens: int,
        latent_sampling: SamplingOptions,
        token_sampling: TokenSampling,
        earlier: Sequence[Sequence[int]] = (),
    ) -> Iterator[Sequence[GeneratedTokens]]:
        assert token_sampling.temperature == 0
        for row, prompt in enumerate(prompts):
            made, last = [], [self.end, *prompt][-1]
            for _ in range(max_new_tokens):
                last = int(self.table[last].argmax())
                made.append(last)
            yield [GeneratedTokens(row, tuple(made), "length")]


class Silent(Bigram):
    """The same, and it declares no likelihood."""

    def log_likelihood(self, tokens: TokenBatch) -> None:  # type: ignore[override]
        return None


@pytest.fixture(scope="module")
def latent(finished: Path) -> LoadedModel:
    return load(finished)


@pytest.fixture(scope="module")
def bigram(latent: LoadedModel) -> HarnessModel:
    tokenizer = latent.tokenizer
    model = Bigram(tokenizer.size, tokenizer.end_of_text)
    return HarnessModel(LoadedModel(latent.spec, model, tokenizer, {}), rows=3)


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three tasks on one file of items."""
    for name, value in {**OFFLINE, "HF_HOME": str(tmp_path / "hf")}.items():
        monkeypatch.setenv(name, value)
    data = tmp_path / "items.jsonl"
    items = [{"context": f"The {word} was", "target": "red"} for word in ("boat", "dog", "cat")]
    data.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, text in (("generate", GENERATE), ("choice", CHOICE), ("rolling", ROLLING)):
        (folder / f"{name}.yaml").write_text(text.format(data=data, longer="xyzzy" * 20))
    return folder


def asked(*arguments: Any) -> SimpleNamespace:
    return SimpleNamespace(args=arguments)


def score(model: HarnessModel, tokens: Sequence[int], before: int) -> float:
    table: Tensor = model.loaded.model.table.detach()
    return sum(float(table[a, b]) for a, b in zip([before, *tokens], tokens, strict=False))


def test_a_continuation_has_its_closed_form(bigram: HarnessModel) -> None:
    encode, end = bigram.loaded.tokenizer.encode, bigram.loaded.tokenizer.end_of_text
    pairs = [("The boat was", " red."), ("The boat was ", "red."), ("", "Once"), ("A", " b c d")]
    found = bigram.loglikelihood([asked(*pair) for pair in pairs])
    for (context, continuation), (value, greedy) in zip(pairs, found, strict=True):
        given = encode(context.rstrip())
        rest = encode(context + continuation)[len(given) :]
        assert value == pytest.approx(score(bigram, rest, given[-1] if given else end), abs=1e-9)
        assert not greedy
    assert found[0][0] == pytest.approx(found[1][0])


def test_what_greedy_generation_gives_is_greedy(bigram: HarnessModel) -> None:
    table, end = bigram.loaded.model.table, bigram.loaded.tokenizer.end_of_text
    last, tokens = end, []
    for _ in range(4):
        last = int(table[last].argmax())
        tokens.append(last)
    parts = [(tuple(tokens), 2), (tuple(tokens), 1), ((*tokens[:3], tokens[3] + 1), 1)]
    assert bigram._greedy(parts) == [True, True, False]


@pytest.mark.parametrize("words", [1, 40, 300])
def test_windows_score_every_token_once(bigram: HarnessModel, words: int) -> None:
    # A bigram needs one token before: windows of 64 lose nothing.
    text = " ".join(f"boat{i % 7}" for i in range(words))
    tokens = bigram.loaded.tokenizer.encode(text)
    assert words == 1 or words == 40 or len(tokens) > 10 * bigram._window
    (found,) = bigram.loglikelihood_rolling([asked(text)])
    assert found == pytest.approx(score(bigram, tokens, bigram.loaded.tokenizer.end_of_text))
    long = [asked(text, " end"), asked("boat", " end")]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        scored = bigram.loglikelihood(long)[0][0]
    longer = len(bigram.loaded.tokenizer.encode("".join(map(str, long[0].args)))) > bigram._window
    assert [str(each.message).split(";")[0] for each in told] == (
        ["1 of 2 texts are longer than training.max_tokens"] * longer
    )
    assert scored == pytest.approx(
        score(bigram, bigram.loaded.tokenizer.encode(text + " end")[len(tokens) :], tokens[-1])
    )


def test_without_a_likelihood_there_is_only_generation(bigram: HarnessModel) -> None:
    loaded = bigram.loaded
    model = Silent(loaded.tokenizer.size, loaded.tokenizer.end_of_text)
    spec = loaded.spec.override({"prior": "shortcut"})
    silent = HarnessModel(LoadedModel(spec, model, loaded.tokenizer, {}))
    assert silent.get_model_info()["colaflex_likelihood"] == "none"
    with pytest.raises(
        UserError, match="declares no likelihood: it can't run tasks of output_type"
    ):
        silent.loglikelihood([asked("The boat", " was")])
    with pytest.raises(UserError, match="only generate_until"):
        silent.loglikelihood_rolling([asked("The boat was")])
    limits = {"max_gen_toks": 3}
    assert silent.generate_until([asked("A", limits)]) == bigram.generate_until(
        [asked("A", limits)]
    )


@pytest.mark.parametrize(
    ("parts", "declared"),
    [
        ({"prior": "gaussian"}, "bound"),
        ({"prior": "cnf"}, "ode"),
        ({"prior": "rectified_flow"}, "ode"),
        ({"prior": "mean_flow"}, "none"),
        ({"representation": "text_ae"}, "none"),
        ({"baseline": "masked_diffusion"}, "bound"),
        ({"baseline": "autoregressive"}, "exact"),
    ],
)
def test_it_says_what_the_model_declares(
    bigram: HarnessModel, parts: dict[str, str], declared: str
) -> None:
    loaded = bigram.loaded
    spec = loaded.spec.override(parts)
    asked_of = HarnessModel(LoadedModel(spec, loaded.model, loaded.tokenizer, {}))
    assert asked_of.likelihood == declared


def test_rolling_of_nothing_is_certain(bigram: HarnessModel) -> None:
    assert bigram.loglikelihood_rolling([asked("")]) == [0.0]


def test_generation_is_the_runs_own_cut_at_until(latent: LoadedModel) -> None:
    model = HarnessModel(latent, seed=3)
    prompts = ["The boat", "", "The dog was"]
    plain = [g.text for g in latent.generate(prompts, seed=3, max_new_tokens=9, temperature=0.0)]
    limits = {"max_gen_toks": 9}
    requests = [asked(prompts[0], limits), asked(prompts[1], limits), asked(prompts[2], limits)]
    assert model.generate_until(requests) == plain
    stop = plain[0][2:4]
    stopped = [asked(prompts[0], {**limits, "until": [stop]}), *requests[1:]]
    made = model.generate_until(stopped)
    assert made == [plain[0][: plain[0].find(stop)], *plain[1:]] and made[0] != plain[0]


def test_cut() -> None:
    assert cut("a. b! c", ["!", "."]) == "a"
    assert cut("a b", [".", ""]) == "a b"


def test_options_of_tasks(latent: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    model = HarnessModel(latent)
    assert model._options({}).max_new_tokens == 256 and model._options({}).temperature == 0
    drawn = model._options({"do_sample": True, "top_k": 5, "max_tokens": 7})
    assert (drawn.temperature, drawn.top_k, drawn.max_new_tokens) == (1, 5, 7)
    assert model._options({"do_sample": False, "temperature": 0.7}).temperature == 0
    assert model._options({"temperature": 0.7}).temperature == 0.7
    model._options({"num_beams": 4})
    assert "generation_kwargs without effect: num_beams" in caplog.text


def test_a_generative_task_on_a_run_folder(finished: Path, tasks: Path) -> None:
    found = evaluate(finished, ["local_generate"], tasks, limit=2)
    result = found["results"]["local_generate"]
    assert 0 <= result["exact_match,none"] <= 1
    assert found["n-samples"]["local_generate"]["effective"] == 2
    declared = json.loads((finished / "result.json").read_text("utf-8"))["likelihood"]
    assert found["config"]["colaflex_likelihood"] == declared == "ode"
    texts = [sample["resps"][0][0] for sample in found["samples"]["local_generate"]]
    made = load(finished).generate(
        ["The boat was", "The dog was"], max_new_tokens=12, temperature=0.0
    )
    assert texts == [cut(generated.text, ["."]) for generated in made]


def test_the_page_tells_how(finished: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs/lm-eval.md").read_text(encoding="utf-8")
    task = "\n".join(re.findall(r"^    (.+)$", page, re.MULTILINE))
    for written, ours in (("question", "context"), ("answer", "target")):
        task = task.replace(f"{{{{{written}}}}}", f"{{{{{ours}}}}}")
    items = tasks.parent / "items.jsonl"
    (tasks / "my_task.yaml").write_text(task.replace("/data/items.jsonl", str(items)))
    (code,) = re.findall(r'```python title="harness.py"\n(.+?)```', page, re.DOTALL)
    monkeypatch.chdir(tasks.parent)
    names: dict[str, Any] = {}
    exec(code.replace('"runs/quickstart"', repr(str(finished))), names)
    assert names["found"]["n-samples"]["my_task"]["effective"] == 3


def test_likelihood_tasks_on_a_run_folder_with_a_likelihood(
    site: Any, tmp_path: Path, tasks: Path
) -> None:
    files = render(PackageNames.of("colaflex-lm"), "baseline")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    ((point, module),) = project["entry-points"]["colaflex"].items()
    package = {name: text for name, text in files.items() if name.startswith("colaflex_lm/")}
    site.add(project["name"], package, f"[colaflex]\n{point} = {module}\n")
    (tmp_path / "spec.yaml").write_text(files["spec.yaml"])
    folder = tmp_path / "run"
    done = site.run("run", str(tmp_path / "spec.yaml"), "--out", str(folder))
    assert done.returncode == 0, done.stderr
    arguments = ["--tasks", "local_choice,local_perplexity,local_generate", "--json"]
    done = site.python(
        "-m", "colaflex.interop.lm_eval", str(folder), "--include-path", str(tasks), *arguments
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["config"]["colaflex_likelihood"] == "exact"
    assert found["results"]["local_choice"]["acc,none"] == 1  # against 20 words of no corpus
    assert 0 < found["results"]["local_perplexity"]["bits_per_byte,none"] < 20


def test_wrong_requests_are_one_message(
    finished: Path, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        UserError, match="unknown task 'local_generat'; did you mean 'local_generate'"
    ):
        evaluate(finished, ["local_generat"], tasks)
    with pytest.raises(UserError, match="there is no such folder of task files"):
        evaluate(finished, ["x"], tasks / "missing")
    with pytest.raises(SystemExit) as ended:
        main([str(tasks / "x"), "--tasks", "a", "--include-path", str(tasks)])
    assert ended.value.code == 2
    assert "there is no such run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked_for", "name"),
    [
        ({"top_k": -1}, "top_k"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_gen_toks": 2.5}, "max_new_tokens"),
        ({"max_gen_toks": 10**6}, "max_new_tokens"),
        ({"guidance": 1e308}, "guidance"),
        ({"steps": "many"}, "steps"),
    ],
)
def test_options_out_of_bounds_are_refused(
    latent: LoadedModel, asked_for: dict[str, Any], name: str
) -> None:
    with pytest.raises(UserError, match=f"^{name}: expected .*, got "):
        HarnessModel(latent)._options(asked_for)


@pytest.mark.parametrize("tasks", [",", "", " , ,", ",,"])
def test_no_task_is_one_message(
    finished: Path, capsys: pytest.CaptureFixture[str], tasks: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(finished), "--tasks", tasks])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"Error: --tasks {tasks}: names no task\n"
