"""Types of input fields, with their bounds and their normal form; and bounds of JSON.

Public modules: `cursors` (of pages), `kinds` (every type of field).
"""

from pipeline.field_types.json_bounds import check_values, measure, read_json
from pipeline.field_types.kinds import MAX_REASON, Minor, Reason, Reference, Ttl

__all__ = ["MAX_REASON", "Minor", "Reason", "Reference", "Ttl", "check_values", "measure", "read_json"]
