"""Answers the analytics endpoint: one question a request, one or two statements, one answer."""
