"""The wire contract of the topic `events`: models, codec, partition key, reasons, examples."""
