"""The arguments by which each client of aiokafka reaches the brokers."""

from typing import Any

from libs.settings import KafkaSettings


def connection(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments of a producer, a consumer or an administrator's client."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
        "ssl_context": kafka.tls,
    }
    if kafka.password is not None:
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": kafka.password.get_secret_value(),
        }
    return arguments
