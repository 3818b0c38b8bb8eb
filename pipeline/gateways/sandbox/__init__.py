"""A bank for tests and demonstrations: its own tables, on its own connection, independent of the engine.

It honours idempotency keys for ever, commits in groups, survives a crash of its caller, voids authorisations after
`CHECKOUT_SANDBOX_AUTHORIZATION_SECONDS`, and fails when a token asks for a fault. A token is one word, or several
joined with `+`:

    tok_ok                      authorised; also the outcome when only faults are named
    tok_declined                authorize: Declined("card_declined")
    tok_insufficient_funds      authorize: Declined("insufficient_funds")
    tok_action_required         authorize: ActionRequired, until `approve` or `refuse` is called for the object

Passing faults: only the first call with a key goes wrong, a repeat of the key works.

    tok_<verb>_timeout_before   hangs, without effect
    tok_<verb>_timeout_after    has its effect, then hangs; a repeat returns the answer
    tok_<verb>_error            Unknown("server_error"), without effect
    tok_<verb>_error_after      has its effect, and is Unknown("server_error"); a repeat returns the answer
    tok_<verb>_malformed        has its effect, and its answer cannot be read: Unknown("malformed"); a repeat returns it
    tok_<verb>_slow             answers correctly, but only after half of the time-out
    tok_<verb>_unavailable      Transient("unavailable"), without effect

Lasting faults, for any key and any number of calls:

    tok_<verb>_broken           Unknown("server_error") without effect for ever, as when a provider replays a server
                                error with its key; a new key for the same request works
    tok_<verb>_declined         Declined("<verb>_declined")
    tok_<verb>_misconfigured    Misconfigured("access_refused")

`<verb>` is open, authorize, capture, cancel or refund. At most one of the first four and one fault a verb:
`tok_action_required+tok_capture_timeout_after` is a token, `tok_ok+tok_declined` is not. A text that is not a token
names no fault, and authorize declines it (`token_unknown`).

For the bank, a hanging or slow call is still running: until it ends, another call with its key, from any process, is
Unknown("key_in_use").

`CHECKOUT_SANDBOX_FAULT_RATE` gives that share of all calls a passing fault, `retrieve` too; which call gets which fault
follows from `CHECKOUT_SANDBOX_FAULT_SEED`, the key (or the reference) and how often it was used.
"""
