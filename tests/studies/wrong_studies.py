"""Study files with one thing wrong each, and the line that is said of it, from its place on."""

from __future__ import annotations

LOC = "prior.schedule.loc: {low: -1, high: 3}"
DIM = "representation.latent_dim: [8, 16, 32]"
TPE = "sampler: {type: tpe, multivariate: true}"
START = "start: {trials: 5, prior.schedule.loc: {at: 1.0, spread: 0.5}}\n"
TURNS = "by_turns: {sampler: one_at_a_time}"
POINT = "paper: {point: {representation.latent_dim: 16, prior.schedule.loc: 1}}"
OBJECTIVES = "objectives: generation.valid_sentences"
BUDGET = "budget: {trials: 40, minutes: 60}"
PRUNER = "pruner: successive_halving"
RUNGS = "rungs: [0.33, 0.66]\n"
TRIALS = "trials: {evaluation.samples: 3}"
FRESH = "fresh: {seeds: 2}"

WRONG = [
    (("title: A", "titel: A"), "3:1: titel: unknown key; did you mean `title`?"),
    (("space:", "spaces:"), "5:1: spaces: unknown key; did you mean `space`?"),
    (
        (DIM, "representation.latentdim: [8]"),
        "6:3: space.representation.latentdim: unknown key; did you mean"
        " `representation.latent_dim`?",
    ),
    (
        (DIM, "latent_dim: [8]"),
        "6:3: space.latent_dim: unknown key; did you mean `representation.latent_dim`?",
    ),
    (
        (DIM, "prior.shedule.loc: [8]"),
        "6:3: space.prior.shedule.loc: unknown key; did you mean `prior.schedule.loc`?",
    ),
    (
        (DIM, "representation..latent_dim: [8]"),
        "6:3: space.representation..latent_dim: is no key path; write it as prior.block_size",
    ),
    (
        (LOC, "prior.schedule.loc: {low: 3, high: -1}"),
        "7:29: space.prior.schedule.loc.low: the range is upside down: low 3 is above high"
        " -1; swap them",
    ),
    (
        (LOC, "prior.schedule.loc: {low: 1, high: 1}"),
        "7:38: space.prior.schedule.loc.high: low and high are equal: there is nothing to"
        " search; leave the key out",
    ),
    (
        (LOC, "prior.schedule.loc: {low: 1}"),
        "7:23: space.prior.schedule.loc.high: required: a number",
    ),
    (
        (LOC, "prior.schedule.loc: {lo: 1, high: 2}"),
        "7:24: space.prior.schedule.loc.lo: unknown key; did you mean `low`?",
    ),
    (
        (LOC, "prior.schedule.loc: {low: -1, high: 3, log: true}"),
        "7:29: space.prior.schedule.loc.low: a log range needs low above 0, got -1; leave"
        " `log` out, or raise low",
    ),
    (
        (LOC, "prior.schedule.loc: {low: -1, high: 3, step: 0.3}"),
        "7:48: space.prior.schedule.loc.step: a step of 0.3 doesn't fit from -1 to 3; the"
        " last value would be 2.9",
    ),
    (
        (LOC, "prior.schedule.loc: {low: -1, high: 3, step: -1}"),
        "7:48: space.prior.schedule.loc.step: expected a step above 0, got -1",
    ),
    (
        (LOC, "prior.schedule.loc: {low: 1, high: 3, step: 1, log: true}"),
        "7:47: space.prior.schedule.loc.step: a log range has no step; leave `step` or `log` out",
    ),
    (
        (LOC, "prior.schedule.loc: {low: -1, high: 30}"),
        "7:39: space.prior.schedule.loc.high: expected a number from -10 to 10 or `auto`, got 30.0",
    ),
    (
        (LOC, "prior.schedule.loc: 1"),
        "7:23: space.prior.schedule.loc: expected a list of choices, a range {low: .., high:"
        " ..}, or `default`, got 1",
    ),
    (
        (LOC, "prior.schedule.loc: defalt"),
        "7:23: space.prior.schedule.loc: expected a list of choices, a range {low: .., high:"
        " ..}, or `default`, got 'defalt'; did you mean `default`?",
    ),
    (
        (DIM, "representation.latent_dim: []"),
        "6:30: space.representation.latent_dim: expected at least one choice",
    ),
    (
        (DIM, "representation.latent_dim: [8, 16, 8]"),
        "6:38: space.representation.latent_dim.2: 8 stands twice; remove one",
    ),
    (
        (DIM, "representation.latent_dim: [8, -3]"),
        "6:34: space.representation.latent_dim.1: expected an integer from 1 to 4096, got -3",
    ),
    (
        (DIM, "representation.latent_dim: [8, many]"),
        "6:34: space.representation.latent_dim.1: expected an integer from 1 to 4096, got"
        " the text 'many'",
    ),
    (
        (DIM, "representation.latent_dim: {low: 1.5, high: 8}"),
        "6:36: space.representation.latent_dim.low: expected an integer, as the field takes,"
        " got 1.5",
    ),
    (
        (DIM, "prior.prediction: {low: 0, high: 1}"),
        "6:21: space.prior.prediction: a range needs a number, the field takes one of"
        " `velocity`, `x0`; list the choices: [a, b]",
    ),
    (
        (DIM, "prior.prediction: [x0, velocty]"),
        "6:26: space.prior.prediction.1: expected one of `velocity`, `x0`, got the text"
        " 'velocty'; did you mean `velocity`?",
    ),
    (
        (DIM, "prior: default"),
        "6:10: space.prior: `default` is no prior; name those to choose from, [a, b]",
    ),
    (
        (DIM, "prior: [flow_matching, rectfied_flow]"),
        "6:26: space.prior.1: unknown prior 'rectfied_flow'; did you mean 'rectified_flow'?",
    ),
    (
        (DIM, "prior: [flow_matching, flow_matching]"),
        "6:26: space.prior.1: flow_matching stands twice; remove one",
    ),
    (
        (DIM, "prior: [flow_matching, 3]"),
        "6:26: space.prior.1: expected the name of a prior, or a map with its `type` and"
        " options or null",
    ),
    (
        (DIM, "prior: [flow_matching, {type: gaussian, contxt: 2}]"),
        "6:43: space.prior.1: contxt: unknown key of gaussian; did you mean `context`?",
    ),
    (
        (DIM, "prior: [gaussian, normalizing_flow]"),
        "7:3: space.prior.schedule.loc: none of the choices of prior has it; leave it out,"
        " or list a component that has it",
    ),
    (
        (DIM, "prior.type: [gaussian]"),
        "6:3: space.prior.type: a component is searched as a whole; search `prior`",
    ),
    (
        (DIM, "prior.schedule: [{loc: 1}]"),
        "7:3: space.prior.schedule.loc: is set by choice 1 of `prior.schedule`, and searched,"
        " too; leave one of them out",
    ),
    (
        (DIM, "prior.schedule: [uniform, tangent]"),
        "7:3: space.prior.schedule.loc: none of the choices of prior.schedule has it; leave it"
        " out, or list a component that has it",
    ),
    (
        (
            *(DIM, "prior.self_conditioning: [{share: 0.5}]"),
            *(LOC, "prior.self_conditioning.share: [0, 0.5]"),
        ),
        "7:3: space.prior.self_conditioning.share: is searched within `prior.self_conditioning`,"
        " which is searched as a whole; leave one of them out",
    ),
    (
        (DIM, "prior: [{type: flow_matching, schedule: {loc: 1}}]"),
        "7:3: space.prior.schedule.loc: is set by choice 1 of `prior`, and searched, too;"
        " leave one of them out",
    ),
    (
        (DIM, "seed: [1, 2]"),
        "6:3: space.seed: can't be searched: the study sets it itself, in every trial; leave"
        " it out",
    ),
    (
        (DIM, "corpus.documents: [10, 20]"),
        "6:3: space.corpus.documents: can't be searched: trials that differ in it don't"
        " compare; leave it out",
    ),
    (
        (DIM, "representation.latent_dim: [8, 16, 17]\n  representation.heads: [3]"),
        "7:26: space.representation.heads.0: representation: width 16 does not split into 3"
        " heads of even width",
    ),
    (
        ("base: base.yaml\n", ""),
        "2:1: base: required: `base` or `spec`; name a spec file, or write it in place",
    ),
    (
        ("base: base.yaml", "base: base.yaml\nspec: {corpus: worlds}"),
        "5:7: spec: `base` and `spec` are both given; name a spec file, or write it in place",
    ),
    (
        ("base: base.yaml", "base: small.yaml"),
        "4:7: base: a study can't be its own base; name a spec file",
    ),
    ((TPE, "sampler: tpee"), "10:10: sampler.type: unknown sampler 'tpee'; did you mean `tpe`?"),
    (
        (TPE, "sampler: {type: tpe, multivarate: true}"),
        "10:35: sampler.multivarate: sampler tpe has no option 'multivarate'; did you mean"
        " `multivariate`?",
    ),
    ((TPE, "sampler: {multivariate: true}"), "10:10: sampler.type: required: text"),
    (
        (TPE, "sampler: 3"),
        "10:10: sampler: expected a name, or a map with its `type` and options, got 3",
    ),
    (
        (PRUNER, "pruner: sucessive_halving"),
        "11:9: pruner.type: unknown pruner 'sucessive_halving'; did you mean `successive_halving`?",
    ),
    (
        (PRUNER, "pruner: {type: median, warmup: 3}"),
        "11:32: pruner.warmup: pruner median has no option 'warmup'; it has none",
    ),
    (
        (OBJECTIVES, "objectives: generation.valid_sentence"),
        "8:13: objectives.0.metric: there is no metric generation.valid_sentence known; did"
        " you mean `generation.valid_sentences`?",
    ),
    (
        (OBJECTIVES, "objectives: {metric: generation.valid_sentence, better: higher}"),
        "8:22: objectives.0.metric: there is no metric generation.valid_sentence; did you"
        " mean `generation.valid_sentences`?",
    ),
    (
        (OBJECTIVES, "objectives: cost.flop"),
        "8:13: objectives.0.metric: there is no metric cost.flop known; did you mean `cost.flops`?",
    ),
    (
        (OBJECTIVES, "objectives: generation.mean_words"),
        "8:13: objectives.0.metric: nothing says which way generation.mean_words is better;"
        " write {metric: generation.mean_words, better: higher}, or lower",
    ),
    (
        (OBJECTIVES, "objectives: {metric: reconstruction.nll, better: up}"),
        "8:50: objectives.0.better: expected one of `higher`, `lower` or null, got the text 'up'",
    ),
    (
        (OBJECTIVES, "objectives: []"),
        "8:13: objectives: expected a list of at least 1 and at most 8, each a map with"
        " metric, better, got the list []",
    ),
    (
        (OBJECTIVES, "objectives: [reconstruction.nll, reconstruction.nll]"),
        "8:34: objectives.1.metric: reconstruction.nll stands twice; remove one",
    ),
    (
        (OBJECTIVES, "objectives: [generation.valid_sentences, cost.flops]"),
        "11:9: pruner: trials of several objectives can't be pruned; leave it out, or keep"
        " one objective",
    ),
    (
        (OBJECTIVES + "\n", ""),
        "2:1: objectives: required: a list of at least 1 and at most 8, each a map with"
        " metric, better",
    ),
    (
        ("rungs: [0.33, 0.66]", "rungs: [0.66, 0.33]"),
        "12:15: rungs.1: expected increasing shares, 0.33 follows 0.66",
    ),
    (
        ("rungs: [0.33, 0.66]", "rungs: [0.33, 1]"),
        "12:15: rungs.1: expected a number above 0 and below 1, got 1",
    ),
    (
        ("seeds: 1\n", "seeds: 3\n"),
        "12:8: rungs: rungs prune within a training, seeds between those of a trial; choose"
        " one: leave out `rungs` or `seeds`",
    ),
    (("seeds: 1\n", "seeds: 0\n"), "13:8: seeds: expected an integer from 1 to 1000, got 0"),
    (
        (RUNGS, ""),
        "11:9: pruner: a trial is measured but once, at its end: there is nothing to prune;"
        " give rungs, e.g. [0.33, 0.66], or seeds",
    ),
    (
        (PRUNER, "pruner: wilcoxon"),
        "11:9: pruner: wilcoxon compares seed by seed, and a trial has one; give seeds, or"
        " choose successive_halving",
    ),
    ((BUDGET, "budget: {}"), "9:9: budget: nothing ends the search; give trials, minutes or flops"),
    (
        (BUDGET, "budget: {failures: 3}"),
        "9:9: budget: nothing ends the search; give trials, minutes or flops",
    ),
    (
        (BUDGET, "budget: {trials: -4}"),
        "9:18: budget.trials: expected an integer from 1 to 1000000 or null, got -4",
    ),
    ((BUDGET + "\n", ""), "2:1: budget: required: a map with trials, minutes, flops, failures"),
    (
        (TURNS, "by_turns: {}"),
        "18:3: controls.by_turns: neither a sampler nor a point; give one: `sampler`"
        " searches, `point` is run as it is",
    ),
    (
        (TURNS, "by_turns: {sampler: random, point: {prior.block_size: 1}}"),
        "18:3: controls.by_turns: both a sampler and a point; give one: `sampler` searches,"
        " `point` is run as it is",
    ),
    (
        (TURNS, "by_turns: {sampler: randm}"),
        "18:23: controls.by_turns.sampler.type: unknown sampler 'randm'; did you mean `random`?",
    ),
    (
        (TURNS, "search: {sampler: random}"),
        "18:3: controls.search: the search itself has this name; take another",
    ),
    (
        (TURNS, "by/turns: {sampler: random}"),
        "18:3: controls.by/turns: 'by/turns' is no name; use at most 64 letters, digits, _ and -",
    ),
    (
        (POINT, "paper: {point: {representation.latent_dm: 16}}"),
        "19:19: controls.paper.point.representation.latent_dm: unknown key of text_vae; did"
        " you mean `latent_dim`?",
    ),
    (
        (POINT, "paper: {point: {representation.latent_dim: -1}}"),
        "19:46: controls.paper.point.representation.latent_dim: expected an integer from 1"
        " to 4096, got -1",
    ),
    (
        (POINT, "paper: {point: {seed: 1}}"),
        "19:19: controls.paper.point.seed: can't be set: the study sets it itself, in every trial",
    ),
    ((POINT, "paper: {point: {}}"), "19:18: controls.paper.point: expected values by key path"),
    (
        (POINT, "paper: {point: {training.betas: [0.1, 0.2]}}"),
        "19:35: controls.paper.point.training.betas: expected text, a number, or true or"
        " false; or one of the choices",
    ),
    (
        ("start: {trials: 5, prior.schedule.loc:", "start: {trials: 5, prior.schedule.scale:"),
        "14:20: start.prior.schedule.scale: is not searched; did you mean `prior.schedule.loc`?",
    ),
    (
        ("start: {trials: 5, prior.schedule.loc:", "start: {trials: 5, representation.latent_dim:"),
        "14:20: start.representation.latent_dim: has choices; a start needs a range; search"
        " it as a range, or leave it out",
    ),
    (
        ("at: 1.0, spread: 0.5", "at: 1.0, slope: 1, of: representation.latent_dims, spread: 0.5"),
        "14:64: start.prior.schedule.loc.of: representation.latent_dims is no number above"
        " 0; did you mean `representation.latent_dim`?",
    ),
    (
        ("at: 1.0, spread: 0.5", "att: 1.0, spread: 0.5"),
        "14:41: start.prior.schedule.loc.att: unknown key; did you mean `at`?",
    ),
    (
        ("start: {trials: 5", "start: {trails: 5"),
        "14:9: start.trails: unknown key; did you mean `trials`?",
    ),
    (
        (TPE, "sampler: {type: grid, points: 100000}"),
        "10:10: sampler: a grid of 300,000 points is too large (at most 100,000): lower the"
        " sampler's `points`, 100000 a range now, or list fewer choices",
    ),
    (
        (TPE, "sampler: cmaes", LOC, "prior.schedule.loc: [1, 2]", START, ""),
        "10:10: sampler: sampler cmaes moves ranges, and here are choices only: choose tpe,"
        " or give a range",
    ),
    (
        ("storage: journal", "storage: postgres://there/db"),
        "20:10: storage: 'postgres://there/db' is no storage; did you mean `postgresql`?",
    ),
    (
        ("storage: journal", "storage: mysql://there/db"),
        "20:10: storage: 'mysql://there/db' is no storage; expected journal, journal:PATH,"
        " sqlite:///PATH, postgresql://..., grpc://HOST:PORT",
    ),
    (
        ("storage: journal", "storage: grpc://there"),
        "20:10: storage: 'grpc://there' is no storage; expected journal, journal:PATH,"
        " sqlite:///PATH, postgresql://..., grpc://HOST:PORT",
    ),
    (
        ("study: small", "study: a/b"),
        "2:8: study: 'a/b' is no name; use at most 64 letters, digits, _ and -",
    ),
    (
        (TRIALS, "trials: {evaluation.sampels: 3}"),
        "15:10: trials.evaluation.sampels: unknown key; did you mean `samples`?",
    ),
    (
        (TRIALS, "trials: {prior.schedule.loc: 3}"),
        "15:10: trials.prior.schedule.loc: is searched; leave it out of one of them",
    ),
    (
        (TRIALS, "trials: {seed: 3}"),
        "15:10: trials.seed: can't be set: the study sets it itself, in every trial; leave it out",
    ),
    (
        (TRIALS, "trials: {evaluation.samples: 0}"),
        "8:13: objectives.0.metric: no trial can have generation.valid_sentences:"
        " evaluation.samples is 0",
    ),
    (
        (FRESH, "fresh: {seeds: 2, set: {representation.latent_dim: 4}}"),
        "16:25: fresh.set.representation.latent_dim: is searched; leave it out of one of them",
    ),
    (
        (FRESH, "fresh: {seeds: 0}"),
        "19:18: controls.paper.point: a point is run on fresh seeds, and fresh.seeds is 0;"
        " give fresh.seeds",
    ),
    (
        ("title: A small study", "title: A small study\ntitle: B"),
        "4:1: title: duplicate key; it stands already at line 3; remove one",
    ),
    (
        ("title: A small study", "title: [a, b"),
        "4:5: not valid YAML: expected ',' or ']', but got ':'",
    ),
    (
        ("seeds: 1\n", "seeds: 1\nspec: {prior: gausian}\n", "base: base.yaml\n", ""),
        "13:7: corpus: required: the name of a corpus, or a map with its `type` and options;"
        " choose from bible, datasets, text_files, worlds",
    ),
]
