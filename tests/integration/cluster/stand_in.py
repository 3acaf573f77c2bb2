"""A ClickHouse server that takes what a cluster is told, and does what one embedded engine can.

The engine has one shard of one replica, itself: `Distributed` tables, `clusterAllReplicas` and all
settings are real. It has no queue of distributed statements and no interserver port, so
`ON CLUSTER`, `Replicated` and `SYSTEM SYNC REPLICA` are taken out here, and nowhere in the product.
Run it as the gateway is run.
"""

import re

from deploy.local.gateway import app, engine, statements

CLUSTER = "own"
# The second of its two shards is a server that nobody can reach.
HALF_SILENT = "half_silent"

_SHARD = """\
        <shard>
            <internal_replication>true</internal_replication>
            <replica><host>127.0.0.1</host><port>{port}</port></replica>
        </shard>
"""
# Nothing listens at port 9000: the engine only compares it with the shard's, to know itself.
_ITSELF, _NOBODY = _SHARD.format(port=9000), _SHARD.format(port=1)
_CLUSTERS = f"""\
    <tcp_port>9000</tcp_port>
    <remote_servers>
    <{CLUSTER}>{_ITSELF}</{CLUSTER}>
    <{HALF_SILENT}>{_ITSELF}{_NOBODY}</{HALF_SILENT}>
    </remote_servers>
</clickhouse>
"""
_TAKEN_OUT = (
    (rb"^SYSTEM SYNC REPLICA ON CLUSTER '\w+' (\w+\.\w+_local) LIGHTWEIGHT", rb"EXISTS TABLE \1"),
    (rb" ON CLUSTER '\w+'", b""),
    (rb"\bReplicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?", rb"\1("),
)
_plainly = statements.rewritten


def reduced(sql: bytes, owner: str = "") -> bytes:
    """The statement without what one engine alone cannot do."""
    for pattern, instead in _TAKEN_OUT:
        sql = re.sub(pattern, instead, sql)
    return _plainly(sql, owner)


def main() -> None:
    """Serve, as the gateway does."""
    engine._BACKUPS = engine._BACKUPS.replace("</clickhouse>\n", _CLUSTERS)
    statements._REFUSED = tuple(
        one
        for one in statements._REFUSED
        if b"clusterAllReplicas(" not in one[0].pattern
        and not one[0].search(b"clusterAllReplicas(")
    )
    statements.rewritten = reduced
    app.main()


if __name__ == "__main__":
    main()
