"""What the services share: the wire contract, the tables, access, telemetry, settings blocks."""
