"""The engine on several hosts and with standbys, measured: parts of `checkout bench`."""
