from flux_worker.adapters.deltas import Adapter
from flux_worker.adapters.shelf import Shelf


def put(shelf, *digests, size=10):
    for digest in digests:
        shelf.put(Adapter(digest, (), size=size))


def held(shelf):
    return {digest for digest in "abcdef" if digest in shelf._adapters}


def test_the_least_recently_used_go_first():
    shelf = Shelf(30)
    put(shelf, "a", "b", "c")
    assert shelf.get("a").digest == "a"
    put(shelf, "d")
    assert held(shelf) == {"a", "c", "d"}


def test_one_that_is_larger_than_the_shelf_is_not_held():
    shelf = Shelf(30)
    put(shelf, "a", size=31)
    assert shelf.get("a") is None


def test_the_same_content_takes_its_room_once():
    shelf = Shelf(30)
    put(shelf, "a", "b", "a", "c", "a")
    assert held(shelf) == {"a", "b", "c"}
