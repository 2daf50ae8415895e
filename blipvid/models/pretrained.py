"""BLIP as it comes out of pre-training: the retriever, and a decoder that shares most of the text tower (ITC, ITM, LM).

Everything else begins with it: each fine-tuned model takes over the towers and heads that it has as well.
"""

from blipvid.models.decoder import MedDecoder
from blipvid.models.med import MedEncoder
from blipvid.models.retriever import BlipRetriever
from blipvid.models.spec import ModelSpec, Sharing
from blipvid.models.tokenizer import Tokenizer


class BlipPretrained(BlipRetriever):
    """A retriever with a decoder of pictures; which parts its two text towers share is the model file's `sharing`.

    Made from the same arguments as every `BlipModel`.

    Source: salesforce/BLIP models/blip_pretrain.py.
    """

    def __init__(
        self, spec: ModelSpec, tokenizer: Tokenizer, image_size: int | None = None, drop_path: float = 0.0
    ) -> None:
        super().__init__(spec, tokenizer, image_size, drop_path)
        self.text_decoder = MedDecoder(spec.text, len(tokenizer), memory_width=spec.vision.width)
        share(self.text_encoder, self.text_decoder.bert, spec.sharing)

    @property
    def shares_cross_attention(self) -> bool:
        """Whether what one text tower remembers of a picture serves the other as well."""
        return self.text_encoder.layers[0].crossattention is self.text_decoder.bert.layers[0].crossattention


def share(encoder: MedEncoder, decoder: MedEncoder, sharing: Sharing) -> None:
    """Makes the encoder use the decoder's own modules, so that both learn in one.

    Args:
        encoder: Loses the parts that are shared.
        decoder: Stays as it is.
        sharing: Which parts.

    Source: Li et al. 2022, section 4.2 and Table 3; salesforce/BLIP models/blip_pretrain.py
    `tie_encoder_decoder_weights`, where all but self-attention is shared.
    """
    if sharing == "none":
        return
    encoder.embeddings = decoder.embeddings
    for own, other in zip(encoder.layers, decoder.layers, strict=True):
        own.intermediate, own.output = other.intermediate, other.output
        if sharing != "all-but-cross-attention":
            own.crossattention = other.crossattention
        if sharing != "all-but-self-attention":
            own.attention = other.attention
