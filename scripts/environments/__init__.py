"""The environment of a command: servers, processes, databases, exit codes."""
