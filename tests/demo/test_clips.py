from dataclasses import replace

import numpy as np

from blipvid.demo.clips import FPS, N_CLIPS, N_FRAMES, STRIDE, DrawnClip, held_out_clips
from blipvid.demo.scenes import OPPOSITES, RELATION_MARGIN, TWISTS, Relation, is_held_out, twins


def test_two_hundred_held_out_clips_with_captions_of_their_own() -> None:
    clips = held_out_clips()
    assert len(clips) == N_CLIPS == 200
    assert all(is_held_out(clip.scene) for clip in clips)
    assert len({clip.caption for clip in clips}) == 200
    assert len({clip.id for clip in clips}) == 200
    assert clips == held_out_clips()


def test_half_of_the_clips_are_near_twins() -> None:
    clips = {clip.id: clip for clip in held_out_clips()}
    paired = [clip for clip in clips.values() if clip.twin]
    assert len(paired) == 100
    assert {clip.twist for clip in paired} == set(TWISTS)
    for clip in paired:
        twin = clips[clip.twin]
        assert twin.twin == clip.id
        assert twin.parts == clip.parts
        assert twin.scene in twins(clip.scene, clip.twist)
        assert clip.scene in twins(twin.scene, clip.twist)


def seen_at_once(clip: DrawnClip) -> int:
    times = np.arange(N_FRAMES) / (N_FRAMES - 1)
    return max(sum(part.enters <= time <= part.leaves for part in clip.parts) for time in times)


def test_sometimes_no_frame_shows_all_but_eight_do() -> None:
    clips = held_out_clips()
    sampled = np.arange(0, N_FRAMES, N_FRAMES // 8) / (N_FRAMES - 1)
    for clip in clips:
        assert all(sum(part.enters <= time <= part.leaves for time in sampled) >= 3 for part in clip.parts)
    incomplete = [seen_at_once(clip) < len(clip.parts) for clip in clips]
    assert 0.1 < np.mean(incomplete) < 0.2
    twists = {clip.twist for clip, hidden in zip(clips, incomplete, strict=True) if hidden}
    assert twists == {"", *TWISTS}  # in every kind of clip, so that none of them is harder for this reason alone


def test_relations_stay_true_while_things_move() -> None:
    assert STRIDE < RELATION_MARGIN
    for clip in held_out_clips():
        for time in (0.0, 0.5, 1.0):
            at = moved(clip, time)
            for saying in clip.scene.says:
                if isinstance(saying, Relation):
                    axis = 0 if saying.word in ("left of", "right of") else 1
                    sign = 1 if saying.word in ("left of", "above") else -1
                    first, second = (np.array(at[group])[:, axis] for group in (saying.first, saying.second))
                    assert (sign * first).max() < (sign * second).min()
                    assert OPPOSITES[OPPOSITES[saying.word]] == saying.word


def moved(clip: DrawnClip, time: float) -> list[list[tuple[float, float]]]:
    way = (time - 0.5) * STRIDE
    step = {"moves left": (-way, 0.0), "moves right": (way, 0.0), "moves up": (0.0, -way), "moves down": (0.0, way)}
    parts = iter(clip.parts)
    return [
        [
            (x + step.get(part.motion, (0, 0))[0], y + step.get(part.motion, (0, 0))[1])
            for x, y in group.centres
            for part in [next(parts)]
        ]
        for group in clip.scene.groups
    ]


def test_frames_show_the_motion() -> None:
    clip = next(clip for clip in held_out_clips() if "moves left" in [part.motion for part in clip.parts])
    still = replace(clip, parts=tuple(replace(part, motion="stays") for part in clip.parts))
    first, middle, last = (clip.frame(time, 64).astype(int) for time in (0.0, 0.5, 1.0))
    assert np.abs(first - last).max() > 50
    assert np.abs(middle - still.frame(0.5, 64)).max() > 50  # a single picture shows that something moves
    assert [(thing.kind, thing.x, thing.y) for thing in clip.cast(0.5)] == [
        (thing.kind, thing.x, thing.y) for thing in still.cast(0.5)
    ]
    assert len(list(clip.frames(32))) == N_FRAMES
    assert N_FRAMES / FPS == 3.0
