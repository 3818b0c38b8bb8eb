"""HTTP responses for results and errors."""
