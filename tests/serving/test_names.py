import pytest

from flux_worker.serving import names

IDS = ["a1b2-c3d4-u1", "sync-0f3e5a7b-e1", "a" * 20, "test", "5", "style_strength", "x.y"]
OTHERS = [
    *(None, 5, True, ["a"], {"id": "a"}, "", " ", "a b", "a\nb", "a\n", "a/b", "..", ".", "a?b"),
    *("purple cat, 4k", "紫色", "\ud800", "$ID/../x", "%0A", "a" * 21),
]


@pytest.mark.parametrize("name", IDS)
def test_an_identifier_is_plain(name):
    assert names.plain(name, 20)


@pytest.mark.parametrize("name", OTHERS, ids=ascii)
def test_nothing_else_is(name):
    assert not names.plain(name, 20)
