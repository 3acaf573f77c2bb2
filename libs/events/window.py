"""How far from its append an event may have occurred; what is beyond is dead-lettered, not counted.

Wider than what ingest accepts (30 days back, 5 minutes ahead) by what clocks and outages can add.
"""

from datetime import timedelta

OLDEST = timedelta(days=32)
FARTHEST_AHEAD = timedelta(hours=1)
