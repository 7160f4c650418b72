"""Wrong sweep files and overrides, and right ones: one line on stderr that names the key, and exit code 2."""

import re
from pathlib import Path

import pytest

from tests.support.command import command

BASE = """\
data: {name: digits, image_size: 32}
model: {width: 0.0625}
batch_size: 64
epochs: 4
optimizers: {sgd: {class: SGD, learning_rate: 0.01}, adam: {class: Adam}}
schedules: {constant: {}, cosine: {}}
trainer: tests.support.fakes:VectorTrainer
"""
DEEP = "[" * 3000 + "]" * 3000
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000))

FILES = [
    ("", "expected a mapping of settings, got nothing"),
    ("- 1\n", "expected a mapping of settings, got list"),
    ("just words", "expected a mapping of settings, got str"),
    ("a: [1, 2\nb: 3\n", "line 2: not valid YAML"),
    ("a: 1\n\tb: 2\n", "not valid YAML"),
    ("a: 'x\n", "not valid YAML"),
    ("--- \na: 1\n---\nb: 2\n", "not valid YAML"),
    ("a: *nobody\n", "line 1: not valid YAML: found undefined alias"),
    ("a: &a [*a]\n", "line 1: an alias stands inside what it is an alias of"),
    ("a: &a {b: *a}\n", "line 1: an alias stands inside what it is an alias of"),
    ("a: &a {<<: *a}\n", "line 1: an alias stands inside what it is an alias of"),
    (f"a: {DEEP}\n", "line 1: expected at most 50 mappings and lists inside each other"),
    (f"a: {DEEP.replace('[', '{b: ').replace(']', '}')}\n", "line 1: expected at most 50 mappings and lists"),
    (LAUGHS, "expected at most 100,000 values, aliases followed"),
    (CHAIN, "expected at most 50 mappings and lists inside each other"),
    (f"a: {'x' * 1_000_001}\n", "at most 1,000,000 characters"),
    ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' stands twice"),
    ("a: {<<: {b: 1}, <<: {c: 2}}\n", "line 1: key '<<' stands twice"),
    ("base: &b {x: 1}\nc: {<<: *b, x: 2, x: 3}\n", "line 2: key 'x' stands twice"),
    ("a: {<<: 5}\n", "line 1: not valid YAML: expected a mapping"),
    ("? [1]\n: 2\n", "line 1: expected a plain key, got a list or a mapping"),
    ("a: !!python/object/apply:os.system ['true']\n", "line 1: not valid YAML"),
    ("a: !!binary aGk=\n", "line 1: not valid YAML"),
    ("a: !!int many\n", "not valid YAML"),
    (f"a: {'9' * 5000}\n", "not valid YAML"),
    ('a: "x\\0y"\n', "line 1: expected text without control characters, got 'x\\x00y'"),
    ('a: "\\ud800"\n', "line 1: expected text without control characters"),
    ('"a\\nb": 1\n', "line 1: expected text without control characters"),
    ("a: |\n  photos\n", "line 1: expected text without control characters"),
    ("a: \x07\n", "not valid YAML"),
    ("true: 1\n", "line 1: expected a name as the key, and YAML reads 'true' as True; put it in quotes"),
    ("010: 1\n", "line 1: expected a name as the key, and YAML reads '010' as 10; put it in quotes"),
    ("no: 1\n", "no: unknown setting 'no'"),
    ("a: !!set {b}\n", "line 1: not valid YAML: expected a value without a tag, got 'tag:yaml.org,2002:set'"),
    ("a: &a 1\nb: &a 2\n", "line 2: not valid YAML: anchor 'a' stands twice"),
    ("%YAML 1.1\n---\na: 1\n", "line 1: expected YAML 1.2, got 1.1"),
    ("%YAML 1.9\n---\na: 1\n", "not valid YAML: version"),
    ('a: "\\UFFFFFFFF"\n', "not valid YAML"),
    ("1: 1\n", "line 1: expected a name as the key, and YAML reads '1' as 1; put it in quotes"),
    ("~: 1\n", "line 1: expected a name as the key"),
]

CHANGES = [
    # Keys
    ("epoch: 3", "epoch: unknown setting 'epoch'; did you mean 'epochs'?"),
    ("model.width: 1", "model.width: unknown setting 'model.width'"),
    ("épochs: 3", "épochs: unknown setting"),
    ("'': 3", ": unknown setting ''"),
    # Names and labels
    ("name: a b", "name: expected a label"),
    ("name: ''", "name: expected a label"),
    ("name: 5", "name: expected a label"),
    ("name: ../up", "name: expected a label"),
    ("name: checkpoints", "name: 'checkpoints' is taken"),
    ("name: lock", "name: 'lock' is taken"),
    (f"name: {'x' * 101}", "name: expected a label of at most 100"),
    ("optimizers: {a/b: {class: SGD}}", "optimizers.a/b: expected a label"),
    ("optimizers: {ä: {class: SGD}}", "optimizers.ä: expected a label"),
    ("schedules: {true: {name: constant}}", "YAML reads 'true' as True; put it in quotes"),
    ("optimizers: {1: {class: SGD}}", "YAML reads '1' as 1; put it in quotes"),
    # Whole numbers
    ("epochs: 0", "epochs: expected 1 to 100,000, got 0"),
    ("epochs: -1", "epochs: expected 1 to 100,000, got -1"),
    ("epochs: many", "epochs: input should be a valid integer"),
    ("epochs: 1.5", "epochs: input should be a valid integer"),
    ("epochs: true", "epochs: expected a number, got True"),
    ("epochs: null", "epochs: expected a value, got none"),
    ("epochs: []", "epochs: expected at least one number of epochs, got an empty list"),
    ("epochs: [10, 20, 10]", "epochs: a length stands twice, 10; keep one of them"),
    ("epochs: [0, 2]", "epochs: expected 1 to 100,000, got 0"),
    ("epochs: [2, 100001]", "epochs: expected 1 to 100,000, got 100001"),
    ("epochs: [2, many]", "epochs: input should be a valid integer"),
    ("epochs: [2, true]", "epochs: expected a number, got True"),
    ("epochs: [[1, 2]]", "epochs: input should be a valid integer"),
    ("epochs: [1, 2]\ngrid: {epochs: [3, 4]}", "grid.epochs: contradicts the list under `epochs`"),
    (
        "epochs: [1, 2]\nrecipes: [{optimizer: sgd, schedule: constant, epochs: 3}]",
        "epochs: would change no trial",
    ),
    (
        "epochs: 3\nrecipes: [{optimizer: sgd, schedule: constant, epochs: [1, 2]}]",
        "epochs: input should be a valid integer",
    ),
    ("epochs: {a: 1}", "epochs: input should be a valid integer"),
    ("epochs: 1000000000", "epochs: expected 1 to 100,000, got 1000000000"),
    ("epochs: 1e300", "epochs: "),
    ("epochs: 1e999", "epochs: input should be a finite number"),
    ("epochs: 100000\nbatch_size: 1", "epochs: 100,000 epochs of 1,348 steps have 134,800,000 learning rates"),
    (
        f"epochs: 100000\nbatch_size: full\nseeds: {list(range(60))}",
        "epochs: expected at most 10,000,000 in all trials",
    ),
    ("batch_size: 0", "batch_size: expected 1 to 2,147,483,647 images, got 0"),
    ("batch_size: half", "batch_size: expected a number of images or 'full', got 'half'"),
    ("batch_size: true", "batch_size: expected a number, got True"),
    ("batch_size: 10000000000000000000000000000", "batch_size: expected a whole number of 64 bits"),
    ("batch_size: null", "batch_size: expected a number of images or 'full'"),
    ("seeds: []", "seeds: expected at least one"),
    ("seeds: [1, 1]", "seeds: a seed stands twice"),
    ("seeds: [0, 9223372036854775808]", "seeds: expected a whole number of 64 bits, at most 9223372036854775807"),
    ("seeds: [-1]", "seeds: expected 0 to 9,223,372,036,854,775,807, got -1"),
    ("seeds: {a: 1}", "seeds: "),
    ("seeds: [0, true]", "seeds: expected a number, got True"),
    ("seeds: [[0]]", "seeds: "),
    ("retries: -1", "retries: expected 0 to 1,000,000"),
    ("retries: 1e12", "retries: expected 0 to 1,000,000"),
    ("retries: null", "retries: "),
    ("budget: {}", "budget: expected either epochs or hours, got {}"),
    ("budget: {epochs: 100, hours: 1}", "budget: expected either epochs or hours"),
    ("budget: {epochs: 0}", "budget.epochs: expected 1 to 1,000,000,000"),
    ("budget: {hours: 0}", "budget.hours: expected more than 0, got 0.0"),
    ("budget: {houres: 1}", "did you mean 'hours'"),
    ("budget: 8", "budget: "),
    ("budget: {epochs: 3}", "budget.epochs: expected at least "),
    ("equivalence: -0.001", "equivalence: expected 0 or more, got -0.001"),
    ("equivalence: much", "equivalence: "),
    ("equivalence: true", "equivalence: expected a number, got True"),
    # Races
    ("race: 5", "race: expected a mapping of settings, got 5"),
    ("race: true", "race: expected a mapping of settings, got True"),
    ("race: {first: 5, most: 4}", "race.most: expected at least race.first (5), got 4"),
    ("race: {first: 31}", "race.most: expected at least race.first (31), got 30"),
    ("seeds: [0, 1, 2, 3, 4]\nrace: {first: 2, most: 4}", "race.most: expected at least the 5 seeds"),
    ("race: {first: 1}", "race.first: expected 2 to 10,000, got 1"),
    ("race: {first: 2.5}", "race.first: "),
    ("race: {most: 10001}", "race.most: expected 2 to 10,000, got 10001"),
    ("race: {confidence: 1}", "race.confidence: expected a number from 0.5 to below 1, got 1"),
    ("race: {confidence: 0.4}", "race.confidence: expected a number from 0.5 to below 1, got 0.4"),
    ("race: {confidence: 95}", "race.confidence: expected a number from 0.5 to below 1, got 95"),
    ("race: {confidence: .nan}", "race.confidence: "),
    ("race: {equivalence: -1}", "race.equivalence: expected 0 or more, got -1"),
    ("race: {confidense: 0.9}", "race.confidense: unknown setting 'confidense'; did you mean 'confidence'?"),
    # Switches and choices
    ("save_best: 1", "save_best: expected true or false, got 1"),
    ("save_best: no", "save_best: expected true or false, got 'no'; write false"),
    ("save_best: 'On'", "save_best: expected true or false, got 'On'; write true"),
    ("save_best: 'maybe'", "save_best: expected true or false, got 'maybe'"),
    (
        "data: {name: digits, augmentation: {horizontal_flip: yes}}",
        "data.augmentation.horizontal_flip: expected true or false, got 'yes'; write true",
    ),
    ("epochs: 1:30", "epochs: input should be a valid integer"),
    ("epochs: 0b11", "epochs: input should be a valid integer"),
    ("model: {width: .inf}", "model.width: input should be a finite number"),
    ("deterministic: 0", "deterministic: expected true or false, got 0"),
    ("monitor: val_acc", "monitor: unknown value 'val_acc'; did you mean 'val_accuracy'?"),
    ("monitor: test_accuracy", "monitor: nothing is chosen by the test set, so that it can judge the choice"),
    ("early_stopping: {monitor: test_loss}", "early_stopping.monitor: nothing is chosen by the test set"),
    ("reduce_on_plateau: {monitor: test_loss}", "reduce_on_plateau.monitor: nothing is chosen by the test set"),
    ("schedules: {plateau: {monitor: test_accuracy}}", "schedules.plateau.monitor: nothing is chosen by the test"),
    ("monitor: [loss]", "monitor: unknown value"),
    ("precision: float64", "precision: unknown value 'float64'; did you mean 'float32'?"),
    ("checkpoints: none", "checkpoints: unknown value 'none'"),
    ("trainer: nobody:Home", "trainer: cannot import module 'nobody'"),
    ("trainer: tests.support.fakes", "trainer: expected module:Class, got 'tests.support.fakes'"),
    ("trainer: 'tests.support.fakes:'", "trainer: expected module:Class"),
    ("trainer: '..fakes:A'", "trainer: expected module:Class"),
    ("trainer: 5", "trainer: input should be a valid string"),
    ("results: ''", "results: expected a folder or an address"),
    ("results: 5", "results: input should be a valid string"),
    ("results: ~nobody-of-this-name/r", "results: expected a path, got '~nobody-of-this-name/r'"),
    # Resources
    ("resources: {cpus_per_trail: 2}", "resources.cpus_per_trail: unknown setting"),
    ("resources: {cpus_per_trial: 0}", "resources.cpus_per_trial: expected 1 to 10,000, got 0"),
    ("resources: {cpus_per_trial: 1e30}", "resources.cpus_per_trial: "),
    ("resources: {cpus_per_trial: 1000000000000000000000000000000}", "resources.cpus_per_trial: expected a whole"),
    ("resources: {gpus_per_trial: 1.5}", "resources.gpus_per_trial: expected 0, a fraction"),
    ("resources: {hardware: ''}", "resources.hardware: expected a line of `sweep doctor`'s or 'any', got ''"),
    ("resources: {gpus_per_trial: -0.5}", "resources.gpus_per_trial: expected 0, a fraction"),
    ("resources: {gpus_per_trial: 1e-9}", "resources.gpus_per_trial: expected 0, a fraction"),
    ("resources: {gpus_per_trial: 1e300}", "resources.gpus_per_trial: expected a number that float32 holds"),
    ("resources: null", "resources: expected a mapping of settings, got nothing"),
    ("resources: 2", "resources: expected a mapping of settings, got 2"),
    # Data
    ("data: null", "data: expected a mapping of settings, got nothing"),
    ("data: digits", "data: expected a mapping of settings, got 'digits'"),
    ("data: {}", "data: setting 'name' is missing"),
    ("data: {name: digit}", "data.name: unknown data set 'digit'; did you mean 'digits'?"),
    ("data: {name: digits, image_sise: 32}", "data.image_sise: unknown setting"),
    ("data: {name: digits, image_size: 8}", "data.image_size: vgg16 halves an image five times"),
    ("data: {name: digits, image_size: 1000000}", "data.image_size: expected 1 to 8,192 pixels, got 1000000"),
    ("data: {name: digits, image_size: 32.5}", "data.image_size: input should be a valid integer"),
    ("data: {name: digits, limit: 0}", "data.limit: expected at least 1"),
    ("data: {name: digits, limit: 5}", "data.limit: expected at least 20 images"),
    ("data: {name: digits, validation: 0}", "data.validation: expected a fraction between 0 and 1"),
    ("data: {name: digits, validation: true}", "data.validation: expected a number, got True"),
    ("data: {name: digits, validation: .nan}", "data.validation: "),
    ("data: {name: digits, test: 1}", "data.test: expected a fraction from 0, which is none, to below 1, got 1.0"),
    ("data: {name: digits, test: -0.1}", "data.test: expected a fraction from 0, which is none, to below 1"),
    ("data: {name: digits, test: true}", "data.test: expected a number, got True"),
    ("data: {name: digits, test: null}", "data.test: "),
    ("data: {name: digits, test: 0.75}", "data.validation and data.test: expected fractions that leave images"),
    (
        "data: {name: digits, test: 0.1, limit: 29}",
        "data.limit: expected at least 30 images, one of each of the 10",
    ),
    ("data: {name: digits, split_seed: 1.5}", "data.split_seed: input should be a valid integer"),
    ("data: {name: digits, augmentation: {shift: -1}}", "data.augmentation.shift: expected 0 pixels or more"),
    ("data: {name: digits, augmentation: {shift: 99}}", "data.augmentation.shift: expected 0 pixels or more"),
    ("data: {name: digits, augmentation: {horizontal_flip: 1}}", "horizontal_flip: expected true or false, got 1"),
    ("data: {name: digits, augmentation: [flip]}", "data.augmentation: "),
    ("data: {name: images}", "data.path: images needs a folder, got None"),
    ("data: {name: images, path: nowhere}", "data.path: no such folder: nowhere"),
    (
        "data: {name: images, path: ~nobody-of-this-name}",
        "data.path: expected a path, got '~nobody-of-this-name'",
    ),
    (f"data: {{name: images, path: {'x' * 300}}}", "data.path: "),
    ("data: {name: images, path: 's3://[x'}", "data.path"),
    ("data: {name: images, path: 5}", "data.path: input should be a valid string"),
    # Model
    ("model: {name: vgg15}", "model.name: unknown model 'vgg15'"),
    ("model: {width: 0}", "model.width: expected a number above 0 and at most 64"),
    ("model: {width: 1e308}", "model.width: expected a number that float32 holds"),
    ("model: {width: 65}", "model.width: expected a number above 0 and at most 64"),
    ("model: {width: .inf}", "model.width: "),
    ("model: {width: wide}", "model.width: "),
    ("model: {head: flat}", "model.head: unknown head 'flat'"),
    ("model: {dropout: 0.2}", "model.dropout: the average head has none"),
    ("model: [vgg16]", "model: expected a mapping of settings, got ['vgg16']"),
    # Optimizers
    ("optimizers: {}", "optimizers: expected at least one"),
    (
        f"optimizers: {{{', '.join(f'a{n}: {{class: SGD}}' for n in range(400))}}}\n"
        f"schedules: {{{', '.join(f'a{n}: {{name: constant}}' for n in range(400))}}}",
        "optimizers: expected at most 100,000 trials, got 160,000 times the seeds",
    ),
    ("optimizers: [sgd]", "optimizers: expected a mapping of settings"),
    ("optimizers: {a: {class: Adan}}", "optimizers.a.class: unknown optimizer class 'Adan'; did you mean 'Adam'?"),
    ("optimizers: {a: {}}", "optimizers.a: setting 'class' is missing"),
    ("optimizers: {a: SGD}", "optimizers.a: expected a mapping of settings, got 'SGD'"),
    ("optimizers: {a: {class: [SGD]}}", "optimizers.a.class: expected the name of an optimizer class"),
    ("optimizers: {a: {class: SGD, momentu: 1}}", "optimizers.a.momentu: unknown setting"),
    ("optimizers: {a: {class: SGD, momentum: 1}}", "optimizers.a.momentum: expected at least 0 and below 1"),
    ("optimizers: {a: {class: SGD, momentum: true}}", "optimizers.a.momentum: expected a number, got True"),
    ("optimizers: {a: {class: SGD, nesterov: 1}}", "optimizers.a.nesterov: expected true or false, got 1"),
    ("optimizers: {a: {class: SGD, learning_rate: 0}}", "optimizers.a.learning_rate: expected a number above 0"),
    (
        "optimizers: {a: {class: SGD, learning_rate: -0.0}}",
        "optimizers.a.learning_rate: expected a number above 0",
    ),
    (
        "optimizers: {a: {class: SGD, learning_rate: 1e300}}",
        "optimizers.a.learning_rate: expected a number that fl",
    ),
    ("optimizers: {a: {class: SGD, learning_rate: null}}", "optimizers.a.learning_rate: "),
    ("optimizers: {a: {class: SGD, learning_rate: [0.1]}}", "optimizers.a.learning_rate: "),
    ("optimizers: {a: {class: SGD, learning_rate: atuo}}", "optimizers.a.learning_rate: "),
    ("optimizers: {a: {class: Adam, epsilon: .inf}}", "optimizers.a.epsilon: "),
    ("optimizers: {a: {class: Adam, weight_decay: -1}}", "optimizers.a.weight_decay: expected 0 or more"),
    (
        "optimizers: {a: {class: Adam, ema_momentum: 0.5}}",
        "optimizers.a.ema_momentum: changes nothing without use_ema",
    ),
    ("optimizers: {a: {class: Adam, decay: 1e39}}", "optimizers.a.decay: expected a number that float32 holds"),
    (
        "optimizers: {a: {class: Adam, gradient_accumulation_steps: 9999999}}",
        "gradient_accumulation_steps is 9999999",
    ),
    ("optimizers: {a: {class: Muon, ns_steps: 1000000000}}", "optimizers.a.ns_steps: expected 1 to 100"),
    ("optimizers: {a: {class: Muon, exclude_layers: ['[']}}", "optimizers.a.exclude_layers: expected regular"),
    ("optimizers: {a: {class: Muon, exclude_layers: logits}}", "optimizers.a.exclude_layers: "),
    # Schedules
    ("schedules: {}", "schedules: expected at least one"),
    ("schedules: [constant]", "schedules: expected a mapping of settings"),
    ("schedules: {cosin: {}}", "schedules.cosin: unknown schedule 'cosin'; did you mean 'cosine'?"),
    ("schedules: {a: {name: {b: 1}}}", "schedules.a.name: expected the name of a schedule, got {'b': 1}"),
    ("schedules: {cosine: 3}", "schedules.cosine: expected a mapping of settings, got 3"),
    ("schedules: {cosine: {finl: 1}}", "schedules.cosine.finl: unknown setting 'finl'; did you mean 'final'?"),
    ("schedules: {cosine: {final: .nan}}", "schedules.cosine.final: "),
    ("schedules: {cosine: {peak: true}}", "schedules.cosine.peak: expected a number, got True"),
    ("schedules: {cosine: {peak: -1}}", "schedules.cosine.peak: expected a number above 0"),
    ("schedules: {cosine: {by: week}}", "schedules.cosine.by: "),
    ("schedules: {cosine: {by: null}}", "schedules.cosine.by: "),
    ("schedules: {cosine: {warmup: 3}}", "schedules.cosine.warmup: expected settings such as {epochs: 3}, got 3"),
    ("schedules: {cosine: {warmup: {epochs: 9}}}", "schedules.cosine.warmup: the warm-up takes 9 epochs"),
    ("schedules: {cosine: {warmup: {epochs: 1e30}}}", "schedules.cosine.warmup: the warm-up takes 1e+30 epochs"),
    ("schedules: {cosine: {momentum: {low: 0.8}}}", "schedules.cosine.momentum: cosine has no cycles"),
    ("schedules: {step: {}}", "schedules.step: setting 'every' is missing"),
    ("schedules: {step: {every: 0}}", "schedules.step.every: expected a number above 0"),
    ("schedules: {triangular: {period: 1e-320}}", "triangular: expected learning rates of 0 or more, all finite"),
    ("schedules: {piecewise: {boundaries: [.nan], values: [1, 0.1]}}", "schedules.piecewise.boundaries.0: "),
    (
        "schedules: {piecewise: {boundaries: [true], values: [1, 1]}}",
        "schedules.piecewise.boundaries.0: expected a nu",
    ),
    ("schedules: {piecewise: {boundaries: [1], values: [1, .inf]}}", "schedules.piecewise.values.1: "),
    (
        "schedules: {piecewise: {boundaries: [1], values: [1, 1e39]}}",
        "schedules.piecewise.values.1: expected a numb",
    ),
    ("schedules: {piecewise: {boundaries: 1, values: 1}}", "schedules.piecewise.boundaries: "),
    ("schedules: {sequence: {sequence: 3}}", "schedules.sequence.sequence: "),
    ("schedules: {sequence: {sequence: [cosine]}}", "schedules.sequence.sequence.0: expected one shape"),
    ("schedules: {sequence: {sequence: [{cosine: .nan}]}}", "schedules.sequence.sequence.0.cosine.epochs: "),
    ("schedules: {sequence: {sequence: [{cosin: rest}]}}", "schedules.sequence.sequence.0: unknown part"),
    ("schedules: {range-test: {peak: 1}}", "schedules.range-test.peak: range-test gives learning rates itself"),
    ("schedules: {plateau: {patience: 1.5}}", "schedules.plateau.patience: "),
    # Rules and range tests
    (
        "early_stopping: {patence: 1}",
        "early_stopping.patence: unknown setting 'patence'; did you mean 'patience'?",
    ),
    ("early_stopping: 3", "early_stopping: expected a mapping of settings, got 3"),
    ("early_stopping: {patience: -1}", "early_stopping.patience: expected 0 or more"),
    ("reduce_on_plateau: {factor: 1}", "reduce_on_plateau.factor: expected a number above 0 and below 1"),
    ("schedules: {plateau: {}}\nreduce_on_plateau: {factor: 0.5}", "reduce_on_plateau: would change no trial"),
    ("range_test: {steps: 1000000000}", "range_test.steps: expected 20 to 10,000, got 1000000000"),
    ("range_test: {start: 1, end: 0.1}", "range_test.end: expected more than start"),
    ("range_test: null", "range_test: expected a mapping of settings, got nothing"),
    # Recipes
    ("recipes: []", "recipes: expected a list of at least one"),
    ("recipes: null", "recipes: expected a list of at least one"),
    ("recipes: {optimizer: sgd}", "recipes: expected a list of at least one"),
    ("recipes: [sgd]", "recipes.0: expected settings such as {optimizer: sgd, schedule: constant}, got 'sgd'"),
    ("recipes: [{optimizer: sgd}]", "recipes.0.schedule: expected a label, got none"),
    ("recipes: [{schedule: cosine}]", "recipes.0.optimizer: expected a label, got none"),
    (
        "recipes: [{optimizer: sg, schedule: cosine}]",
        "recipes.0.optimizer: unknown optimizer 'sg'; did you mean 'sgd'?",
    ),
    (
        "recipes: [{optimizer: sgd, schedule: cosin}]",
        "recipes.0.schedule: unknown schedule 'cosin'; did you mean 'cosi",
    ),
    (
        "recipes: [{optimizer: sgd, schedule: 3}]",
        "recipes.0.schedule: expected a label or a mapping with its name",
    ),
    ("recipes: [{optimizer: sgd, schedule: step}]", "recipes.0.schedule: setting 'every' is missing"),
    (
        "recipes: [{optimizer: sgd, schedule: {final: 1}}]",
        "recipes.0.schedule: expected a label or a mapping with its",
    ),
    (
        "recipes: [{optimizer: sgd, schedule: {name: cosine, final: 0.1}}]",
        "recipes.0.schedule: 'cosine' already stands for other settings",
    ),
    ("recipes: [{optimizer: sgd, schedule: cosine, epoch: 3}]", "recipes.0.epoch: unknown setting"),
    (
        "recipes: [{optimizer: sgd, schedule: cosine, model.width: 1, model: {width: 2}}]",
        "recipes.0.model.width: stands twice",
    ),
    (
        "recipes: [{optimizer: sgd, schedule: cosine, early_stopping.patience: 1, early_stopping: null}]",
        "recipes.0.early_stopping: contradicts early_stopping.patience",
    ),
    (
        "recipes: [{optimizer: sgd, schedule: cosine, published: {acc: 1}}]",
        "recipes.0.published.acc: unknown metric",
    ),
    ("recipes: [{optimizer: sgd, schedule: cosine, model: 5}]", "model: expected a mapping of settings, got 5"),
    # Grid axes
    ("grid: [1]", "grid: expected a mapping of settings, got [1]"),
    ("grid: {batch_size: 16}", "grid.batch_size: expected a list"),
    ("grid: {batch_size: []}", "grid.batch_size: expected a list of at least one value"),
    ("grid: {batch_size: [16, 16]}", "grid.batch_size: a value stands twice"),
    ("grid: {model.width: [1, 1.0]}", "grid.model.width: would change no trial: its values mean the same"),
    ("grid: {batchsize: [16]}", "grid.batchsize: unknown setting 'batchsize'; did you mean 'batch_size'?"),
    ("grid: {seeds: [0, 1]}", "grid.seeds: unknown setting 'seeds'"),
    ("grid: {schedules: [1, 2]}", "grid.schedules: expected schedules.LABEL or schedules.LABEL.SETTING"),
    ("grid: {optimizers: [sgd]}", "grid.optimizers: expected optimizers.LABEL"),
    (
        "grid: {optimizers.sdg.learning_rate: [0.1]}",
        "grid.optimizers.sdg: unknown optimizer 'sdg'; did you mean 'sgd'?",
    ),
    ("grid: {optimizers: {sdg: {learning_rate: [0.1]}}}", "grid.optimizers.sdg: unknown optimizer 'sdg'"),
    (
        "grid: {schedules.cosin.final: [0.1]}",
        "grid.schedules.cosin: unknown schedule 'cosin'; did you mean 'cosine'?",
    ),
    ("grid: {optimizers.sgd.learning_rat: [0.1]}", "optimizers.sgd.learning_rat: unknown setting"),
    ("grid: {optimizers.sgd: [0.1]}", "optimizers.sgd: expected a mapping of settings, got 0.1"),
    ("grid: {epochs: [1, 2000000]}", "epochs: expected 1 to 100,000"),
    ("grid: {model: {width: {a: [1]}}}", "model.width.a: model.width is no mapping, it is 0.0625"),
    ("grid: {model.width: [1], model: {width: [2]}}", "grid.model.width: stands twice"),
    ("grid: {data: [{name: digits}]}", "grid.data: its values take the place of all of data, so data.image_size"),
    (
        "recipes: [{optimizer: adam, schedule: cosine}]\ngrid: {optimizers.sgd.learning_rate: [0.1]}",
        "grid.optimizers.sgd.learning_rate: would change no trial",
    ),
    (
        "recipes: [{optimizer: adam, schedule: cosine, epochs: 2}]\ngrid: {epochs: [1, 3]}",
        "grid.epochs: would change no trial",
    ),
    (
        "schedules: {cosine: {peak: 0.1}}\ngrid: {optimizers.sgd.learning_rate: [0.1, 0.2]}",
        "grid.optimizers.sgd.learning_rate: would change no trial",
    ),
    (
        f"grid: {{epochs: {list(range(1, 101))}, batch_size: {list(range(1, 101))}}}\nseeds: {list(range(10))}",
        "grid: expected at most 100,000 trials, got 400,000",
    ),
]

OVERRIDES = [
    (["epochs"], "-S epochs: expected key=value"),
    (["=3"], "-S =3: expected key=value"),
    ([".epochs=3"], "expected key=value"),
    (["model..width=3"], "expected key=value"),
    (["epochs="], "epochs: expected a value, got none"),
    (["epochs=[1"], "-S epochs: line 1: not valid YAML"),
    ([f"epochs={DEEP}"], "-S epochs: line 1: expected at most 50"),
    (["epoch=3"], "epoch: unknown setting 'epoch'; did you mean 'epochs'?"),
    (["epochs.more=3"], "epochs.more: epochs is no mapping, it is 4"),
    (["epochs=3", "epochs=4"], "-S epochs: would change nothing, -S epochs comes after it"),
    (["model.width=1", "model={name: vgg11}"], "-S model.width: would change nothing, -S model comes after it"),
    (["recipes.0.epochs=3"], "recipes"),
    (["optimizers.sdg.learning_rate=1"], "optimizers.sdg: unknown optimizer 'sdg'; did you mean 'sgd'?"),
    (["optimizers.sgd.class=SDG"], "did you mean 'SGD'?"),
    (["schedules.cosine.name=cosin"], "schedules.cosine.name: unknown schedule 'cosin'; did you mean 'cosine'?"),
    (["grid.schedules=[1]"], "grid.schedules: expected schedules.LABEL"),
    (
        ["recipes=[{optimizer: adam, schedule: cosine}]", "optimizers.sgd.learning_rate=0.1"],
        "-S optimizers.sgd.learning_rate: would change nothing, no recipe has the optimizer 'sgd'",
    ),
    (
        ["recipes=[{optimizer: adam, schedule: cosine}]", "schedules.late={name: step, every: 2}"],
        "-S schedules.late: would change nothing, no recipe has the schedule 'late'",
    ),
    (
        ["schedules={cosine: {peak: 0.1}}", "optimizers.sgd.learning_rate=0.1"],
        "-S optimizers.sgd.learning_rate: would change nothing, every schedule of sgd has a peak",
    ),
    (["race.frist=3"], "race.frist: unknown setting 'frist'; did you mean 'first'?"),
    (["race.first=9", "race.most=8"], "race.most: expected at least race.first (9), got 8"),
    (["a\nb=1"], "a\\nb: unknown setting"),
]


def changed(change: str) -> str:
    """The base file with other top-level keys."""
    keys = set(re.findall(r"^(\w+):", change, re.MULTILINE))
    return "".join(line + "\n" for line in BASE.splitlines() if line.partition(":")[0] not in keys) + change


def refused(
    text: str, overrides: list[str], fragment: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    arguments = [part for override in overrides for part in ("-S", override)]
    code, out, err = command("plan", path, "--results", folder / "r", *arguments, capture=capsys)
    assert (code, out) == (2, ""), err
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    assert fragment in err
    assert "Traceback" not in err
    assert not (folder / "r").exists()


@pytest.mark.parametrize(("text", "fragment"), FILES, ids=range(len(FILES)))
def test_a_file_that_is_none(text: str, fragment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(text, [], fragment, tmp_path, capsys)


@pytest.mark.parametrize(("change", "fragment"), CHANGES, ids=[change[:60] for change, _ in CHANGES])
def test_a_wrong_setting(change: str, fragment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(changed(change), [], fragment, tmp_path, capsys)


@pytest.mark.parametrize(("overrides", "fragment"), OVERRIDES, ids=range(len(OVERRIDES)))
def test_a_wrong_override(
    overrides: list[str], fragment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(BASE, overrides, fragment, tmp_path, capsys)


RIGHT = [
    ("optimizers: {sgd: &b {class: SGD, momentum: 0.5}, other: {<<: *b, momentum: 0.9}}", "other-cosine"),
    (
        "optimizers: {a: &a {class: SGD, momentum: 0.5}, b: &b {<<: *a, nesterov: true}, c: {<<: [*b, *a]}}",
        "c-cosine",
    ),
    ("schedules: {'no': {name: constant}, constant: null}", "sgd-no"),
    ("name: 2020-01-01", "2020-01-01"),
    ("epochs: 3.0", "sgd-constant"),
    ("epochs: '3'", "sgd-constant"),
    ("batch_size: 64.0", "sgd-constant"),
    ("batch_size: full", "sgd-constant"),
    ("seeds: [0, 9223372036854775807]", "-s9223372036854775807"),
    ("seeds: 7", "sgd-constant"),
    ("recipes: [{optimizer: sgd, schedule: rex}, {optimizer: sgd, schedule: cosine}]", "sgd-rex"),
    ("recipes: [{optimizer: sgd, schedule: published-cosine}]", "sgd-published-cosine"),
    ("recipes: [{optimizer: sgd, schedule: {sequence: [{warmup: 1}, {cosine: rest}]}}]", "sgd-sequence"),
    (
        "schedules:\nrecipes: [{optimizer: sgd, schedule: constant}, {optimizer: adam, schedule: constant}]",
        "adam-con",
    ),
    ("recipes: [{optimizer: sgd, schedule: cosine, model: {name: vgg11}, early_stopping: {}}]", "sgd-cosine"),
    ("grid: {model: [{width: 0.25}, {width: 0.5}]}", "sgd-cosine-model="),
    (
        "optimizers: {v1.0: {class: SGD}, v1: {class: SGD}}\ngrid: {optimizers.v1.0.momentum: [0, 0.9]}",
        "v1.0-cosine-mom",
    ),
    ("grid: {schedules: {cosine: {final: [0, 0.1]}}}", "sgd-cosine-final=0.1"),
    ("grid: {early_stopping: [null, {patience: 1}]}", "sgd-cosine-early_stopping=None"),
]


@pytest.mark.parametrize(("change", "shown"), RIGHT, ids=[change[:60] for change, _ in RIGHT])
def test_a_right_setting(change: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(changed(change))
    code, out, err = command("plan", path, "--json", "--results", tmp_path / "r", capture=capsys)
    assert (code, err) == (0, "")
    assert shown in out


def test_values_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may look like the terminal's markup, or like the name of an emoji."""
    monkeypatch.setenv("COLUMNS", "200")
    axis = "grid: {optimizers.m.exclude_layers: [['[/x]'], [':leaves:']]}"
    path = tmp_path / "sweep.yaml"
    path.write_text(changed(f"optimizers: {{m: {{class: Muon}}}}\n{axis}"))
    code, out, err = command("plan", path, "--results", tmp_path / "r", capture=capsys)
    assert (code, err) == (0, "")
    assert "m-cosine-exclude_layers=['[/x]']" in out
    assert "m-cosine-exclude_layers=[':leaves:']" in out
