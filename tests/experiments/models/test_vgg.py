"""The VGG configurations: counted, checked, built."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.models import vgg
from experiments.models.vgg import Model
from experiments.settings import InputError
from experiments.training import backends


@pytest.fixture(scope="module")
def keras() -> None:
    """Keras on a backend with one thread."""
    backends.start(1)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vgg11", 133), ("vgg11-lrn", 133), ("vgg13", 133), ("vgg16-c", 134), ("vgg16", 138), ("vgg19", 144)],
)
def test_parameters_are_those_of_the_paper(name: str, millions: int) -> None:
    assert round(vgg.parameters(Model(name, head="classic"), (224, 224, 3), 1000) / 1e6) == millions


def test_the_articles_model_has_its_parameters() -> None:
    assert vgg.parameters(Model("vgg16"), (224, 224, 3), 2) == 14_715_714


@pytest.mark.parametrize("name", vgg.CONFIGURATIONS)
@pytest.mark.parametrize("head", ["average", "classic"])
@pytest.mark.parametrize("width", [0.0625, 0.3])
def test_what_is_counted_is_what_is_built(keras: None, name: str, head: Any, width: float) -> None:
    model, shape = Model(name, width, head), (64, 96, 3)
    network = vgg.build(model, shape, 5)
    assert network.count_params() == vgg.parameters(model, shape, 5)
    assert network.output_shape == (None, 5)
    convolutions = [layer for layer in network.layers if "conv" in layer.name]
    assert len(convolutions) == sum(len(block) for block in vgg.CONFIGURATIONS[name].kernels)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "vgg17"}, "m.name: unknown model 'vgg17'; did you mean 'vgg1"),
        ({"name": "vgg16", "depth": 3}, "m.depth: unknown setting 'depth'"),
        ({"name": "vgg16", "width": 0}, "m.width: expected a number above 0 and at most 64, got 0.0"),
        ({"name": "vgg16", "head": "avarage"}, "m.head: unknown head 'avarage'; did you mean 'average'?"),
        ({"name": "vgg16", "initializer": "he"}, "m.initializer: unknown initializer 'he'"),
        ({"name": "vgg16", "head": "classic", "dropout": 1.0}, "m.dropout: expected at least 0 and below 1"),
        ({"name": "vgg16", "dropout": 0.2}, "m.dropout: the average head has none"),
    ],
)
def test_mistakes_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        vgg.check("m", given)
    assert str(caught.value).startswith(message)


def test_images_that_are_too_small_are_refused() -> None:
    vgg.require("data.image_size", Model("vgg16"), 32)
    with pytest.raises(InputError, match=r"data.image_size: vgg16 .* at least 32 pixels, got 31"):
        vgg.require("data.image_size", Model("vgg16"), 31)


def test_initial_weights_come_from_the_seed_alone(keras: None) -> None:
    model = Model("vgg11", 0.0625, initializer="he_uniform")
    network = vgg.build(model, (32, 32, 3), 2)

    def drawn(seed: int) -> list[np.ndarray[Any, Any]]:
        return [np.array(value) for value in vgg.initial_weights(network, model, seed)]

    first, again, other = drawn(3), drawn(3), drawn(4)
    for variable, one, two, three in zip(network.weights, first, again, other, strict=True):
        assert one.tobytes() == two.tobytes()
        if variable.name == "bias":
            assert not one.any()
        else:
            assert not np.array_equal(one, three)
            limit = np.sqrt(6 / np.prod(variable.shape[:-1]))
            assert 0.9 * limit < np.abs(one).max() <= limit
    # block4_conv1 and the next one have different shapes; block4_conv2 and block5_conv1 the same.
    alike = [w for w in first if w.shape == (3, 3, 32, 32)]
    assert len(alike) == 3
    assert not np.array_equal(alike[0], alike[1])


def test_a_built_network_has_the_weights_of_seed_0_and_names_its_initializer(keras: None) -> None:
    model = Model("vgg11", 0.0625, initializer="lecun_normal")
    network = vgg.build(model, (32, 32, 3), 2)
    for variable, value in zip(network.weights, vgg.initial_weights(network, model, 0), strict=True):
        assert variable.numpy().tobytes() == value.tobytes()
    names = {layer.get_config().get("kernel_initializer", {}).get("class_name") for layer in network.layers}
    assert names == {None, "LecunNormal"}


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_initial_weights_are_the_same_float32_in_every_precision(keras: None, precision: str) -> None:
    model = Model("vgg11", 0.0625)
    network = vgg.build(model, (32, 32, 3), 2, precision)
    weights = list(vgg.initial_weights(network, model, 7))
    assert {value.dtype.name for value in weights} == {"float32"}
    # Of the first and the last kernel: a change here gives every trial other numbers under the same key.
    assert weights[0].ravel()[:2].tolist() == [-0.1201288178563118, 0.18384265899658203]
    assert weights[-2].ravel()[:2].tolist() == [-0.17750203609466553, 0.302633672952652]


def test_local_response_normalization_is_the_papers(keras: None) -> None:
    network = vgg.build(Model("vgg11-lrn", 0.125), (32, 32, 3), 2)
    from keras import Model as CompiledModel

    # Far above 1, or the neighbours would hardly count.
    image = 1000 * np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    before = np.array(CompiledModel(network.input, network.get_layer("block1_conv1").output)(image))
    after = np.array(CompiledModel(network.input, network.get_layer("block1_pool").input)(image))
    expected = np.empty_like(before)
    for channel in range(8):
        near = before[..., max(0, channel - 2) : channel + 3]
        expected[..., channel] = before[..., channel] / (2 + 1e-4 * (near**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(after, expected, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_saved_network_opens_in_plain_keras(keras: None, tmp_path: Path, precision: str) -> None:
    import keras as plain

    network = vgg.build(Model("vgg11-lrn", 0.0625, "classic"), (32, 32, 3), 3, precision)
    network.save(tmp_path / "model.keras")
    opened = plain.models.load_model(tmp_path / "model.keras")
    image = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    probabilities = np.array(opened(image))
    assert probabilities.dtype == np.float32
    np.testing.assert_array_equal(probabilities, np.array(network(image)))
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)
    assert network.get_layer("block1_conv1").compute_dtype == precision.removeprefix("mixed_")
