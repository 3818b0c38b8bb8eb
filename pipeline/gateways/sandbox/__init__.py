"""A bank to try things on: its own books, on its own connection, with its own opinion of what happened.

It honours idempotency keys for ever, commits in groups, survives the death of whoever called it, and misbehaves when a
token asks it to. A token is one word, or several joined with `+`:

    tok_ok                      authorised; also what holds when only faults are named
    tok_declined                authorize: Declined("card_declined")
    tok_insufficient_funds      authorize: Declined("insufficient_funds")
    tok_action_required         authorize: ActionRequired, until `approve` or `refuse` is called for the object

    tok_<verb>_timeout_before   the first call with a key hangs and has no effect; a repeat of the key works
    tok_<verb>_timeout_after    the first call with a key has its effect, then hangs; a repeat gives the answer
    tok_<verb>_error            the first call with a key is Unknown("server_error") without effect; a repeat works
    tok_<verb>_declined         always Declined("<verb>_declined")

`<verb>` is open, authorize, capture, cancel or refund. At most one of the first four and one fault a verb:
`tok_action_required+tok_capture_timeout_after` is a token, `tok_ok+tok_declined` is not. What is not a token names no
fault, and authorize declines it (`token_unknown`).

A hanging call is still running for the bank: until the hang is over, another one with its key is
Unknown("key_in_use"), whichever process it comes from.
"""
