"""What is known before a run: its corpus, tokens and model, and what it can take from others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colaflex.corpora.token_index import Data, prepare_data
from colaflex.evaluation.evaluate import Evaluator
from colaflex.experiment.assembly import trainable
from colaflex.experiment.conditions import Conditions, conditions
from colaflex.experiment.folder import RunFolder
from colaflex.experiment.identity import precision_for
from colaflex.experiment.measuring import Say, evaluator
from colaflex.experiment.run_options import RunOptions
from colaflex.experiment.settings import chosen_device
from colaflex.experiment.sources import adopt_teacher, finished_run, taken_stage_one
from colaflex.experiment.stage_cache import KnownStageOne, load_stage_one
from colaflex.host.registry import registry
from colaflex.interfaces.corpus import Corpus
from colaflex.interfaces.language_model import LanguageModel
from colaflex.runtime import terminal
from colaflex.spec import Spec
from colaflex.training.batches import TrainingBatches
from colaflex.training.distributed import Processes, Strategy, join_processes
from colaflex.training.hardware import Precision, require_compiler
from colaflex.training.stage_plan import BatchOrder, StagePlan, plan_stages
from colaflex.training.watcher import Watcher

__all__ = ["Prepared", "data_of", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a run needs; nothing is written yet but caches.

    Attributes:
        spec: the experiment.
        folder: the run folder, which may not be there.
        options: of the run.
        processes: who trains together.
        precision: of a step's arithmetic.
        conditions: what else moves results.
        corpus: documents.
        data: their tokens, and the tokenizer.
        spec_digest: identifies the experiment.
        stage1_digest: identifies its stage 1; "" where there is none.
        model: untrained, but for a teacher that was adopted.
        teacher_cost: what that took, as stages in result.json.
        stage_one: a stage 1 that is known already.
    """

    spec: Spec
    folder: RunFolder
    options: RunOptions
    processes: Processes
    precision: Precision
    conditions: Conditions
    corpus: Corpus
    data: Data
    spec_digest: str
    stage1_digest: str
    model: LanguageModel
    teacher_cost: Sequence[dict[str, Any]]
    stage_one: KnownStageOne | None

    def plans(self) -> list[StagePlan]:
        """The stages with their settings and steps."""
        return plan_stages(self.model.stages(), self.spec.training.for_stage)

    def order(self, plan: StagePlan) -> BatchOrder:
        """The batches of a stage."""
        settings = self.spec.training.for_stage(plan.stage.settings)
        return TrainingBatches(
            self.data.index, settings.max_tokens, settings.batch_size, self.spec.seed
        )

    def evaluator(self, say: Say = lambda text: None, watcher: Watcher | None = None) -> Evaluator:
        """What measures the model as it stands."""
        split = self.options.split
        return evaluator(self.spec, self.model, self.data, self.corpus, say, split, watcher)

    def say(self, text: str) -> None:
        """On stderr, by the process that writes, unless the run is to be quiet."""
        if not self.options.quiet and self.processes.writes:
            terminal.say(text)

    def check(self) -> None:
        """Refuse before anything is written what could only fail later; warn of the rest."""
        for plan in self.plans():
            plan.rows_of_a_share(self.processes.world * plan.settings.accumulate)
            self.order(plan)
            if plan.settings.compile:
                require_compiler()
        self.evaluator(self.say)


def prepare(spec: Spec, folder: Path, options: RunOptions) -> Prepared:
    """Read the corpus, build the model, and look for what is trained already.

    Raises:
        UserError: device, corpus, tokenizer, or a run that the spec takes from can't be used.
    """
    run_folder, device = RunFolder(folder), chosen_device(options.device)
    strategy: Strategy = "fsdp" if options.strategy == "fsdp" else "ddp"
    processes = join_processes(device, strategy)
    precision = precision_for(run_folder, options.precision, device, options.resume)
    corpus: Corpus = registry().build(spec.corpus)
    taken = spec.stage1_run
    source = None if taken is None else finished_run("representation.from", taken)
    data = _shared_data(spec, corpus, processes)
    # From scratch, and in a baseline, there is no stage 1.
    latent = spec.baseline is None and spec.training.regime != "scratch"
    stage1_digest = spec.stage1_digest(data.digest) if latent else ""
    model = trainable(spec, data.tokenizer, processes.device)
    teacher_cost = adopt_teacher(spec, model, stage1_digest)
    stage_one = None
    if stage1_digest and source is not None:
        stage_one = taken_stage_one(source)
    elif stage1_digest:
        stage_one = load_stage_one(model, stage1_digest, precision)
    return Prepared(
        spec,
        run_folder,
        options,
        processes,
        precision,
        conditions(processes, precision),
        corpus,
        data,
        spec.digest(data.digest),
        stage1_digest,
        model,
        teacher_cost,
        stage_one,
    )


def data_of(spec: Spec, corpus: Corpus) -> Data:
    """Tokenizer and token index of a spec's corpus."""
    representation = spec.representation
    own = None if representation is None else representation.tokenizer_file()
    path = own or spec.tokenizer.path
    if spec.stage1_run is not None:
        # A representation reads the tokens it was trained on, whatever the corpus is now.
        path = spec.stage1_run / "tokenizer.json"
    return prepare_data(corpus, spec.tokenizer.vocab_size, None if path is None else str(path))


def _shared_data(spec: Spec, corpus: Corpus, processes: Processes) -> Data:
    """As `data_of`: one process writes the cache, and the others find it."""
    if not processes.writes:
        processes.barrier()
        return data_of(spec, corpus)
    data = data_of(spec, corpus)
    processes.barrier()
    return data
