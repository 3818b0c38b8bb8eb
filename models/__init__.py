"""What is stored: typed tables, states and money. Imports no other package of the project, does no I/O."""
