"""What the processor does about an error of ClickHouse, by its code. Nothing is ever dead-lettered.

Most codes say nothing about whether rows were written: a server that ran out of memory or parts
may have done so in a view, after the raw table's part was in place. So the rule is RECOVER, which
looks; the others are the few codes that are certain to come before anything is written.

VIOLATED_CONSTRAINT (469, our lease had passed) is not among them, though nothing was written: only
recovery asks ClickHouse for its time. After a step of its clock, or a pause of this machine that
its monotonic clock did not see, each new lease would be refused as well, for ever.

All that a person mends ends in recovery too: tables that are brought back may come from a backup,
and end before what was counted here. Only recovery notices, and reads the records between again.
"""

import re
from enum import StrEnum

from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import first_line


class Reaction(StrEnum):
    """How to go on."""

    RETRY = "retry"  # nothing was written, and it is a matter of time
    RECOVER = "recover"  # whether something was written is unknown: the table will tell
    OPERATOR = "operator"  # nothing will be written until a person mends it; then as RECOVER


LEASE_PASSED = 469  # VIOLATED_CONSTRAINT: the table's one constraint is the lease

_REACTIONS = {
    202: Reaction.RETRY,  # TOO_MANY_SIMULTANEOUS_QUERIES: refused at the door
    203: Reaction.RETRY,  # NO_FREE_CONNECTION
    16: Reaction.OPERATOR,  # NO_SUCH_COLUMN_IN_TABLE: another schema than this release's
    47: Reaction.OPERATOR,  # UNKNOWN_IDENTIFIER
    60: Reaction.OPERATOR,  # UNKNOWN_TABLE: being restored, or never made
    62: Reaction.OPERATOR,  # SYNTAX_ERROR: not the server that this release is made for
    81: Reaction.OPERATOR,  # UNKNOWN_DATABASE
    115: Reaction.OPERATOR,  # UNKNOWN_SETTING
    192: Reaction.OPERATOR,  # UNKNOWN_USER
    193: Reaction.OPERATOR,  # WRONG_PASSWORD
    194: Reaction.OPERATOR,  # REQUIRED_PASSWORD
    452: Reaction.OPERATOR,  # SETTING_CONSTRAINT_VIOLATION: the profile refuses what we send
    497: Reaction.OPERATOR,  # ACCESS_DENIED: a grant is missing
    516: Reaction.OPERATOR,  # AUTHENTICATION_FAILED
}


# What a server says of itself, not of what it was sent: the same rows may pass later on.
_STATE_OF_SERVER = frozenset(
    {
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        164,  # READONLY
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        LEASE_PASSED,
        999,  # KEEPER_EXCEPTION
    }
)
_NAME = re.compile(r"\(([A-Z][A-Z_]+)\)")


def reaction_to(error: Error) -> Reaction:
    """The reaction to an error of the driver; one without a code (a network's) is unknown."""
    return _REACTIONS.get(code_of(error), Reaction.RECOVER)


def code_of(error: Error) -> int:
    """ClickHouse's number of an error; 0 where the driver or the network made it."""
    return getattr(error, "code", None) or 0


def may_be_of_rows(error: Error) -> bool:
    """Whether what was sent may be the cause, so that it would fail again and again."""
    code = code_of(error)
    return code != 0 and code not in _REACTIONS and code not in _STATE_OF_SERVER


def told(error: Error) -> str:
    """What a log may say of an error: the server quotes the rows that it cannot read."""
    if not may_be_of_rows(error):
        return first_line(error)
    name = _NAME.search(str(error))
    return f"Code: {code_of(error)}" + (f" ({name[1]})" if name else "")
