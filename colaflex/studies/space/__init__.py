"""What a study searches: keys of a spec, their values, and which go together."""
