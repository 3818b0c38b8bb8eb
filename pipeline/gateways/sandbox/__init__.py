"""A bank to try things on: its own books, on its own connection, with its own opinion of what happened.

It honours idempotency keys for ever, commits in groups, survives the crash of its caller, lets authorisations go
after `CHECKOUT_SANDBOX_AUTHORIZATION_SECONDS`, and misbehaves when a token asks it to. A token is one word, or several
joined with `+`:

    tok_ok                      authorised; also what holds when only faults are named
    tok_declined                authorize: Declined("card_declined")
    tok_insufficient_funds      authorize: Declined("insufficient_funds")
    tok_action_required         authorize: ActionRequired, until `approve` or `refuse` is called for the object

Faults that pass: only the first call with a key goes wrong, a repeat of the key works.

    tok_<verb>_timeout_before   hangs, without effect
    tok_<verb>_timeout_after    has its effect, then hangs; a repeat gives the answer
    tok_<verb>_error            Unknown("server_error"), without effect
    tok_<verb>_error_after      has its effect, and is Unknown("server_error"); a repeat gives the answer
    tok_<verb>_malformed        has its effect, and its answer cannot be read: Unknown("malformed"); a repeat gives it
    tok_<verb>_slow             answers rightly, but only after half of the time-out
    tok_<verb>_unavailable      Transient("unavailable"), without effect

Faults that stay, whatever the key or how often:

    tok_<verb>_broken           Unknown("server_error") without effect for ever, as when a provider replays a server
                                error with its key; a new key for the same request works
    tok_<verb>_declined         Declined("<verb>_declined")
    tok_<verb>_misconfigured    Misconfigured("access_refused")

`<verb>` is open, authorize, capture, cancel or refund. At most one of the first four and one fault a verb:
`tok_action_required+tok_capture_timeout_after` is a token, `tok_ok+tok_declined` is not. What is not a token names no
fault, and authorize declines it (`token_unknown`).

A hanging or slow call is still running for the bank: until it is over, another one with its key is
Unknown("key_in_use"), whichever process it comes from.

`CHECKOUT_SANDBOX_FAULT_RATE` makes that share of all calls go wrong in one of the ways that pass, `retrieve` too; which
call in which way follows from `CHECKOUT_SANDBOX_FAULT_SEED`, the key (or the reference) and how often it was used.
"""
