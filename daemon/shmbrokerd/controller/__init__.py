"""Topics, configs and producer ids, decided without touching anything (see ``shmbrokerd.metadata``)."""
