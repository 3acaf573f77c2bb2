"""The command `ragtime`: keys, topics and tables, the demo."""
