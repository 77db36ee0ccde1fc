"""The control socket: ``listener`` accepts, ``adapter`` decodes, ``conductor`` decides, ``proxy`` answers.

``partition_logs`` and ``sessions`` carry decisions out: they tell the broker process what to open and whom to
serve, and tell it again when it was restarted.
"""
