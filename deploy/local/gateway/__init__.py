"""Serves the chDB engine over ClickHouse's HTTP interface, for machines without a server binary.

An unmodified clickhouse-connect cannot tell the difference, but for what the embedded engine lacks:
sessions (temporary tables, settings that last), users made by SQL, replication, progress headers.
Passwords and rights are checked here, not in the engine, which knows one user: readers get the
engine's own `readonly` mode; writers read in the same mode, insert into the tables named for them
and kill queries. Answers are not compressed (it is the loopback) and are buffered, within bounds.
"""
