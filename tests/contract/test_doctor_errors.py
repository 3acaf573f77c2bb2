"""What the drivers raise where a server cannot be reached: the doctor must know it by its kind."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from libs.settings import ClickHouseSettings, KafkaSettings
from services.admin.doctor.advice import advice_of, told
from services.admin.doctor.findings import Finding
from services.admin.doctor.installation import installation
from services.admin.doctor.letters import dead_letters
from services.admin.settings import DoctorSettings
from tests.certificates import Certificates, make_certificates
from tests.ports import free_port

pytestmark = pytest.mark.contract


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@asynccontextmanager
async def closing_port(certificates: Certificates | None) -> AsyncIterator[int]:
    """A port that takes a connection, by TLS or in the open, and closes it when it is spoken to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    tls = certificates.server if certificates else None
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def settings_of(clickhouse: str, kafka: Mapping[str, object]) -> DoctorSettings:
    return DoctorSettings(
        kafka=KafkaSettings.model_validate(kafka),
        clickhouse=ClickHouseSettings.model_validate(
            {"url": clickhouse, "user": "u", "password": "p"}
        ),
    )


async def advice_of_both(clickhouse: str, kafka: Mapping[str, object]) -> list[str]:
    """What is advised where ClickHouse does not answer, and where Kafka does not."""
    async with installation(settings_of(clickhouse, kafka)) as looked_at:
        found = []
        for connect in (looked_at.clickhouse, looked_at.kafka):
            with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is the question
                await connect()
            found.append(advice_of(raised.value))
        return found


async def test_address_is_to_be_looked_at_when_nobody_listens() -> None:
    place = f"127.0.0.1:{free_port()}"
    of_both = await advice_of_both(f"http://{place}", {"bootstrap_servers": place})
    assert all("is up, whether RAGTIME_" in advice for advice in of_both), of_both


async def test_name_is_to_be_corrected_when_it_has_no_address() -> None:
    place = "no-such.invalid:9092"
    of_both = await advice_of_both(f"http://{place}", {"bootstrap_servers": place})
    assert all("No address is known of this name" in advice for advice in of_both), of_both


@pytest.mark.parametrize(
    ("host", "knows_ca", "advised"),
    [
        ("127.0.0.1", False, "CA_FILE who signed the certificate"),
        ("localhost", True, "is for another name"),
        ("127.0.0.1", True, "asks for a certificate of ours"),
    ],
)
async def test_certificate_is_to_be_looked_at_when_one_is_not_known(
    certificates: Certificates, host: str, *, knows_ca: bool, advised: str
) -> None:
    async with closing_port(certificates) as port:
        ca = {"ca_file": certificates.ca} if knows_ca else {}
        settings = settings_of(
            f"https://{host}:{port}",
            {"bootstrap_servers": f"{host}:{port}", "security_protocol": "SSL", **ca},
        )
        clickhouse = settings.clickhouse.model_copy(update=ca)
        async with installation(settings.model_copy(update={"clickhouse": clickhouse})) as one:
            for connect in (one.clickhouse, one.kafka):
                with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is the question
                    await connect()
                assert advised in advice_of(raised.value)


@pytest.mark.parametrize("is_tls", [True, False])
async def test_protocol_is_to_be_looked_at_when_only_one_side_speaks_tls(
    certificates: Certificates, *, is_tls: bool
) -> None:
    async with closing_port(certificates if is_tls else None) as port:
        place = f"127.0.0.1:{port}"
        scheme, protocol = ("http", "PLAINTEXT") if is_tls else ("https", "SSL")
        kafka = {"bootstrap_servers": place, "security_protocol": protocol}
        of_both = await advice_of_both(f"{scheme}://{place}", kafka)
        assert all("see whether that port speaks TLS" in advice for advice in of_both), of_both


async def test_dead_letters_say_why_kafka_cannot_be_reached() -> None:
    place = f"127.0.0.1:{free_port()}"
    settings = settings_of(f"http://{place}", {"bootstrap_servers": place})

    async def look() -> Finding:
        async with installation(settings) as looked_at:
            return await dead_letters(looked_at)

    with pytest.raises(Exception, match="bootstrap") as raised:
        await look()
    assert "ConnectionRefusedError" in told(raised.value)
