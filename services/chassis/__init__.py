"""What any process needs to run: clock, database, bus, rpc, telemetry, configuration, lifecycle, fault points.

Nothing here knows of law, cases or handoffs; of the library it imports only the error tree.
"""
