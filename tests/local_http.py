"""One client for questions to processes on this machine.

To make one costs 50 ms of CPU time, as it reads all certificates that the machine trusts: too much
for each time that a test asks whether a service is ready. It keeps no connection, so that it never
asks a process that has been replaced.
"""

import httpx

HTTP = httpx.Client(timeout=5, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
