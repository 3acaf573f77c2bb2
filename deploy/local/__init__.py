"""The stack without Docker: Kafka, ClickHouse's engine, the services, under a process manager."""
