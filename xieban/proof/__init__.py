"""The supervision log as data: trees, tiles, signed checkpoints and proofs that anyone can check without a server.

Formats are those of C2SP (tlog-tiles, signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof) over the tree of RFC 6962; they
are described as built in `docs/ledger-format.md`. Everything is a function of its arguments: no storage, no network, no clock.
Only the standard library, `cryptography` and `xieban.errors` may be imported here, because the off-line verifier stands on it.
"""
