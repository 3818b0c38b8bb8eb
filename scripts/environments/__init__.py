"""What a command runs in: servers, processes, databases, and how it ends."""
