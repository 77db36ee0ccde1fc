"""The group coordinator: who is a member, who may read which partition, who may commit what. Decided without touching anything
(see ``shmbrokerd.metadata``); ``states`` is where to begin.

========================= ======================================================================================
``states``                the theory of operation, and which event leads from which state to which
``membership``            joining, coming back, leaving, being fenced
``subscriptions``         which topics a member's subscription stands for at present
``assignment``            the target: which member is to own what; by one of the ``assignors``
``reconciliation``        from what members own to the target, without two owners at any time
``liveness``              whether a member is overdue
``offsets``, ``expiry``   committed offsets, and when they go
``queries``               what operators are told
``holdings``              arithmetic of partitions that are owned
========================= ======================================================================================
"""
