"""What comes in from outside, by kind: its bounds and its one form; and how much JSON is read.

Public modules: `kinds` (every kind of field).
"""

from pipeline.field_types.json_bounds import check_values, measure, read_json
from pipeline.field_types.kinds import MAX_REASON, Minor, Reason, Reference, Ttl

__all__ = ["MAX_REASON", "Minor", "Reason", "Reference", "Ttl", "check_values", "measure", "read_json"]
