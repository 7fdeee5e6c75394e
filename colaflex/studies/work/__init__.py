"""Workers: they claim trials, train them, and say what they came to."""
