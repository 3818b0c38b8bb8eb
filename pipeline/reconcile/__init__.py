"""Our books and the provider's, held against each other both ways. Reads only; `pipeline/repair.py` settles."""
