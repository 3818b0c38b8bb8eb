"""Types of input fields: their bounds and their normal form."""
