"""How a service reaches the brokers: in the open, by TLS, as a user."""
