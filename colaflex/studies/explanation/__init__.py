"""What a study teaches: importances, interactions, drift of optima."""
