"""What operators ask: statistics, health, diagnostics, search, detail, advice."""
