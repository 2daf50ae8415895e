from blipvid.bench.notes import RECONSTRUCTION, notes, title
from tests.bench.records import PAPER, QA_DETAILS, a_caption_run, a_choice_run, a_qa_run, a_run


def test_the_title_states_coverage():
    assert title(a_run()) == "six · tiny · 997 of 1,000 clips, 1,000 texts"


def test_notes_name_skipped_clips_readers_ties_and_why_no_difference_stands():
    run = a_run(
        published=(PAPER,),
        not_comparable=("--limit 20 makes the gallery smaller than the published one",),
        caveats=("the encoders ran in bf16",),
        coverage={
            "clips_used": 1,
            "clips": 2,
            "items": 2,
            "skipped": [{"clip_id": "c7", "reason": "clip 'c7': cut short."}],
        },
        details={
            "backends": {"decord": 1},
            "frame_notes": [{"note": "two video streams", "clips": 1, "first": ["c1"]}],
            "ties": {"rule": "expected", "t2v": {"tied": 3}, "v2t": {"tied": 1}},
            "notes": ["rerank_top_k 128 is larger than the gallery of 2 clips (t2v): all of it was re-ranked"],
            "paired": {
                "metric": "t2v_r1",
                "ours": "re-ranked",
                "theirs": "cosine alone",
                "gained": 5,
                "lost": 1,
                "p": 0.21,
                "test": "exact McNemar",
            },
        },
    )
    text = "\n".join(notes(run))
    for part in (
        "Published: a paper (Table 10; ViT-B; re-ranked)",
        "No difference is shown: --limit 20",
        "Beware: the encoders ran in bf16",
        "Skipped: Clip 'c7': cut short.",
        "decord (1 clips)",
        "Two video streams. First: c1",
        "Queries with a tied rank: 4",
        "rerank_top_k 128 is larger",
        "queries won 5, lost 1, p = 0.21",
    ):
        assert part in text


def test_questions_are_counted_as_questions():
    assert title(a_qa_run()) == "asked · tiny · 19 of 20 clips, 100 questions"
    assert title(a_choice_run()).endswith("20 of 20 clips, 30 questions")


def test_captions_are_those_of_people_and_not_one_a_clip():
    run = a_caption_run(details={"references": 250})
    assert title(run) == "described · tiny · 50 of 50 pictures, 250 annotated captions"


def test_notes_of_questions_name_list_reconstruction_and_test():
    text = "\n".join(notes(a_qa_run()))
    for part in (
        "never released a question-answering protocol for video: what is done here is a reconstruction.",
        "Answer list: train-top-1000, 1,000 answers, sha256 0123456789ab, coverage 93.1%.",
        "Exact match, generate right and rank wrong: 8 questions, the other way round: 6; p = 0.79 (exact McNemar;",
    ):
        assert part in text


def test_a_coverage_that_is_not_whole_is_not_rounded_to_100():
    details = {**QA_DETAILS, "answer_list": {**QA_DETAILS["answer_list"], "coverage": 99.96}}
    assert any("coverage 99.9%." in note for note in notes(a_qa_run(details=details)))


def test_what_the_answer_decoder_says_of_video_is_a_reconstruction():
    matched = a_choice_run(details={"protocols": {"choice": "match"}})
    assert not any("reconstruction" in note for run in (a_run(), matched) for note in notes(run))
    assert all(RECONSTRUCTION in notes(run) for run in (a_qa_run(), a_choice_run()))


def test_pictures_are_answered_as_released_and_by_degrees():
    details = {**QA_DETAILS, "measure": "VQA accuracy", "paired": {**QA_DETAILS["paired"], "test": "exact sign test"}}
    pictures = {"name": "asked", "task": "qa", "dataset": {}, "frames": {"count": 1, "resize": "bicubic"}}
    run = a_qa_run(details=details, benchmark=pictures)
    assert RECONSTRUCTION not in notes(run)
    assert any("VQA accuracy, generate better than rank: 8 questions" in note for note in notes(run))
    assert "19 of 20 pictures" in title(run)


def test_the_coverage_of_a_list_is_known_only_with_the_answers():
    answer_list = {key: value for key, value in QA_DETAILS["answer_list"].items() if key != "coverage"}
    (note,) = (note for note in notes(a_qa_run(details={**QA_DETAILS, "answer_list": answer_list})) if "list" in note)
    assert note.endswith("sha256 0123456789ab.")


def test_a_list_is_named_where_there_is_one():
    alone = a_qa_run(details={**QA_DETAILS, "answer_list": None, "paired": None})
    assert not any("Answer list" in note for note in notes(alone))
