"""Batches of records: the bytes that producers build, the broker stores and consumers view.

``layout`` is the descriptor, ``builder`` makes batches, ``batch`` looks at them, ``compression`` holds the codecs.
"""
