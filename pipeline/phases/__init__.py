"""The phases, one file each, do and undo side by side."""
