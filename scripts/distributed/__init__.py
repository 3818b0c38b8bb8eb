"""Several hosts on one machine, with faults between them (`scripts/cluster.py`)."""
