"""Each command of the documents is run on a local stack, and ends as it should.

Those that install or measure are left to `make commands`.
"""

from collections.abc import Iterator

import pytest

from tests.documents.commands import documented
from tests.documents.running import Runner, in_turn, is_long
from tests.integration.local_stack.running import LocalStack

pytestmark = pytest.mark.e2e


@pytest.fixture
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    stack = LocalStack(tmp_path_factory.mktemp("commands"))
    yield Runner(stack)
    assert stack.run("clean").returncode == 0


def test_documented_commands_end_as_they_should(runner: Runner) -> None:
    commands = [one for one in in_turn(documented()) if not is_long(one)]
    ended = [runner.run(one) for one in commands]
    wrong = [(one.command.text, one.code, one.said) for one in ended if not one.is_as_expected]
    assert not wrong, "\n\n".join(f"{text}: {code}\n{said[-2000:]}" for text, code, said in wrong)
    assert len(ended) > 50
