"""Xieban 协办: whatever two parties must agree on to exchange criminal cases.

This package holds the wire, the procedure and the law; it runs on an integrator's side as well as inside a city. What only a
deployable needs (a bus, a database, a process) lives in `services` and is never imported from here.
"""

__version__ = "0.1.0"
