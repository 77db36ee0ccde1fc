"""``shmbroker doctor``: ``gather`` looks at the host and the two directories, ``checks`` judge what was seen, ``repairs`` do
what is safe, ``command`` asks and prints."""
