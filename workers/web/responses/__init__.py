"""How results and errors are answered over HTTP."""
