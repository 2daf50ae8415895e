"""The captions that the demo benchmark compares with are what the grammar says of each clip."""

from blipvid.core.types import CaptionSet
from blipvid.data.schema import CaptionBenchmark
from blipvid.data.sets import load_set
from blipvid.data.spec import load_benchmark
from blipvid.demo.clips import held_out_clips
from blipvid.models.tokenizer import load_tokenizer
from blipvid.models.zoo import load_spec


def test_references_are_the_captions_of_the_drawn_clips():
    items = load_set(load_benchmark("demo-caption"), None).items
    assert isinstance(items, CaptionSet)
    drawn = held_out_clips()
    assert [clip.id for clip in items.clips] == [clip.id for clip in drawn]
    assert items.references == tuple((clip.caption,) for clip in drawn)


def test_every_caption_fits_the_settings_and_the_model():
    spec = load_benchmark("demo-caption")
    assert isinstance(spec, CaptionBenchmark)
    model = load_spec("demo-captioner")
    ids, mask = load_tokenizer(model.vocab)([spec.settings.prompt + clip.caption for clip in held_out_clips()])
    assert int(mask.sum(dim=1).max()) <= spec.settings.max_tokens <= model.text.max_positions
    assert int(mask.sum(dim=1).min()) >= spec.settings.min_tokens
    assert (ids != load_tokenizer(model.vocab)(["[UNK]"])[0][0, 1]).all()
