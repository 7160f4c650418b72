"""The table of optimizers: every class of Keras 3.15 with its settings, their types and defaults.

One row is one function: its keyword-only parameters are the settings of that class. `common` holds those that
every class takes. A new optimizer is one function and one row in `CLASSES`; a contract test holds every row
against the installed Keras.
"""

from collections.abc import Callable, Mapping

from experiments.settings import AT_LEAST_ONE, BELOW_ONE, FRACTION, NOT_NEGATIVE, POSITIVE, Limit, whole


def common(
    *,
    weight_decay: float | None = None,
    clipnorm: float | None = None,
    clipvalue: float | None = None,
    global_clipnorm: float | None = None,
    use_ema: bool = False,
    ema_momentum: float = 0.99,
    ema_overwrite_frequency: int | None = None,
    loss_scale_factor: float | None = None,
    gradient_accumulation_steps: int | None = None,
) -> None:
    """What every class takes (keras.optimizers.Optimizer).

    With `use_ema` a model is judged by the moving average of its weights; `gradient_accumulation_steps`
    counts batches.
    """


def sgd(*, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
    """Gradient descent, with momentum where it is above 0 (Sutskever et al. 2013)."""


def rmsprop(
    *,
    learning_rate: float = 0.001,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
) -> None:
    """Hinton's lecture 6e, 2012."""


def adam(
    *,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
) -> None:
    """Kingma & Ba 2014; `amsgrad` as in Reddi et al. 2018."""


def adamw(
    *,
    learning_rate: float = 0.001,
    weight_decay: float = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
) -> None:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017)."""


def adamax(
    *, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> None:
    """Adam with the infinity norm (Kingma & Ba 2014)."""


def nadam(
    *, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> None:
    """Adam with Nesterov momentum (Dozat 2015)."""


def adagrad(
    *, learning_rate: float = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7
) -> None:
    """Duchi et al. 2011."""


def adadelta(*, learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7) -> None:
    """Zeiler 2012; the paper's own learning rate is 1.0."""


def adafactor(
    *,
    learning_rate: float = 0.001,
    beta_2_decay: float = -0.8,
    epsilon_1: float = 1e-30,
    epsilon_2: float = 1e-3,
    clip_threshold: float = 1.0,
    relative_step: bool = True,
) -> None:
    """Shazeer & Stern 2018. It never uses a rate above 1/sqrt(step), whatever the schedule says.

    Between two channels that no image excites, Keras's second moment is the product of two numbers near
    `epsilon_1`, which float32 cannot hold at the default: a VGG then learns nothing, or its weights become NaN.
    `epsilon_1: 1.0e-12` avoids that.
    """


def ftrl(
    *,
    learning_rate: float = 0.001,
    learning_rate_power: float = -0.5,
    initial_accumulator_value: float = 0.1,
    l1_regularization_strength: float = 0.0,
    l2_regularization_strength: float = 0.0,
    l2_shrinkage_regularization_strength: float = 0.0,
    beta: float = 0.0,
) -> None:
    """McMahan et al. 2013. It divides by the learning rate, so no rate may be 0."""


def lamb(
    *, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> None:
    """Layer-wise rates for large batches (You et al. 2019)."""


def lion(*, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.99) -> None:
    """The sign of a momentum (Chen et al. 2023); its rate is usually a third to a tenth of Adam's."""


def muon(
    *,
    learning_rate: float = 0.001,
    adam_beta_1: float = 0.9,
    adam_beta_2: float = 0.999,
    adam_weight_decay: float | None = 0.004,
    epsilon: float = 1e-7,
    weight_decay: float | None = 0.004,
    exclude_layers: tuple[str, ...] | None = None,
    exclude_embeddings: bool = True,
    muon_a: float = 3.4445,
    muon_b: float = -4.775,
    muon_c: float = 2.0315,
    adam_lr_ratio: float = 1.0,
    momentum: float = 0.95,
    ns_steps: int = 5,
    nesterov: bool = True,
    rms_rate: float | None = 0.2,
) -> None:
    """Orthogonalized momentum (Jordan 2024; Liu et al. 2025) for matrices, AdamW for everything else.

    In a VGG only the dense layers are matrices: Keras leaves convolution kernels to AdamW.
    """


def schedule_free_adamw(
    *,
    learning_rate: float = 0.0025,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    warmup_steps: int = 0,
) -> None:
    """Defazio et al. 2024; meant for a constant rate."""


CLASSES: Mapping[str, Callable[..., None]] = {
    "Adadelta": adadelta,
    "Adafactor": adafactor,
    "Adagrad": adagrad,
    "Adam": adam,
    "AdamW": adamw,
    "Adamax": adamax,
    "Ftrl": ftrl,
    "Lamb": lamb,
    "Lion": lion,
    "Muon": muon,
    "Nadam": nadam,
    "RMSprop": rmsprop,
    "SGD": sgd,
    "ScheduleFreeAdamW": schedule_free_adamw,
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

NOT_POSITIVE = Limit("0 or less", lambda number: number <= 0)
AT_LEAST_TWO = Limit("2 or more", lambda number: number >= 2)
ABOVE_ZERO_BELOW_ONE = Limit("above 0 and below 1", lambda number: 0 < number < 1)

# A name means the same in every class, so its limit is said once; None (not set) is always within.
LIMITS: Mapping[str, Limit] = {
    **dict.fromkeys(
        ("beta_1", "beta_2", "adam_beta_1", "adam_beta_2", "rho", "momentum"),
        BELOW_ONE,
    ),
    **dict.fromkeys(("clipnorm", "clipvalue", "global_clipnorm", "loss_scale_factor"), POSITIVE),
    **dict.fromkeys(("learning_rate", "clip_threshold", "rms_rate", "adam_lr_ratio"), POSITIVE),
    **dict.fromkeys(("epsilon", "epsilon_1", "epsilon_2", "weight_decay", "adam_weight_decay"), NOT_NEGATIVE),
    **dict.fromkeys(("decay", "initial_accumulator_value", "warmup_steps", "beta"), NOT_NEGATIVE),
    **dict.fromkeys((f"l{n}_regularization_strength" for n in (1, 2)), NOT_NEGATIVE),
    "l2_shrinkage_regularization_strength": NOT_NEGATIVE,
    "learning_rate_power": NOT_POSITIVE,
    "beta_2_decay": NOT_POSITIVE,
    "ema_momentum": FRACTION,
    "ema_overwrite_frequency": AT_LEAST_ONE,
    "ns_steps": whole(1, 100),
    "gradient_accumulation_steps": AT_LEAST_TWO,
}
