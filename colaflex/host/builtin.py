"""The components that ship with colaflex, registered as a stranger's would be."""

from __future__ import annotations

from collections.abc import Mapping

from colaflex.hooks import Component, hookimpl

__all__ = ["colaflex_components"]

COMPONENTS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("segmenter", "segmenters.configs"): {
        "fixed_patch:FixedPatch": (
            "Segments of a fixed number of tokens, aligned to the end of the prompt."
        ),
        "phrase:Phrase": (
            "Phrases by rule: segments begin behind punctuation and at function words."
        ),
        "entropy:Entropy": (
            "Segments that begin where a small language model is unsure of the next token."
        ),
        "learned_boundary:LearnedBoundary": (
            "Segments that begin where a learned scorer says so, by neighbouring token states."
        ),
        "pyramid:Pyramid": (
            "Two levels: a coarse latent before every run of fine ones, in one sequence."
        ),
    },
    ("representation", "representations.configs"): {
        "text_vae:TextVAE": (
            "Causal variational autoencoder over token segments with a Gaussian posterior."
        ),
        "text_ae:TextAE": (
            "Causal autoencoder over token segments, decoded through noise and dropout."
        ),
        "token_embedding:TokenEmbedding": (
            "Learned embeddings as latents, one a token, read back through noise."
        ),
    },
    ("representation", "representations.resampler_config"): {
        "resampler:Resampler": (
            "Latents of a passage by identical queries, each reading up to its segment's end."
        ),
    },
    ("representation", "representations.frozen_configs"): {
        "frozen_bert:FrozenBert": (
            "States of a frozen BERT, read block by block, compressed to a latent a segment."
        ),
        "frozen_t5:FrozenT5": (
            "States of a frozen T5 encoder, read block by block, compressed to a latent a segment."
        ),
    },
    ("network", "networks.configs"): {
        "block_causal:BlockCausal": (
            "Transformer that sees its block whole and earlier blocks clean, conditioned on time."
        ),
    },
    ("prior", "priors.flow_config"): {
        "flow_matching:FlowMatching": (
            "Block-wise conditional flow matching on straight paths from noise to latents."
        ),
        "rectified_flow:RectifiedFlow": (
            "Flow matching re-trained on its teacher's noise-to-latent pairs: straighter paths."
        ),
        "cnf:Cnf": "Continuous flow fitted by maximum likelihood, after a start by flow matching.",
        "hybrid:Hybrid": (
            "A code out of a learned codebook for each latent, and a flow for what it leaves."
        ),
    },
    ("prior", "priors.density_config"): {
        "autoregressive_latent:AutoregressiveLatent": (
            "One latent at a time; its head a Gaussian mixture, a diffusion, or an energy score."
        ),
        "gaussian:Gaussian": (
            "Linear-Gaussian conditional of each block, in closed form: the floor for all priors."
        ),
        "normalizing_flow:NormalizingFlow": (
            "Exact density of each latent given all before it: a flow over its channels."
        ),
        "autoregressive_flow:AutoregressiveFlow": (
            "Exact density of each block: affine flows across its latents, forwards and backwards."
        ),
    },
    ("prior", "priors.few_step_config"): {
        "consistency:Consistency": (
            "Jumps from any noise level to the data; trained on data or distilled from a teacher."
        ),
        "shortcut:Shortcut": (
            "Flow matching that also learns long steps, each from two of half its length."
        ),
        "mean_flow:MeanFlow": (
            "Average velocities over steps of any length, learned by the mean-flow identity."
        ),
    },
    ("coupling", "couplings.configs"): {
        "independent:Independent": "Noise drawn without regard to the data.",
        "minibatch_ot:MinibatchOT": (
            "Noise exchanged between the rows of a batch, nearest to the data all in all."
        ),
    },
    ("schedule", "schedules.configs"): {
        "logit_normal:LogitNormal": "Times whose logits are normal.",
        "uniform:Uniform": "All times alike.",
        "adaptive:Adaptive": "Times as often as they tell something of the data, by the losses.",
        "tangent:Tangent": "Noise over signal by the tangent of a uniform angle: heavy tails.",
    },
    ("baseline", "baselines.configs"): {
        "autoregressive:Autoregressive": (
            "Decoder-only transformer over tokens, with an exact likelihood."
        ),
        "plaid:Plaid": "Diffusion on learned token embeddings, trained by its variational bound.",
        "masked_diffusion:MaskedDiffusion": (
            "Masked diffusion over tokens (LLaDA): masks filled in from both sides, block by block."
        ),
    },
    ("corpus", "corpora.bible"): {
        "bible:Bible": "Chapters of an English Bible translation from installed packages, offline.",
    },
    ("corpus", "corpora.text_files"): {
        "text_files:TextFiles": (
            "Documents from txt, jsonl or parquet files: a file, a folder or a glob."
        ),
    },
    ("corpus", "corpora.datasets"): {
        "datasets:Datasets": "A column of text from a Hugging Face dataset.",
    },
    ("corpus", "corpora.worlds_process"): {
        "worlds:Worlds": (
            "Text with a known generative process: exact likelihood, entropy and parser."
        ),
    },
    ("scorer", "scorers.exact"): {
        "exact:Exact": (
            "Right is what says the truth: its first word, its text, or the option that it means."
        ),
    },
    ("scorer", "scorers.best_option"): {
        "best_option:BestOption": (
            "Right where the option most similar to the answer's first line is the true one."
        ),
    },
    ("task", "tasks.configs"): {
        "generative:GenerativeTask": (
            "Prompts of a file of the user's, continued and compared: what a task file describes."
        ),
        "last_word:LastWord": "The last word of held-out passages.",
        "next_sentence:NextSentence": (
            "The next sentence of held-out passages, chosen among several by what is generated."
        ),
    },
}
"""(kind, module of the configs) -> module and class of the component -> summary."""

VERSIONS = {"cnf": "2", "consistency": "2"}
"""Of those whose results have changed since they were first there."""

WORLDS_TASKS = (
    ("worlds_cloze", "WorldsCloze", "Stories whose next sentence speaks of what was told before."),
    ("worlds_order", "WorldsOrder", "Stories whose next sentence has to be the one in its place."),
    (
        "worlds_paraphrase",
        "WorldsParaphrase",
        "Stories told in two wordings, which have to go on with the same facts.",
    ),
)

PAPER_TASKS = (
    ("lambada", "LambadaConfig", "LAMBADA: the last word of a passage."),
    ("mmlu", "MmluConfig", "MMLU: questions of 57 subjects, four options."),
    ("obqa", "ObqaConfig", "OpenBookQA: elementary science, four options."),
    ("hellaswag", "HellaswagConfig", "HellaSwag: the ending of a scene, word for word."),
    ("race", "RaceConfig", "RACE: reading comprehension, four options."),
    ("siqa", "SiqaConfig", "Social IQa: social situations, three options."),
    ("squad", "SquadConfig", "SQuAD: questions on a paragraph, answered word for word."),
    ("story_cloze", "StoryClozeConfig", "Story Cloze: the ending of a story, word for word."),
)

FIXED_STEP_SOLVERS = (
    ("euler", "EulerConfig", "Euler's method: order 1, one network evaluation a step."),
    ("midpoint", "MidpointConfig", "Explicit midpoint: order 2, two evaluations a step."),
    ("heun", "HeunConfig", "Heun's method: order 2, two evaluations a step."),
    ("rk4", "RungeKutta4Config", "Runge-Kutta (3/8 rule): order 4, four evaluations a step."),
)

ADAPTIVE_SOLVERS = (
    ("adaptive_heun", "AdaptiveHeunConfig", "Heun with adaptive steps: order 2."),
    ("bosh3", "Bosh3Config", "Bogacki-Shampine with adaptive steps: order 3."),
    ("dopri5", "Dopri5Config", "Dormand-Prince with adaptive steps: order 5."),
    ("dopri8", "Dopri8Config", "Dormand-Prince with adaptive steps: order 8."),
)


@hookimpl
def colaflex_components() -> list[Component]:
    """Every component of this package."""
    ours = [
        _component(kind, target, configs, summary)
        for (kind, configs), targets in COMPONENTS.items()
        for target, summary in targets.items()
    ]
    solvers = [
        Component(
            "solver",
            name,
            f"colaflex.solvers.ode:{target}",
            f"colaflex.solvers.configs:{config}",
            summary,
        )
        for target, family in (
            ("OdeSolver", FIXED_STEP_SOLVERS),
            ("AdaptiveOdeSolver", ADAPTIVE_SOLVERS),
        )
        for name, config, summary in family
    ]
    tasks = [
        Component(
            "task",
            name,
            f"colaflex.tasks.{name}:{target}",
            "colaflex.tasks.configs:StoryTaskConfig",
            summary,
        )
        for name, target, summary in WORLDS_TASKS
    ]
    tasks += [
        Component(
            "task",
            name,
            "colaflex.tasks.generative:GenerativeTask",
            f"colaflex.tasks.paper:{config}",
            summary,
        )
        for name, config, summary in PAPER_TASKS
    ]
    return [*ours, *solvers, *tasks]


def _component(kind: str, target: str, configs: str, summary: str) -> Component:
    """One that stands in a module of its name, beside the configs of its room."""
    (name, cls), room = target.split(":"), configs.partition(".")[0]
    version = VERSIONS.get(name, "1")
    config = f"colaflex.{configs}:{cls}Config"
    return Component(kind, name, f"colaflex.{room}.{target}", config, summary, version=version)
