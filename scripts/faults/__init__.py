"""Parts of the chaos run (`scripts/chaos.py`)."""
