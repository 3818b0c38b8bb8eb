"""The phases, one file each, do and undo side by side.

This room exports no name: its modules are its face, and only the chain imports them. A phase is one file here and one
line of `pipeline/saga/chain.py`.

Public modules: all of them.
"""
