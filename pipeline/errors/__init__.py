"""Errors: one tree; each has a stable code, and a sentence that says what to do.

Public modules: `objections` (mistakes of an input, in words), `tree` (every sentence), `wording` (facts in a sentence).
"""

from pipeline.errors.codes import Code
from pipeline.errors.tree import CheckoutError, Conflict, Invalid, NotFound, Refused, Unavailable, sentence

__all__ = ["CheckoutError", "Code", "Conflict", "Invalid", "NotFound", "Refused", "Unavailable", "sentence"]
