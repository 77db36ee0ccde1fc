"""The monitor process: Burrow's HTTP API, metrics for Prometheus, and notifiers. A client of the daemon like any other.

Started by the main process (``shmbrokerd.monitor_process``), never imported by the rest of the daemon.
"""
