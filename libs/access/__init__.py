"""Who may do what: API keys, where they are kept, and how often each may ask."""
