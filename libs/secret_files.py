"""Secrets that stand in files: each setting that is a secret has a `…_FILE` beside it, too.

Orchestrators hand secrets over as files. What is wrong with one is told by the name of its
variable, without the path: somebody may have set the secret itself there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic_core import PydanticCustomError

SUFFIX = "_file"
# The type of an error that belongs to the variable of the file.
IN_FILE = "secret_file"


@dataclass(frozen=True, slots=True)
class _SecretFile:
    """The file that a secret is to be read from."""

    path: str
    has_value: bool  # the secret is given by itself as well


def _read(given: object) -> object:
    """The content of a file without its last newline; any other value as it is."""
    if not isinstance(given, _SecretFile):
        return given
    if given.has_value:
        raise PydanticCustomError(IN_FILE, "the same is set without _FILE: one of both is too many")
    try:
        text = Path(given.path).read_bytes().decode()
    except (OSError, ValueError):
        raise PydanticCustomError(IN_FILE, "must name a file of text that can be read") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise PydanticCustomError(IN_FILE, "must name a file that is not empty")
    return secret


Secret = Annotated[SecretStr, BeforeValidator(_read)]


def is_secret(annotation: object) -> bool:
    """Whether the type of a field is that of a secret."""
    return annotation is SecretStr or any(is_secret(part) for part in get_args(annotation))


def with_files(block: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """What a block is given, with the files of its secrets in the place of the secrets."""
    taken = dict(given)
    for name, field in block.model_fields.items():
        if is_secret(field.annotation) and (path := taken.pop(name + SUFFIX, None)) is not None:
            taken[name] = _SecretFile(str(path), taken.get(name) is not None)
    return taken
