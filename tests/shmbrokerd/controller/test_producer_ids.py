from shmbrokerd.controller.producer_ids import BLOCK_SIZE, reserve_block
from shmbrokerd.metadata.state import State


def test_blocks_follow_each_other_and_never_overlap() -> None:
    state = State()
    given = []
    for _ in range(3):
        records, block = reserve_block(state)
        state.replay(records)
        while block.next_id < block.end:
            producer_id, block = block.take()
            given.append(producer_id)
    assert given == list(range(3 * BLOCK_SIZE))


def test_a_restart_skips_the_rest_of_a_block() -> None:
    state = State()
    records, block = reserve_block(state)
    state.replay(records)
    last, _ = block.take()
    restarted = State()
    restarted.replay(records)
    _, next_block = reserve_block(restarted)
    assert next_block.next_id > last
