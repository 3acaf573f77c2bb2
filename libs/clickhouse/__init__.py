"""The tables: numbered migrations, their runner, and how a service connects."""
