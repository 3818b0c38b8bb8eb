"""For operators: statistics, health, diagnostics, search, detail, advice."""
