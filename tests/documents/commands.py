"""The commands of the documents, and how each is run on a local stack; or why not here."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local.layout import CHECKOUT

PAGES = (
    CHECKOUT / "README.md",
    *sorted((CHECKOUT / "docs").glob("*.md")),
    *sorted((CHECKOUT / "docs" / "how-to").glob("*.md")),
    CHECKOUT / "CONTRIBUTING.md",
    CHECKOUT / "tests" / "README.md",
)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?P<block>(?:^ {4}.*\n)+)|`(?P<inline>[^`]+)`", re.MULTILINE)
# What is no shell's: settings and statements by the line, YAML and other languages by the block.
_NO_COMMAND = re.compile(r"RAGTIME_|[A-Z_]+=\S*(?: +#.*)?$|CREATE |GRANT ")
_NO_SHELL = re.compile(r"\w+:(?: [{&]|$)|let$|function |#!")
# In a sentence a command is known by its program.
_PROGRAM = re.compile(
    r"(?:ragtime|make|docker|helm|kubectl|pip|python|curl|jq|sed|du|date|ulimit|git"
    r"|\.venv/bin/\w+) "
)
# How a command that runs here begins; what stands in `ELSEWHERE` does not.
_RUNS_HERE = re.compile(
    r"ragtime |\(set -a; \. \.local/ragtime\.env; |set -a; \. \.local/demo\.env|\.venv/bin/ragtime "
    r"|curl (?:-s )?\"\$RT_|printf |make (?:up|down|clean|status|logs|demo)\b|pip install "
    r"|\.venv/bin/python -m (?:tests\.e2e\.|tests\.bench\.idle|pytest tests/e2e/)"
    r"|du |sed |ulimit |jq "
)

_DOCKER = "a Docker daemon: `make test-deploy` runs compose and builds the images"
_KUBERNETES = "a cluster, or Helm: `make test-deploy` renders the chart by Helm's own code"
_HOURS = "it takes minutes to hours, and all of the machine; it has servers of its own"
_TESTS = "tests: `make check` and `make test` run them, and they bring what they need"
_WRITES = "it writes into the checkout, and needs no stack"
# What runs somewhere else: what it needs, or why it does not run here.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    _DOCKER: (
        "docker compose up --detach --wait",
        "docker compose run --rm demo",
        'eval "$(docker compose run --rm --no-deps -T demo keys)"',
        "docker compose run --rm ragtime keys create --project museum --scope analytics:read"
        " --scope events:write",
        "docker compose run --rm ragtime",
        "docker compose --profile observability up --detach",
        "docker compose --profile alerting up --detach",
        "docker compose ps",
        "docker compose logs --follow query",
        "docker compose stop",
        "git pull && docker compose up --detach --wait --build",
        "docker compose down --volumes",
        "docker compose up --build",
        "docker compose run --rm ragtime backup 2026-11-22",
        "docker compose stop processor",
        "docker compose run --rm ragtime restore 2026-11-22 --replace",
        "docker build --build-arg SERVICE=query --tag ragtime-analytics/query .",
        "docker run --rm --entrypoint cat ragtime-analytics/query:0.1.0 /opt/ragtime/sbom.cdx.json",
        "docker inspect --format '{{json .Config.Labels}}' ragtime-analytics/query:0.1.0",
        "docker inspect",
        "docker buildx build --platform linux/amd64,linux/arm64 …",
        "docker buildx build --sbom=true",
        "docker build --platform linux/arm64",
    ),
    _KUBERNETES: (
        "kubectl create namespace analytics",
        "kubectl -n analytics create secret generic ragtime-access"
        ' --from-literal=pepper="$(openssl rand -hex 32)"',
        "kubectl -n analytics create secret generic ragtime-clickhouse"
        " --from-file=ingest-password --from-file=processor-password"
        " --from-file=query-password --from-file=admin-password",
        "kubectl create job ragtime --from=cronjob/…-admin",
        "kubectl exec job/ragtime -- python -m services.admin …",
        "kubectl -n analytics rollout restart",
        "helm upgrade --install ragtime deploy/helm/ragtime-analytics -n analytics -f values.yaml"
        " --wait",
        "helm upgrade --install",
        "helm upgrade",
        "helm rollback",
        "helm test ragtime -n analytics --logs",
        "helm test",
        "helm package",
        "helm show values deploy/helm/ragtime-analytics",
    ),
    _HOURS: (
        "make check",
        "make clients",
        "make test",
        "make test-deploy",
        "make commands",
        "make conformance",
        "make upgrade-test",
        "make chaos",
        "make chaos ROUNDS=50",
        "make chaos ROUNDS=200",
        ".venv/bin/python -m tests.chaos --no-attacker",
        "make states",
        "make chaos-matrix",
        "make chaos-mutants",
        "make chaos-outages",
        "make bench",
        "make bench-check",
        "make bench-scale",
        "make bench-neighbours",
        "make bench-neighbours KINDS=hammering",
        "python -m tests.bench recovery",
        ".venv/bin/python -m tests.bench ingest",
        ".venv/bin/python -m tests.bench keys",
        ".venv/bin/python -m tests.bench late",
        ".venv/bin/python -m tests.bench.against ccdabda --rounds 10",
        ".venv/bin/python -m tests.bench.bodies",
    ),
    _WRITES: (
        "make env",
        "make documents",
        "make schema",
        "make fmt",
        ".venv/bin/pre-commit install",
        ".venv/bin/python -m tests.bench.check --write",
    ),
    _TESTS: (
        ".venv/bin/python -m pytest",
        ".venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --beside-load",
        ".venv/bin/python -m pytest --beside-load=500",
        ".venv/bin/python -m pytest --last-failed -x",
        ".venv/bin/python -m pytest tests/unit",
        ".venv/bin/python -m pytest tests/unit/services/ingest/test_fields.py",
        ".venv/bin/python -m pytest tests/unit/services/ingest/test_fields.py -k occurredAt",
        '.venv/bin/python -m pytest tests/unit -k "fields and rule"',
        ".venv/bin/python -m pytest tests/contract",
        ".venv/bin/python -m pytest tests/integration",
        ".venv/bin/python -m pytest tests/e2e",
        ".venv/bin/python -m pytest tests/security",
        ".venv/bin/python -m pytest tests/fuzz",
        ".venv/bin/python -m pytest tests/soak",
    ),
    "`make up` starts them so, and a second one finds its port taken": (
        "python -m services.ingest",
        "python -m services.processor",
        "python -m services.query",
    ),
    "Kafka's own programs, and a broker with an authorizer: tests/e2e/test_kafka_rights.py": (
        "kafka-acls.sh --bootstrap-server … --add --allow-principal User:ragtime-processor"
        " --operation Read --operation Describe --topic events",
        "kafka-acls.sh --bootstrap-server … --add --allow-principal User:ragtime-processor"
        " --operation Write --operation Describe --topic events.dead-letter",
        "kafka-acls.sh --bootstrap-server … --add --allow-principal User:ragtime-processor"
        " --operation Read --group ragtime-processor",
        "kafka-acls.sh --bootstrap-server … --add --allow-principal User:ragtime-processor"
        " --operation IdempotentWrite --cluster",
    ),
    "macOS": ("date -u -v-7d +%F", "date -u -v-1d +%F"),
    "a checkout of clickhouse-connect": (
        "CLICKHOUSE_CONNECT_TEST_HOST=127.0.0.1 CLICKHOUSE_CONNECT_TEST_PORT=…"
        " CLICKHOUSE_CONNECT_TEST_USER=… CLICKHOUSE_CONNECT_TEST_PASSWORD=…"
        " python -m pytest tests/integration_tests -o addopts= --timeout=120",
    ),
    "it stands for several": (".venv/bin/python -m tests.…",),
}
_REASONS = {text: reason for reason, texts in ELSEWHERE.items() for text in texts}


@dataclass(frozen=True)
class Command:
    """A command, and the pages that give it. `text` is one line, without its comment."""

    text: str
    shell: str  # as it stands there
    pages: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why it does not run here; empty where it does."""
        return _REASONS.get(self.text, "")

    @property
    def is_placed(self) -> bool:
        """Whether somebody has said that it runs here, or why not."""
        return bool(self.reason or _RUNS_HERE.match(self.text))


def documented(pages: Sequence[Path] = PAGES) -> list[Command]:
    """Each command once, in the order of the pages."""
    found: dict[str, Command] = {}
    for page in pages:
        for shell in commands_of(page.read_text("utf-8")):
            command = Command(one_line(shell), shell, (page.stem,))
            before = found.get(command.text, command)
            of_pages = tuple(dict.fromkeys((*before.pages, page.stem)))
            found[command.text] = replace(before, pages=of_pages)
    return list(found.values())


def commands_of(text: str) -> Iterator[str]:
    """The commands of a page: of its blocks, and in its sentences."""
    for code in _CODE.finditer(_FENCED.sub("", text)):
        if code["block"]:
            yield from _commands_of_block(code["block"])
        elif _PROGRAM.match(" ".join(code["inline"].split())):
            yield " ".join(code["inline"].split())


def _commands_of_block(block: str) -> Iterator[str]:
    lines = [line[4:] for line in block.splitlines()]
    if _NO_SHELL.match(lines[0]):
        return
    command = ""
    for line in lines:
        if not command and _NO_COMMAND.match(line):
            continue
        command += f"{line}\n"
        if not _goes_on(command):
            yield command.strip()
            command = ""


def _goes_on(command: str) -> bool:
    """Whether the next line belongs to it."""
    try:
        shlex.split(command, comments=True)
    except ValueError:  # a quotation is open
        return True
    return command.rstrip().endswith(("\\", "|"))


def one_line(shell: str) -> str:
    """A command in one line, without the comment behind it."""
    return " ".join(re.sub(r"\\\n| +# .*", "", shell).split())
