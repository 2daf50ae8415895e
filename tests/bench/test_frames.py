import re
from pathlib import Path

from PIL import Image

from tests.bench.call import call
from tests.media.drawing import draw_clip


def frames_in(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"│\s*(\d+)\s*│\s*\d+\.\d+", text)]


def test_numbers_and_times_are_printed_and_the_sheet_is_a_picture(tmp_path: Path):
    clip = draw_clip(tmp_path / "clip.mp4", 40, fps=20)
    sheet = tmp_path / "sheet.png"
    found = call("frames", str(clip), "--count", "4", "--size", "64", "--sheet", str(sheet))
    assert found.code == 0
    assert frames_in(found.out) == [0, 10, 20, 30]
    assert "1.500" in found.out
    assert "clip.mp4, read by" in found.out
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert picture.width > 4 * 64


def test_a_window_and_another_sampler_are_obeyed(tmp_path: Path):
    clip = draw_clip(tmp_path / "clip.mp4", 40, fps=20)
    found = call("frames", str(clip), "--sampler", "uniform", "--count", "2", "--start", "1", "--end", "2")
    assert frames_in(found.out) == [20, 30]
    by_rate = call("frames", str(clip), "--sampler", "fps", "--fps", "2", "--count", "99")
    assert frames_in(by_rate.out) == [0, 10, 20, 30]


def test_mistakes_end_with_one_sentence(tmp_path: Path):
    clip = draw_clip(tmp_path / "clip.mp4", 10)
    unknown = call("frames", str(clip), "--sampler", "unifrom")
    assert unknown.code == 2
    assert "Did you mean 'uniform'" in unknown.err
    assert call("frames", str(clip), "--fps", "2").code == 2
    absent = call("frames", str(tmp_path / "nothing.mp4"))
    assert absent.code == 2
    assert "nothing.mp4" in absent.err
    assert absent.err.count("\n") == 1
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(clip.read_bytes()[:200])
    failed = call("frames", str(damaged))
    assert failed.code == 1
    assert failed.err.count("\n") == 1
    assert "damaged" in failed.err
