"""Checks every stored thing of a node against what vouches for it.

    check      one node, from its configuration to a report
    basis      what the checks believe: trust list, calendar, who the node is
    storage    the file itself: pages, indexes, schema, types
    desk       an agency's headers, dossiers, lanes, document numbers
    told       an agency's receipts, facts, states, events, outbox
    notified   an agency's notices, replies, and what it saw as a witness
    sealed     the gateway's statements and what is read off them
    derived    the gateway's rows that follow from statements, worked out anew beside the stored ones
    tree       the supervision log: entries, leaves, subtrees, checkpoints, cosignatures

Nothing is repaired and nothing is written.
"""
