"""Tasks: questions with known answers, from files of the user's or from held-out text."""
