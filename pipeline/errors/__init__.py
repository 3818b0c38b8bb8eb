"""Errors: one tree, a stable code and a sentence for each that says what to do.

Public modules: `objections` (what is wrong with something from outside), `tree` (every sentence), `wording` (facts in a
sentence).
"""

from pipeline.errors.codes import Code
from pipeline.errors.tree import CheckoutError, Conflict, Invalid, NotFound, Refused, Unavailable, sentence

__all__ = ["CheckoutError", "Code", "Conflict", "Invalid", "NotFound", "Refused", "Unavailable", "sentence"]
