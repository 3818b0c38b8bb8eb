"""What comes in from outside, by kind: its bounds and its one form."""
