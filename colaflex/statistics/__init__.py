"""Random draws that are the same everywhere, intervals, tests of significance, and rankings."""
