import asyncio

from flux_worker.downloads.sharing import Shared


class Piece:
    """Work that can be watched."""

    def __init__(self):
        self.begun, self.cancelled = 0, 0
        self.go = asyncio.Event()

    async def __call__(self):
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.begun == 13:
            raise ValueError("unlucky")
        return self.begun


def alone(play):
    return lambda: asyncio.run(play())


@alone
async def test_one_piece_for_all_who_wait():
    shared, piece = Shared(), Piece()
    waiting = [asyncio.create_task(shared.get("key", piece)) for _ in range(3)]
    other = asyncio.create_task(shared.get("other", piece))
    await asyncio.sleep(0)
    piece.go.set()
    assert len({await each for each in waiting}) == 1
    await other
    assert piece.begun == 2
    assert await shared.get("key", piece) == 3  # nothing is kept


@alone
async def test_the_last_who_leaves_ends_it():
    shared, piece = Shared(), Piece()
    waiting = [asyncio.create_task(shared.get("key", piece)) for _ in range(3)]
    for _ in range(3):
        await asyncio.sleep(0)
    for number, each in enumerate(waiting):
        each.cancel()
        await asyncio.gather(each, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)
        assert piece.cancelled == (number == 2)


@alone
async def test_one_that_was_ended_is_begun_anew():
    shared, piece = Shared(), Piece()
    first = asyncio.create_task(shared.get("key", piece))
    for _ in range(3):
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    piece.go.set()
    assert await shared.get("key", piece) == 2


@alone
async def test_an_error_is_everybodys_and_is_not_kept():
    shared, piece = Shared(), Piece()
    piece.begun = 12
    piece.go.set()
    for outcome in await asyncio.gather(
        *(shared.get("key", piece) for _ in range(3)), return_exceptions=True
    ):
        assert str(outcome) == "unlucky"
    assert await shared.get("key", piece) == 14
