"""Structured logs, and every metric of the system declared once."""
