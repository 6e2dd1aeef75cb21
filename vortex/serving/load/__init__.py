"""Load on a server, and what it took: requests on a schedule, a client in a process of its own, latencies."""
