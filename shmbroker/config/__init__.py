"""One table of every broker and topic configuration key, and the parsers that read it.

``key`` says what a key is, ``topic_keys`` and ``broker_keys`` list them, ``static`` reads a TOML file and
``--set`` options, ``reference`` renders the table as a page.
"""
