"""Parts of the replay (`scripts/replay.py`)."""
