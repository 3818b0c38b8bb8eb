"""The phases: one file each, with its do and its undo."""
