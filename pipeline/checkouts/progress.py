"""The progress of a checkout, for people: the row's `phase` counts two things, by the direction of the checkout."""

from typing import Final

# In review after a failed undo, the row counts the phases left to undo.
_GOES_BACK: Final = "(c.state = 'unwinding' OR (c.state = 'needs_review' AND c.ending IS NOT NULL))"

#: Two columns of a row `c` of `checkouts`: the completed phases of one that goes forward or has ended, and the phases
#: left to undo of one that goes back. The other one is null.
PROGRESS: Final = f"""
    CASE WHEN {_GOES_BACK} THEN NULL ELSE c.phase END AS phases_completed,
    CASE WHEN {_GOES_BACK} THEN c.phase END AS phases_to_undo
"""
