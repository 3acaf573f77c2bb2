"""`ragtime doctor`: looks at everything that an operator would look at, and says what to do."""
