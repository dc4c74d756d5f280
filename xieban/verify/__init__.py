"""The off-line verifier of evidence bundles: bytes in, a report out. Format and checks: docs/bundle-format.md.

    container    the zip file, in its one form
    closed       canonical JSON and closed schemas
    schemas      what statements, entries, lists and dossiers look like
    members      a bundle taken apart
    trustlist    the city's trust list and its signatures
    logchecks    checkpoint, inclusion, the record of the export, times
    seals        whose signature is under a statement
    statements   fields, lanes, receipts, notices, what the log says of them
    dossiers     commitments and files
    verifier     all checks in their order
    showing      the report for people
    command      `python xieban_verify.py bundle.zip`

Only the standard library, `cryptography`, `xieban.errors` and `xieban.proof` may be imported here: `scripts/verifier_file.py` makes one
file of them, `verifiers/xieban_verify.py`. What must not go in: network, anything that writes, any opinion on the case.
"""
