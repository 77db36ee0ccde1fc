"""How far groups are behind, and how bad that is. Decided without touching anything: figures and time are arguments.

============== ===================================================================================================
``windows``    the last commits of each partition that a group reads, and the last log ends of each partition
``rules``      what these say of a partition: Burrow's rules
``watch``      the windows of all groups: what comes in, what is forgotten, the history of each group's lag
``evaluation`` what a group is told to be: exact lag, partition by partition, with the status that the rules give it
============== ===================================================================================================

Records behind come from the committed offset and the high watermark of this moment and need no window: they are right from the
first moment on. Windows are in memory: after a start, each begins with the one commit that is stored.

The rules are those of LinkedIn's Burrow 1.9 (``evaluator/caching.go``, ``storage/inmemory.go``), so that its documentation and
its tests hold here too. What differs: Burrow asks for log ends every ten seconds and hears of commits after the fact; here both
are seen as they happen, so nothing ever arrives in the wrong order.
"""
