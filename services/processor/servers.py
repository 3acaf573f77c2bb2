"""What a processor asks and tells a cluster of ClickHouse servers besides what it does with one.

An insert is acknowledged once each replica of its shard has it, so any replica may be asked
afterwards. One that was not acknowledged may be on one replica and not yet on another: so
recovery, when nothing is being inserted any more, lets all replicas catch up before it reads.
Each of these asks every server. While one is silent nothing is taken over: it might still be
inserting. Why: docs/decisions/0017.
"""

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError

from libs.clickhouse.cluster import SETTINGS, SHARDED, on_cluster

_REPLICAS = """
SELECT min(replicas), max(replicas), min(by_itself)
FROM
(
    SELECT count() AS replicas, min(internal_replication) AS by_itself
    FROM system.clusters
    WHERE cluster = {cluster:String}
    GROUP BY shard_num
)
"""

# They go with every statement, inserts too. What the server's own profile says does not count.
CLUSTER_SETTINGS = {
    # Answered when it is written, not when it is noted for later.
    "distributed_foreground_insert": "1",
    # One quorum does not wait for another's: processors insert at the same time.
    "insert_quorum_parallel": "1",
    # A KILL does not end the wait for a quorum.
    "insert_quorum_timeout": "20000",
    # A subquery of a sharded table sees all of it.
    "distributed_product_mode": "global",
    # A server that does not answer is an error, never a part of the answer that is missing.
    "skip_unavailable_shards": "0",
    # Where shards were added, rows of a partition stay where they are.
    "optimize_skip_unused_shards": "0",
}


def running_inserts(sql: str, cluster: str) -> str:
    """A question about `system.processes`, for all servers."""
    if not cluster:
        return sql
    return sql.replace(
        "FROM system.processes", f"FROM clusterAllReplicas('{cluster}', system.processes)"
    )


def kill_inserts(tags: str, cluster: str) -> str:
    """The statement that ends inserts. KILL takes no parameters; the tags are numbers of ours."""
    return f"KILL QUERY{on_cluster(cluster)} WHERE match(Settings['log_comment'], '{tags}') ASYNC"


async def prepare(client: AsyncClient, cluster: str) -> None:
    """Let the settings go with each statement; the replicas may have become more or fewer.

    Raises the driver's `Error`, also where the cluster is not as it must be, or where the user's
    profile does not let a setting be changed.
    """
    result = await client.query(_REPLICAS, parameters={"cluster": cluster})
    fewest, most, replicates_by_itself = result.result_rows[0]
    if not most:
        raise DatabaseError(f"cluster {cluster!r} is not in remote_servers")
    if fewest != most:
        raise DatabaseError(f"cluster {cluster!r}: each shard must have as many replicas")
    if not replicates_by_itself:
        raise DatabaseError(f"cluster {cluster!r}: internal_replication must be true in each shard")
    for name, value in CLUSTER_SETTINGS.items():
        client.set_client_setting(name, value)
    client.set_client_setting("insert_quorum", str(most))


async def catch_up(client: AsyncClient, cluster: str) -> None:
    """Return when each replica has what any replica had. Raises the driver's `Error`."""
    for table in sorted(SHARDED):
        await client.command(
            f"SYSTEM SYNC REPLICA{on_cluster(cluster)} {client.database}.{table}_local LIGHTWEIGHT",
            settings=SETTINGS,
        )
