"""The components that ship with colaflex, registered as a stranger's would be."""

from __future__ import annotations

from colaflex.hooks import Component, hookimpl

__all__ = ["colaflex_components"]

COMPONENTS = (
    Component(
        "segmenter",
        "fixed_patch",
        "colaflex.segmenters.fixed_patch:FixedPatch",
        "colaflex.segmenters.configs:FixedPatchConfig",
        "Segments of a fixed number of tokens, aligned to the end of the prompt.",
    ),
    Component(
        "segmenter",
        "phrase",
        "colaflex.segmenters.phrase:Phrase",
        "colaflex.segmenters.configs:PhraseConfig",
        "Phrases by rule: segments begin behind punctuation and at function words.",
    ),
    Component(
        "segmenter",
        "entropy",
        "colaflex.segmenters.entropy:Entropy",
        "colaflex.segmenters.configs:EntropyConfig",
        "Segments that begin where a small language model is unsure of the next token.",
    ),
    Component(
        "segmenter",
        "learned_boundary",
        "colaflex.segmenters.learned_boundary:LearnedBoundary",
        "colaflex.segmenters.configs:LearnedBoundaryConfig",
        "Segments that begin where a learned scorer says so, by neighbouring token states.",
    ),
    Component(
        "segmenter",
        "pyramid",
        "colaflex.segmenters.pyramid:Pyramid",
        "colaflex.segmenters.configs:PyramidConfig",
        "Two levels: a coarse latent before every run of fine ones, in one sequence.",
    ),
    Component(
        "representation",
        "text_vae",
        "colaflex.representations.text_vae:TextVAE",
        "colaflex.representations.configs:TextVAEConfig",
        "Causal variational autoencoder over token segments with a Gaussian posterior.",
    ),
    Component(
        "representation",
        "text_ae",
        "colaflex.representations.text_ae:TextAE",
        "colaflex.representations.configs:TextAEConfig",
        "Causal autoencoder over token segments, decoded through noise and dropout.",
    ),
    Component(
        "representation",
        "token_embedding",
        "colaflex.representations.token_embedding:TokenEmbedding",
        "colaflex.representations.configs:TokenEmbeddingConfig",
        "Learned embeddings as latents, one a token, read back through noise.",
    ),
    Component(
        "representation",
        "frozen_bert",
        "colaflex.representations.frozen_bert:FrozenBert",
        "colaflex.representations.frozen_configs:FrozenBertConfig",
        "States of a frozen BERT, read block by block, compressed to a latent a segment.",
    ),
    Component(
        "representation",
        "frozen_t5",
        "colaflex.representations.frozen_t5:FrozenT5",
        "colaflex.representations.frozen_configs:FrozenT5Config",
        "States of a frozen T5 encoder, read block by block, compressed to a latent a segment.",
    ),
    Component(
        "network",
        "block_causal",
        "colaflex.networks.block_causal:BlockCausal",
        "colaflex.networks.configs:BlockCausalConfig",
        "Transformer that sees its block whole and earlier blocks clean, conditioned on time.",
    ),
    Component(
        "prior",
        "flow_matching",
        "colaflex.priors.flow_matching:FlowMatching",
        "colaflex.priors.flow_config:FlowMatchingConfig",
        "Block-wise conditional flow matching on straight paths from noise to latents.",
    ),
    Component(
        "prior",
        "rectified_flow",
        "colaflex.priors.rectified_flow:RectifiedFlow",
        "colaflex.priors.flow_config:RectifiedFlowConfig",
        "Flow matching re-trained on its teacher's noise-to-latent pairs: straighter paths.",
    ),
    Component(
        "prior",
        "autoregressive_latent",
        "colaflex.priors.autoregressive_latent:AutoregressiveLatent",
        "colaflex.priors.density_config:AutoregressiveLatentConfig",
        "One latent at a time; its head a Gaussian mixture, a diffusion, or an energy score.",
    ),
    Component(
        "prior",
        "gaussian",
        "colaflex.priors.gaussian:Gaussian",
        "colaflex.priors.density_config:GaussianConfig",
        "Linear-Gaussian conditional of each block, in closed form: the floor for all priors.",
    ),
    Component(
        "prior",
        "normalizing_flow",
        "colaflex.priors.normalizing_flow:NormalizingFlow",
        "colaflex.priors.density_config:NormalizingFlowConfig",
        "Exact density of each latent given all before it: a flow over its channels.",
    ),
    Component(
        "prior",
        "autoregressive_flow",
        "colaflex.priors.autoregressive_flow:AutoregressiveFlow",
        "colaflex.priors.density_config:AutoregressiveFlowConfig",
        "Exact density of each block: affine flows across its latents, forwards and backwards.",
    ),
    Component(
        "prior",
        "cnf",
        "colaflex.priors.cnf:Cnf",
        "colaflex.priors.flow_config:CnfConfig",
        "Continuous flow fitted by maximum likelihood, after a start by flow matching.",
        version="2",
    ),
    Component(
        "prior",
        "consistency",
        "colaflex.priors.consistency:Consistency",
        "colaflex.priors.few_step_config:ConsistencyConfig",
        "Jumps from any noise level to the data; trained on data or distilled from a teacher.",
        version="2",
    ),
    Component(
        "prior",
        "shortcut",
        "colaflex.priors.shortcut:Shortcut",
        "colaflex.priors.few_step_config:ShortcutConfig",
        "Flow matching that also learns long steps, each from two of half its length.",
    ),
    Component(
        "prior",
        "mean_flow",
        "colaflex.priors.mean_flow:MeanFlow",
        "colaflex.priors.few_step_config:MeanFlowConfig",
        "Average velocities over steps of any length, learned by the mean-flow identity.",
    ),
    Component(
        "prior",
        "hybrid",
        "colaflex.priors.hybrid:Hybrid",
        "colaflex.priors.flow_config:HybridConfig",
        "A code out of a learned codebook for each latent, and a flow for what it leaves.",
    ),
    Component(
        "coupling",
        "independent",
        "colaflex.couplings.independent:Independent",
        "colaflex.couplings.configs:IndependentConfig",
        "Noise drawn without regard to the data.",
    ),
    Component(
        "coupling",
        "minibatch_ot",
        "colaflex.couplings.minibatch_ot:MinibatchOT",
        "colaflex.couplings.configs:MinibatchOTConfig",
        "Noise exchanged between the rows of a batch, nearest to the data all in all.",
    ),
    Component(
        "baseline",
        "autoregressive",
        "colaflex.baselines.autoregressive:Autoregressive",
        "colaflex.baselines.configs:AutoregressiveConfig",
        "Decoder-only transformer over tokens, with an exact likelihood.",
    ),
    Component(
        "baseline",
        "plaid",
        "colaflex.baselines.plaid:Plaid",
        "colaflex.baselines.configs:PlaidConfig",
        "Diffusion on learned token embeddings, trained by its variational bound.",
    ),
    Component(
        "corpus",
        "bible",
        "colaflex.corpora.bible:Bible",
        "colaflex.corpora.bible:BibleConfig",
        "Chapters of an English Bible translation from installed packages, offline.",
    ),
    Component(
        "corpus",
        "text_files",
        "colaflex.corpora.text_files:TextFiles",
        "colaflex.corpora.text_files:TextFilesConfig",
        "Documents from txt, jsonl or parquet files: a file, a folder or a glob.",
    ),
    Component(
        "corpus",
        "datasets",
        "colaflex.corpora.datasets:Datasets",
        "colaflex.corpora.datasets:DatasetsConfig",
        "A column of text from a Hugging Face dataset.",
    ),
    Component(
        "corpus",
        "worlds",
        "colaflex.corpora.worlds:Worlds",
        "colaflex.corpora.worlds_process:WorldsConfig",
        "Text with a known generative process: exact likelihood, entropy and parser.",
    ),
    Component(
        "baseline",
        "masked_diffusion",
        "colaflex.baselines.masked_diffusion:MaskedDiffusion",
        "colaflex.baselines.configs:MaskedDiffusionConfig",
        "Masked diffusion over tokens (LLaDA): masks filled in from both sides, block by block.",
    ),
    Component(
        "scorer",
        "exact",
        "colaflex.scorers.exact:Exact",
        "colaflex.scorers.exact:ExactConfig",
        "Right is what says the truth: its first word, its text, or the option that it means.",
    ),
    Component(
        "scorer",
        "best_option",
        "colaflex.scorers.best_option:BestOption",
        "colaflex.scorers.best_option:BestOptionConfig",
        "Right where the option most similar to the answer's first line is the true one.",
    ),
    Component(
        "task",
        "generative",
        "colaflex.tasks.generative:GenerativeTask",
        "colaflex.tasks.configs:GenerativeTaskConfig",
        "Prompts of a file of the user's, continued and compared: what a task file describes.",
    ),
    Component(
        "task",
        "last_word",
        "colaflex.tasks.last_word:LastWord",
        "colaflex.tasks.configs:LastWordConfig",
        "The last word of held-out passages.",
    ),
    Component(
        "task",
        "next_sentence",
        "colaflex.tasks.next_sentence:NextSentence",
        "colaflex.tasks.configs:NextSentenceConfig",
        "The next sentence of held-out passages, chosen among several by what is generated.",
    ),
)

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
    return [*COMPONENTS, *solvers, *tasks]
