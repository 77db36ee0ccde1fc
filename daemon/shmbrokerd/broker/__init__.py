"""The broker process: it moves batches from the rings of producers into the logs, and decides nothing else.

``append_loop`` is the loop, ``partition`` what may enter a log, ``session`` an attached client, ``flusher`` durability beside
the loop, ``commands`` what the main process may ask for.
"""
