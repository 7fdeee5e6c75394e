"""Other people's programs: what lets them use a run folder."""
