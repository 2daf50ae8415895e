"""What a benchmark file may say about frames and about the task: pydantic, because a person writes it.

Everything that can change a number stands here, so that one model goes into the run record and a reader of the record
knows the whole protocol. Where and how fast the work is done stands in `types.Runtime` instead.
"""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from blipvid.core.config import Seed, Settings

PROMPT = "a picture of "
"""What every caption begins with, unseen. Source: salesforce/BLIP configs/caption_coco.yaml."""

PUBLISHED_TOP_K = 128  # Source: salesforce/BLIP configs/retrieval_msrvtt.yaml, k_test


class FrameSettings(Settings):
    """Which frames of a clip are taken and what they look like. The benchmark owns this, never the model.

    Attributes:
        sampler: A name in the sampler registry, for instance `blip-compat`, `uniform`, `midpoint`, `fps`.
        count: Frames asked for in each clip (N). With sampler `fps` it is the most that are taken.
        size: Side of the square picture in pixels (S); aspect ratio is not kept, as in the official code.
        resize: `decoder` scales in one step from the decoded YUV planes, as decord does; `bicubic` decodes at full
            size and scales the RGB picture as PIL does, the way BLIP treats still pictures.
        backend: `auto`, `decord`, `pyav`, or the name of an announced reader.
        seed: For the `random` sampler; each clip draws from its own generator, seeded by this and the clip's id.
        rate_fps: Frames a second for the sampler `fps`.
        short: What happens when a clip has fewer frames than `count`: `sampler` leaves it to the sampler's own rule
            (frames repeat), `error` makes it a DecodeError.
        timeout_s: Seconds after which the decoder of one clip is stopped and the clip counts as undecodable.
    """

    sampler: str = "blip-compat"
    count: int = Field(default=8, ge=1)
    size: int = Field(default=384, ge=16)
    resize: Literal["decoder", "bicubic"] = "decoder"
    backend: str = "auto"
    seed: int = 42
    rate_fps: float | None = Field(default=None, gt=0)
    short: Literal["sampler", "error"] = "sampler"
    timeout_s: float = Field(default=120.0, gt=0)

    @model_validator(mode="after")
    def _rate_goes_with_fps(self) -> "FrameSettings":
        if (self.sampler == "fps") != (self.rate_fps is not None):
            raise ValueError("'rate_fps' goes with 'sampler: fps', and the sampler 'fps' needs it")
        return self

    @property
    def of_pictures(self) -> bool:
        """Whether a benchmark is about still pictures: clips of one frame, scaled as pictures are."""
        return self.count == 1 and self.resize == "bicubic"


class TaskSettings(Settings):
    """Settings that every task has.

    Attributes:
        on_error: What an undecodable clip does: `stop` ends the run, `skip` lists the clip in the record and counts
            everything asked about it as a miss.
        bootstrap: Resamples for the 95% intervals; 0 prints none.
        bootstrap_seed: Seed of the resampling.
        black_clips: `blip` leaves a clip whose brightest pixel is 0 or 1 undivided by 255, as the official loader
            does; `scale` treats it like any other.
    """

    on_error: Literal["stop", "skip"] = "stop"
    bootstrap: int = Field(default=2000, ge=0)
    bootstrap_seed: Seed = 42
    black_clips: Literal["blip", "scale"] = "blip"


class RetrievalSettings(TaskSettings):
    """How texts and clips are ranked against each other.

    Attributes:
        rerank_top_k: Candidates of each query that the matching head re-scores (k_test in BLIP); 0 keeps the cosine.
        caption_words: Words kept of each caption.
        text_tokens: Word pieces kept of each caption, with [CLS] and [SEP].
        ties: `expected` gives tied items the mean of the ranks they share; `blip` reproduces the order of the released
            script, a sort turned round, which puts the later item first.
        v2t_protocol: What video-to-text ranks when a clip has several texts. `best-in-group` (CLIP4Clip): one group of
            texts a clip, scored by its best text, ranked among the groups. `any-text` (collaborative-experts, and BLIP
            for pictures): the best rank of any own text among all texts. Equal where each clip has one text.
    """

    rerank_top_k: int = Field(default=PUBLISHED_TOP_K, ge=0)
    caption_words: int = Field(default=40, ge=1)
    text_tokens: int = Field(default=35, ge=3)
    ties: Literal["expected", "blip"] = "expected"
    v2t_protocol: Literal["best-in-group", "any-text"] = "best-in-group"


class QuestionReading(TaskSettings):
    """How questions are read, in every task that has some.

    Attributes:
        question_words: Words kept of each question.
        question_tokens: Word pieces kept of each question, with the two special ones.
    """

    question_words: int = Field(default=50, ge=1)  # Source: salesforce/BLIP data/utils.py, `pre_question`
    question_tokens: int = Field(default=35, ge=3)  # Source: salesforce/BLIP models/blip_vqa.py


AnswerBy = Literal["generate", "rank"]


class AnsweringSettings(QuestionReading):
    """How open questions are answered. No protocol for video was ever released; each one here is named.

    Attributes:
        answer_by: `generate`: in the model's own words by beam search; `rank`: the best of a list of answers; or both
            in one run, as a list.
        answers: The list for `rank`, a file below the data root: one answer a line, or JSON. `train` counts the answers
            of the training split; None takes the benchmark's own list.
        answers_top_n: Answers kept of the training split, the most frequent first; only with `answers: train`.
        answer_top_k: Candidates of each question that are scored in full, chosen by the probability of their first
            token (k_test in BLIP); 0 scores all.
        beams: Beams of the search.
        answer_max_tokens: Longest answer in word pieces, the opening token counted.
        answer_min_tokens: Shortest answer, counted likewise.
        question_mask: What generation sees of a question. `padding`: its own tokens, so that no answer depends on
            which other questions were read with it. `ones`: padding too, as the released code does, each question
            padded to the longest of its batch.
        question_batch: Questions that follow each other in the annotations and are padded together under `ones`.
    """

    answer_by: tuple[AnswerBy, ...] = ("generate",)
    answers: str | None = None
    answers_top_n: int | None = Field(default=None, ge=1)
    answer_top_k: int = Field(default=128, ge=0)  # Source: salesforce/BLIP configs/vqa.yaml, k_test
    beams: int = Field(default=3, ge=1)  # this and the next two: salesforce/BLIP models/blip_vqa.py
    answer_max_tokens: int = Field(default=10, ge=2)
    answer_min_tokens: int = Field(default=1, ge=1)
    question_mask: Literal["padding", "ones"] = "padding"
    question_batch: int = Field(default=32, ge=1)  # Source: salesforce/BLIP configs/vqa.yaml, batch_size_test

    @field_validator("answer_by", mode="before")
    @classmethod
    def _one_or_both(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("answer_by")
    @classmethod
    def _each_once(cls, value: tuple[AnswerBy, ...]) -> tuple[AnswerBy, ...]:
        if not value:
            raise ValueError("names no protocol: generate, rank, or both")
        if len(set(value)) < len(value):
            raise ValueError("names a protocol twice")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "AnsweringSettings":
        if self.answers_top_n is not None and self.answers != "train":
            raise ValueError("'answers_top_n' goes with 'answers: train'")
        if self.answer_min_tokens > self.answer_max_tokens:
            least, most = self.answer_min_tokens, self.answer_max_tokens
            raise ValueError(f"'answer_min_tokens' {least} is more than 'answer_max_tokens' {most}")
        return self


class ChoiceSettings(QuestionReading):
    """How one of several options is chosen.

    Attributes:
        choose_by: `rank`: the option whose tokens the answer decoder finds likeliest after reading the question;
            `match`: the option, behind the question where there is one, that matches the clip best (matching logit +
            cosine), for retrieval models.
        caption_words: Words kept of each text under `match`.
        text_tokens: Word pieces kept of each text under `match`.
    """

    choose_by: Literal["rank", "match"] = "rank"
    caption_words: int = Field(default=40, ge=1)
    text_tokens: int = Field(default=35, ge=3)


class Writing(Settings):
    """How a caption is written. Lengths count the opening token and the prompt.

    Attributes:
        prompt: What every caption begins with; it is cut off again.
        search: `beam`: the most probable caption that beam search finds; `nucleus`: drawn by chance, token by token.
        beams: Beams of the search; 1 is greedy.
        repetition_penalty: Of beam search: above 1, words that were written already, those of the prompt among them,
            become less likely. Nucleus sampling has its own, 1.1.
        top_p: Of nucleus sampling: each token is drawn from the most probable ones that together exceed this.
        seed: Of nucleus sampling; each clip draws from its own generator, seeded by this and the clip's id.
        max_tokens: Longest caption in word pieces.
        min_tokens: Shortest caption.

    Source of the numbers: salesforce/BLIP configs/caption_coco.yaml; of top_p models/blip.py.
    """

    prompt: str = PROMPT
    search: Literal["beam", "nucleus"] = "beam"
    beams: int = Field(default=3, ge=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=0.9, gt=0, le=1)
    seed: Seed = 42
    max_tokens: int = Field(default=20, ge=2)
    min_tokens: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _lengths_fit_together(self) -> "Writing":
        if self.min_tokens > self.max_tokens:
            raise ValueError(f"'min_tokens' {self.min_tokens} is more than 'max_tokens' {self.max_tokens}")
        return self


class CaptionSettings(TaskSettings, Writing):
    """How clips are captioned, and by what captions are measured; all that can change a caption is in `Writing`.

    Attributes:
        java_metrics: Which of the metrics that are Java programs are asked for; starting one takes its time.
    """

    java_metrics: tuple[Literal["meteor", "spice"], ...] = ("meteor", "spice")


class PairSettings(TaskSettings):
    """How sentences about two pictures are judged.

    Attributes:
        sentence_words: Words kept of each sentence.
        sentence_tokens: Word pieces kept of each sentence, with the two special ones.
        order: `fixed`: the pictures as annotated. `random`: every second pair, by chance, is shown the other way round,
            with the words left and right exchanged in the sentence, as the released code does in evaluation too.
        order_seed: Seed of that chance.

    Source of the numbers: salesforce/BLIP data/nlvr_dataset.py; models/blip_nlvr.py, where sentences are not cut.
    """

    sentence_words: int = Field(default=40, ge=1)
    sentence_tokens: int = Field(default=512, ge=3)
    order: Literal["fixed", "random"] = "fixed"
    order_seed: Seed = 42


class DialogSettings(TaskSettings):
    """How the candidate answers of a round of dialog are ranked.

    Attributes:
        caption_words: Words kept of each caption.
        dialog_tokens: Word pieces kept of dialog, question and candidate together, with the two special ones; what is
            too long loses its beginning.
    """

    caption_words: int = Field(default=30, ge=1)
    dialog_tokens: int = Field(default=512, ge=3)
