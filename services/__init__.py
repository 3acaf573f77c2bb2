"""The services: each scales alone, and they meet only in Kafka, in ClickHouse and in `libs`."""
