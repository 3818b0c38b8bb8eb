"""Parts of the demo (`scripts/demo.py`)."""
