"""What was found, pushed to Prometheus' Pushgateway: for jobs that nobody can scrape."""

import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import httpx
from prometheus_client import push_to_gateway

from libs.clickhouse.connection import first_line
from services.admin.doctor.findings import Finding
from services.admin.doctor.metrics import metrics_of

JOB = "ragtime-doctor"
# Behind the findings' own codes: what was found is shown, and has not reached Prometheus.
NOT_PUSHED = 3

_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)=(.*)", re.DOTALL)
_TAKEN = {"job", "check"}


class PushError(Exception):
    """The Pushgateway has not taken it; the text says why."""


@dataclass(frozen=True, slots=True)
class Pushgateway:
    """Where it is, and the labels that tell our group of metrics from those of others."""

    url: str
    labels: Mapping[str, str]


def read_url(text: str) -> str:
    """The address of a Pushgateway. Raises ValueError with what is wrong with it."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None
    is_address = url.scheme in {"http", "https"} and url.host and (url.port or 80) < 2**16
    if not is_address or url.query or url.fragment:
        raise ValueError("an address is written as http://pushgateway:9091")
    if url.userinfo:
        raise ValueError("no user and no password: who lists processes would see them")
    return text


def read_labels(texts: Iterable[str]) -> dict[str, str]:
    """Labels as they are written, NAME=VALUE. Raises ValueError with the one that is none."""
    labels = {}
    for text in texts:
        if not (parts := _LABEL.fullmatch(text)):
            raise ValueError(f"a label is written as NAME=VALUE: {text}")
        name, value = parts.groups()
        if name in _TAKEN:
            raise ValueError(f"there is a label of ours by this name: {name}")
        labels[name] = value
    return labels


def push(to: Pushgateway, found: Mapping[str, Finding], timeout_s: float) -> None:
    """Put all of it in place of what this group had before. Raises PushError."""
    labels = dict(to.labels)
    try:
        push_to_gateway(to.url, JOB, metrics_of(found), labels, timeout_s, _request)
    except (httpx.HTTPError, UnicodeError) as error:
        raise PushError(f"{type(error).__name__}: {first_line(error)}") from None


def _request(
    url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
) -> Callable[[], None]:
    """A request as prometheus_client wants one; its own would go by a proxy of the environment."""

    def send() -> None:
        answer = httpx.request(
            method,
            url,
            content=data,
            headers=headers,
            timeout=timeout,
            trust_env=False,
            verify=ssl.create_default_context(),
        )
        if not answer.is_success:
            said = answer.text.strip().partition("\n")[0][:200]
            raise PushError(f"HTTP {answer.status_code} {said}".strip())

    return send
