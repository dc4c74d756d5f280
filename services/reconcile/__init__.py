"""Reconciliation as every node does it: answering what is held, comparing with counterparts, and a run each night."""
