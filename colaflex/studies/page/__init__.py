"""The page of a study: one file without scripts, which Optuna's plots and dashboard are not."""
