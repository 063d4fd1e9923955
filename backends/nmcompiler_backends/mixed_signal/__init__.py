"""Mixed-signal chips: analog memories and neurons, no two of which are the same."""
