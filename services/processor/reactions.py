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

from enum import StrEnum

from clickhouse_connect.driver.exceptions import Error


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
    497: Reaction.OPERATOR,  # ACCESS_DENIED: a grant is missing
    516: Reaction.OPERATOR,  # AUTHENTICATION_FAILED
}


def reaction_to(error: Error) -> Reaction:
    """The reaction to an error of the driver; one without a code (a network's) is unknown."""
    return _REACTIONS.get(getattr(error, "code", None) or 0, Reaction.RECOVER)
