"""The arguments by which each client of aiokafka reaches the brokers."""

from typing import Any

from libs.kafka.tokens import TokenProvider, token_provider
from libs.settings import KafkaSettings


def connection(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments of a producer, a consumer or an administrator's client."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
        "ssl_context": kafka.tls,
    }
    if "SASL" in kafka.security_protocol:
        arguments |= {"sasl_mechanism": kafka.sasl_mechanism} | _shown(kafka)
    return arguments


def _shown(kafka: KafkaSettings) -> dict[str, Any]:
    """What tells the brokers who comes."""
    if provider := tokens(kafka):
        return {"sasl_oauth_token_provider": provider}
    password = kafka.password.get_secret_value() if kafka.password else None
    return {"sasl_plain_username": kafka.username, "sasl_plain_password": password}


def tokens(kafka: KafkaSettings) -> TokenProvider | None:
    """What hands over tokens, where brokers take these instead of a password."""
    return token_provider(kafka.token_file, kafka.token_command, kafka.sasl_extensions)
