"""What a process meets while it runs: the terminal, a full disk, failures with a cause."""
