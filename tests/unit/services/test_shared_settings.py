"""One file may tell the settings of all services and of the command: none trips over another's."""

import inspect
from collections import defaultdict
from collections.abc import Iterator
from types import ModuleType
from typing import get_args

import pytest

from libs.settings import Block, ServiceSettings, load_settings
from services.admin import settings as admin
from services.ingest import settings as ingest
from services.processor import settings as processor
from services.query import settings as query


def _all_of(module: ModuleType) -> Iterator[type[ServiceSettings]]:
    for found in vars(module).values():
        if inspect.isclass(found) and issubclass(found, ServiceSettings):
            yield found


ALL = sorted({*_all_of(admin), *_all_of(ingest), *_all_of(processor), *_all_of(query)}, key=str)


def _blocks(settings: type[ServiceSettings]) -> dict[str, type[Block]]:
    return {
        name: type_
        for name, field in settings.model_fields.items()
        for type_ in (field.annotation, *get_args(field.annotation))
        if inspect.isclass(type_) and issubclass(type_, Block)
    }


def _fields() -> dict[str, set[str]]:
    fields: defaultdict[str, set[str]] = defaultdict(set)
    for settings in ALL:
        for name, block in _blocks(settings).items():
            fields[name] |= block.model_fields.keys()
    return fields


@pytest.mark.parametrize("settings", ALL, ids=lambda one: f"{one.__module__}.{one.__name__}")
def test_each_block_takes_what_another_service_has_in_it(settings: type[ServiceSettings]) -> None:
    fields = _fields()
    for name, block in _blocks(settings).items():
        assert fields[name] <= block.model_fields.keys() | block.others_read, name


def test_doctor_reads_the_environment_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": "localhost:9092",
        "RAGTIME_CLICKHOUSE__URL": "http://localhost:8123",
        "RAGTIME_CLICKHOUSE__USER": "admin",
        "RAGTIME_CLICKHOUSE__PASSWORD": "secret",
        "RAGTIME_GROUP__NAME": "counting",
        "RAGTIME_GROUP__INSTANCE": "processor-0",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)

    assert load_settings(admin.DoctorSettings).group.name == "counting"
