import svg


def test_same_text_each_time():
    def draw(axes):
        axes.plot([0, 1], [1, 0], label="a line")
        axes.legend()

    first = svg.render(draw)
    assert first == svg.render(draw)
    assert first.startswith("<svg")
    assert first.rstrip().endswith("</svg>")
    assert ">a line</text>" in first


def test_panels():
    seen = []
    svg.render(lambda axes: seen.append(axes), panels=3)
    assert len(seen[0]) == 3
    svg.render(lambda axes: axes.set_title("one"))
