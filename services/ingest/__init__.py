"""Takes events over HTTP and answers 202 once Kafka has acknowledged them."""
