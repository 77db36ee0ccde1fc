"""Membership of a group, as one member sees it: pure decisions. What carries them out is `shmclient.consumer.group`."""

from shmclient.consumer.membership.machine import JOIN_TIMEOUT_S, REFUSED_RETRY_S, Membership, Phase

__all__ = ["JOIN_TIMEOUT_S", "REFUSED_RETRY_S", "Membership", "Phase"]
