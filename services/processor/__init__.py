"""The processor: reads the topic, skips what was counted, and inserts each event exactly once."""
