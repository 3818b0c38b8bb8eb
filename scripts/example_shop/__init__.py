"""Parts of the example shop (`scripts/shop.py`)."""
