from shmbrokerd.controller.producer_ids import BLOCK_SIZE, NO_BLOCK, raised, take
from shmbrokerd.metadata.state import State


def test_ids_follow_each_other_and_never_come_twice() -> None:
    state, block, given = State(), NO_BLOCK, []
    for _ in range(3 * BLOCK_SIZE):
        producer_id, block, records = take(state, block)
        state.replay(records)
        given.append(producer_id)
    assert given == list(range(3 * BLOCK_SIZE))


def test_most_ids_cost_no_write() -> None:
    state, block, writes = State(), NO_BLOCK, 0
    for _ in range(2 * BLOCK_SIZE):
        _, block, records = take(state, block)
        state.replay(records)
        writes += len(records)
    assert writes == 2


def test_a_restart_skips_the_rest_of_a_block() -> None:
    state = State()
    last, _, records = take(state, NO_BLOCK)
    state.replay(records)
    following, _, _ = take(state, NO_BLOCK)
    assert following > last


def test_a_block_whose_reservation_was_not_stored_is_reserved_again() -> None:
    state = State()
    _, block, lost = take(state, NO_BLOCK)
    producer_id, _, records = take(state, block)
    assert lost
    assert records, "nothing says that the ids of this block are taken"
    assert producer_id == 0, "nobody was told the one before"


def test_ids_that_a_log_has_seen_are_not_given_out_whatever_the_store_says() -> None:
    state = State()
    _, block, records = take(state, NO_BLOCK)
    state.replay(records)
    state.replay(raised(state, 5000))
    producer_id, block, records = take(state, block)
    assert producer_id == 5001
    state.replay(records)
    assert take(state, block).producer_id == 5002


def test_ids_below_those_that_are_reserved_change_nothing() -> None:
    state = State()
    _, block, records = take(state, NO_BLOCK)
    state.replay(records)
    assert raised(state, -1) == raised(state, BLOCK_SIZE - 1) == []
    assert take(state, block).producer_id == 1
    assert raised(state, BLOCK_SIZE) != []
