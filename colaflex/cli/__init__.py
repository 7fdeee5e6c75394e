"""The command line: thin, it parses, calls and prints. Command bodies import what they need."""
