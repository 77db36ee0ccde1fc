"""The consumer, from the log to `Message`s or batches.

`partitions` is what is known of each assigned partition, `fetcher` reads them in turn, `records` turns batches into
messages, `batches` hands them out whole, `offsets` keeps commits, `link` is the connection and the sleep.
"""

from shmclient.consumer.consumer import Consumer

__all__ = ["Consumer"]
