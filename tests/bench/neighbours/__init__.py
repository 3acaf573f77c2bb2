"""What one project can do to another: B is served the same, whatever A does within its rights.

B writes and reads once a second, first alone, then beside each kind of A (`kinds`). A is a process
of its own (`attacker`) that comes from other addresses than B.
"""
