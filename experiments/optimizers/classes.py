"""The table of optimizers: every class of Keras 3.15 with all that its settings are.

One row is one dataclass: its fields are the settings of that class. `Common` holds those that every class takes. A
new optimizer is one dataclass and one row in `CLASSES`; a contract test holds every row against Keras.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from experiments.settings import AT_LEAST_ONE, BELOW_ONE, FRACTION, NOT_NEGATIVE, POSITIVE, Limit, whole

NOT_POSITIVE = Limit("0 or less", lambda number: number <= 0)
AT_LEAST_TWO = Limit("2 or more", lambda number: number >= 2)
ABOVE_ZERO_BELOW_ONE = Limit("above 0 and below 1", lambda number: 0 < number < 1)

_WeightDecay = Annotated[float | None, NOT_NEGATIVE, "decoupled weight decay; null is none"]
_LearningRate = Annotated[
    float, POSITIVE, "the peak that a schedule scales, or `auto`: what the range test suggests"
]
_Momentum = Annotated[float, BELOW_ONE, "how much of the velocity each step keeps"]
_Nesterov = Annotated[bool, "look ahead by the momentum"]
_Rho = Annotated[float, BELOW_ONE, "how much of the mean of squared gradients each step keeps"]
_Epsilon = Annotated[float, NOT_NEGATIVE, "keeps a division from one by zero"]
_Beta1 = Annotated[float, BELOW_ONE, "how much of the mean of gradients each step keeps"]
_Beta2 = Annotated[float, BELOW_ONE, "how much of the mean of squared gradients each step keeps"]
_Amsgrad = Annotated[bool, "never forget the largest mean of squared gradients"]
_InitialAccumulatorValue = Annotated[float, NOT_NEGATIVE, "what the sums of squared gradients start from"]


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every class takes (keras.optimizers.Optimizer).

    With `use_ema` a model is judged by the moving average of its weights; `gradient_accumulation_steps`
    counts batches.
    """

    weight_decay: _WeightDecay = None
    clipnorm: Annotated[float | None, POSITIVE, "each gradient is scaled down to this norm; null is not"] = None
    clipvalue: Annotated[float | None, POSITIVE, "each element of a gradient is clipped to it; null is not"] = None
    global_clipnorm: Annotated[
        float | None, POSITIVE, "all gradients together are scaled down to this norm; null is not"
    ] = None
    use_ema: Annotated[bool, "judge the model by the moving average of its weights"] = False
    ema_momentum: Annotated[float, FRACTION, "how much of the moving average each step keeps"] = 0.99
    ema_overwrite_frequency: Annotated[
        int | None, AT_LEAST_ONE, "steps after which the weights become their average; null is never"
    ] = None
    loss_scale_factor: Annotated[
        float | None, POSITIVE, "what the loss is multiplied by, and its gradients divided by; null is 1"
    ] = None
    gradient_accumulation_steps: Annotated[
        int | None, AT_LEAST_TWO, "batches whose gradients make one step; null is one"
    ] = None


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Gradient descent, with momentum where it is above 0 (Sutskever et al. 2013)."""

    learning_rate: _LearningRate = 0.01
    momentum: _Momentum = 0.0
    nesterov: _Nesterov = False


@dataclass(frozen=True, kw_only=True)
class RMSprop:
    """Hinton's lecture 6e, 2012."""

    learning_rate: _LearningRate = 0.001
    rho: _Rho = 0.9
    momentum: _Momentum = 0.0
    epsilon: _Epsilon = 1e-7
    centered: Annotated[bool, "divide by the estimated variance of the gradient"] = False


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Kingma & Ba 2014; `amsgrad` as in Reddi et al. 2018."""

    learning_rate: _LearningRate = 0.001
    beta_1: _Beta1 = 0.9
    beta_2: _Beta2 = 0.999
    epsilon: _Epsilon = 1e-7
    amsgrad: _Amsgrad = False


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017)."""

    learning_rate: _LearningRate = 0.001
    weight_decay: Annotated[float, NOT_NEGATIVE, "decoupled weight decay; null is none"] = 0.004
    beta_1: _Beta1 = 0.9
    beta_2: _Beta2 = 0.999
    epsilon: _Epsilon = 1e-7
    amsgrad: _Amsgrad = False


@dataclass(frozen=True, kw_only=True)
class Adamax:
    """Adam with the infinity norm (Kingma & Ba 2014)."""

    learning_rate: _LearningRate = 0.001
    beta_1: _Beta1 = 0.9
    beta_2: _Beta2 = 0.999
    epsilon: _Epsilon = 1e-7


@dataclass(frozen=True, kw_only=True)
class Nadam:
    """Adam with Nesterov momentum (Dozat 2015)."""

    learning_rate: _LearningRate = 0.001
    beta_1: _Beta1 = 0.9
    beta_2: _Beta2 = 0.999
    epsilon: _Epsilon = 1e-7


@dataclass(frozen=True, kw_only=True)
class Adagrad:
    """Duchi et al. 2011."""

    learning_rate: _LearningRate = 0.001
    initial_accumulator_value: _InitialAccumulatorValue = 0.1
    epsilon: _Epsilon = 1e-7


@dataclass(frozen=True, kw_only=True)
class Adadelta:
    """Zeiler 2012; the paper's own learning rate is 1.0."""

    learning_rate: _LearningRate = 0.001
    rho: _Rho = 0.95
    epsilon: _Epsilon = 1e-7


@dataclass(frozen=True, kw_only=True)
class Adafactor:
    """Shazeer & Stern 2018. It never uses a rate above 1/sqrt(step), whatever the schedule says.

    Between two channels that no image excites, Keras's second moment is the product of two numbers near
    `epsilon_1`, which float32 cannot hold at the default: a VGG then learns nothing, or its weights become NaN.
    `epsilon_1: 1.0e-12` avoids that.
    """

    learning_rate: _LearningRate = 0.001
    beta_2_decay: Annotated[
        float, NOT_POSITIVE, "power of the step by which the memory of squared gradients grows"
    ] = -0.8
    epsilon_1: Annotated[float, NOT_NEGATIVE, "added to the squared gradient"] = 1e-30
    epsilon_2: Annotated[float, NOT_NEGATIVE, "the least scale of a weight that a step is relative to"] = 1e-3
    clip_threshold: Annotated[float, POSITIVE, "the root mean square to which a step is clipped"] = 1.0
    relative_step: Annotated[bool, "never use a rate above 1/sqrt(step)"] = True


@dataclass(frozen=True, kw_only=True)
class Ftrl:
    """McMahan et al. 2013. It divides by the learning rate, so no rate may be 0."""

    learning_rate: _LearningRate = 0.001
    learning_rate_power: Annotated[
        float, NOT_POSITIVE, "power of the step by which the learning rate falls"
    ] = -0.5
    initial_accumulator_value: _InitialAccumulatorValue = 0.1
    l1_regularization_strength: Annotated[float, NOT_NEGATIVE, "L1 penalty"] = 0.0
    l2_regularization_strength: Annotated[float, NOT_NEGATIVE, "L2 penalty, which stabilizes"] = 0.0
    l2_shrinkage_regularization_strength: Annotated[
        float, NOT_NEGATIVE, "L2 penalty on the size of the weights"
    ] = 0.0
    beta: Annotated[float, NOT_NEGATIVE, "the beta of the paper"] = 0.0


@dataclass(frozen=True, kw_only=True)
class Lamb:
    """Layer-wise rates for large batches (You et al. 2019)."""

    learning_rate: _LearningRate = 0.001
    beta_1: _Beta1 = 0.9
    beta_2: _Beta2 = 0.999
    epsilon: _Epsilon = 1e-7


@dataclass(frozen=True, kw_only=True)
class Lion:
    """The sign of a momentum (Chen et al. 2023); its rate is usually a third to a tenth of Adam's."""

    learning_rate: _LearningRate = 0.001
    beta_1: _Beta1 = 0.9
    beta_2: _Beta2 = 0.99


@dataclass(frozen=True, kw_only=True)
class Muon:
    """Orthogonalized momentum (Jordan 2024; Liu et al. 2025) for matrices, AdamW for everything else.

    In a VGG only the dense layers are matrices: Keras leaves convolution kernels to AdamW.
    """

    learning_rate: _LearningRate = 0.001
    adam_beta_1: Annotated[float, BELOW_ONE, "beta_1 of its AdamW"] = 0.9
    adam_beta_2: Annotated[float, BELOW_ONE, "beta_2 of its AdamW"] = 0.999
    adam_weight_decay: Annotated[float | None, NOT_NEGATIVE, "weight decay of its AdamW; null is none"] = 0.004
    epsilon: _Epsilon = 1e-7
    weight_decay: _WeightDecay = 0.004
    exclude_layers: Annotated[
        tuple[str, ...] | None, "regular expressions of layers that are left to its AdamW; null is none"
    ] = None
    exclude_embeddings: Annotated[bool, "leave embeddings to its AdamW"] = True
    muon_a: Annotated[float, "the first coefficient of the iteration that makes a matrix orthogonal"] = 3.4445
    muon_b: Annotated[float, "the second coefficient"] = -4.775
    muon_c: Annotated[float, "the third coefficient"] = 2.0315
    adam_lr_ratio: Annotated[float, POSITIVE, "learning rate of its AdamW, as a multiple"] = 1.0
    momentum: _Momentum = 0.95
    ns_steps: Annotated[int, whole(1, 100), "iterations that make a matrix orthogonal"] = 5
    nesterov: _Nesterov = True
    rms_rate: Annotated[
        float | None, POSITIVE, "scales a step to the root mean square of one of AdamW; null does not"
    ] = 0.2


@dataclass(frozen=True, kw_only=True)
class ScheduleFreeAdamW:
    """Defazio et al. 2024; meant for a constant rate."""

    learning_rate: _LearningRate = 0.0025
    beta_1: _Beta1 = 0.9
    beta_2: _Beta2 = 0.999
    epsilon: _Epsilon = 1e-8
    warmup_steps: Annotated[int, NOT_NEGATIVE, "steps in which the rate rises to its peak"] = 0


CLASSES: Mapping[str, type[Any]] = {
    "Adadelta": Adadelta,
    "Adafactor": Adafactor,
    "Adagrad": Adagrad,
    "Adam": Adam,
    "AdamW": AdamW,
    "Adamax": Adamax,
    "Ftrl": Ftrl,
    "Lamb": Lamb,
    "Lion": Lion,
    "Muon": Muon,
    "Nadam": Nadam,
    "RMSprop": RMSprop,
    "SGD": SGD,
    "ScheduleFreeAdamW": ScheduleFreeAdamW,
}

# Lion's beta_1 weighs the momentum in each step and leaves its memory, beta_2, as it is; Muon leaves all that are
# not matrices to its Adam, so both of its own go together.
MOMENTUM: Mapping[str, tuple[str, ...]] = {
    "SGD": ("momentum",),
    "RMSprop": ("momentum",),
    **dict.fromkeys(("Adam", "AdamW", "Adamax", "Lamb", "Lion", "Nadam"), ("beta_1",)),
    "Muon": ("momentum", "adam_beta_1"),
}
"""What a schedule that cycles the momentum sets at each step, for the classes that can have it so."""
