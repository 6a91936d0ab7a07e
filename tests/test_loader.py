"""Words to rows, and loads that are not what was sent."""

import random
import zlib

import pytest

from gen.loader import Content, Loader, load_image, load_words
from tests.amaranth_testing import simulate

CONTENTS = {
    "narrow": Content(5, (1, 31, 16)),
    "wide": Content(70, (1 << 69, (1 << 70) - 1)),
    "word": Content(32, (0xdeadbeef,)),
}
WRITES = [(name, row, value) for name, content in CONTENTS.items()
          for row, value in enumerate(content.rows)]
IMAGE = load_image(CONTENTS)
WORDS = [int.from_bytes(IMAGE[k:k + 4], "little") for k in range(0, len(IMAGE), 4)]


def load(words, *, last=None):
    """A load of ``words``, ``last`` with the last one or with that number."""
    last = len(words) - 1 if last is None else last
    return [(word, k == last) for k, word in enumerate(words)]


def run(words, *, gap=0.0, pause=0.0):
    """Streams ``words``; gives the writes, and ``loaded`` and ``error`` after each word."""
    rng, loader = random.Random(0), Loader(CONTENTS)
    writes, flags = [], []

    async def testbench(ctx):
        waiting = [*words, None]
        while waiting:
            offer, enable = rng.random() >= gap and waiting[0] is not None, rng.random() >= pause
            ctx.set(loader.words.valid, offer)
            ctx.set(loader.enable, enable)
            ctx.set(loader.words.p.data, waiting[0][0] if offer else rng.getrandbits(32))
            ctx.set(loader.words.p.last, waiting[0][1] if offer else rng.randrange(2))
            assert ctx.get(loader.words.ready) == enable
            await ctx.tick()
            for name in CONTENTS:
                port = ctx.get(loader.o[name])
                if port.write:
                    writes.append((name, port.row, port.data))
            if waiting[0] is None:
                break
            if offer and enable:
                flags.append((ctx.get(loader.loaded), ctx.get(loader.error)))
                waiting.pop(0)

    simulate(loader, testbench)
    return writes, flags


def test_load_image():
    assert [content.words for content in CONTENTS.values()] == [1, 3, 1]
    assert WORDS[:-1] == [1, 31, 16, 0, 0, 1 << 5, 2**32 - 1, 2**32 - 1, 63, 0xdeadbeef]
    assert WORDS[-1] == zlib.crc32(IMAGE[:-4])
    assert load_words(CONTENTS) == len(WORDS) == 11


@pytest.mark.parametrize(("gap", "pause"), [(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3)])
def test_loads(gap, pause):
    """Two in a row: every row is written once, and loaded is low from a first word to a last."""
    writes, flags = run(load(WORDS) * 2, gap=gap, pause=pause)
    assert writes == WRITES * 2
    assert flags == ([(0, 0)] * 10 + [(1, 0)]) * 2


@pytest.mark.parametrize("count", [1, 3, 5, 9, 10])
def test_too_few_words(count):
    """Noticed at the end of the load; a right one is then loaded, and lowers the flag."""
    writes, flags = run(load(WORDS[:count]) + load(WORDS))
    assert writes[-len(WRITES):] == WRITES
    assert flags == [(0, 0)] * (count - 1) + [(0, 1)] * 11 + [(1, 0)]


@pytest.mark.parametrize("extra", [1, 4, 11, 25])
def test_too_many_words(extra):
    """What is too much is not written; the load counts as little as the rows before."""
    writes, flags = run(load((WORDS * 4)[:11 + extra]) + load(WORDS))
    assert writes == WRITES * 2
    assert flags == [(0, 0)] * 10 + [(0, 1)] * (extra + 11) + [(1, 0)]


@pytest.mark.parametrize("word", range(len(WORDS)))
def test_one_wrong_bit(word):
    """Of any word, the CRC included: after a right load, and before one."""
    wrong = list(WORDS)
    wrong[word] ^= 1 << (word * 7 % 32)
    _, flags = run(load(WORDS) + load(wrong) + load(WORDS))
    assert flags == ([(0, 0)] * 10 + [(1, 0)] + [(0, 0)] * 10 + [(0, 1)] * 11 + [(1, 0)])


def test_wrong_words_of_the_same_sum():
    """Two words that have changed places."""
    wrong = [WORDS[1], WORDS[0], *WORDS[2:]]
    _, flags = run(load(wrong))
    assert flags == [(0, 0)] * 10 + [(0, 1)]
