"""What is stored: typed tables, states and money. Imports nothing of ours, does no I/O."""
