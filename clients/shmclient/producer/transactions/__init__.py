"""Transactions of a producer, from the application's calls to the coordinator's answers.

`states` has the phases and what may follow what, `outcomes` what each refusal means, `machine` decides: all pure. `exchange`
carries requests and answers, `calls` sees that calls come one at a time, `block` is the ``with`` statement."""

from shmclient.producer.transactions.calls import CurrentCall
from shmclient.producer.transactions.exchange import Exchange
from shmclient.producer.transactions.machine import GroupOffsets, Identity, Transactions
from shmclient.producer.transactions.states import Call, Phase

__all__ = ["Call", "CurrentCall", "Exchange", "GroupOffsets", "Identity", "Phase", "Transactions"]
