"""Mistakes in files, pictures, sweeps, data sets and the command line."""

from tests.mistakes.mistake import Mistake

MISTAKES = (
    Mistake(
        "a file that is not there",
        "Network.load('missing.json')",
        says="missing.json | cannot be read | No such file | or directory",
    ),
    Mistake("a folder as a file", "Network.load('.')", says=". | cannot be read | Is a directory | directory"),
    Mistake(
        "a file with an unknown operator",
        """
import json
d = mlp().to_dict()
d = json.loads(json.dumps(d).replace('"Tanh"', '"Tahn"'))
Network.from_dict(d)
""",
        says="operators['tanh'] | 'Tahn' | is not a registered operator | Did you mean 'Tanh'?",
    ),
    Mistake(
        "a file with a misspelt setting",
        """
import json
d = json.loads(json.dumps(mlp().to_dict()).replace('out_features', 'out_feature'))
Network.from_dict(d)
""",
        says="operators['fc1'] | 'out_feature' | Its settings are in_features | Did you mean 'out_features'?",
    ),
    Mistake(
        "a picture of an unknown kind",
        "mlp().render('net.bmp')",
        says="A diagram | 'net.bmp' | its suffix must be | .svg, .png, .pdf or .dot",
    ),
    Mistake(
        "a picture without a suffix",
        "mlp().render('net')",
        says="A diagram | 'net' | its suffix must be | .svg, .png, .pdf or .dot",
    ),
    Mistake(
        "an unknown theme", "mlp().diagram(theme='blue')", says="theme | 'blue' | the themes are | 'light' and 'dark'"
    ),
    Mistake(
        "a plot of an unknown kind",
        "train(mlp()).plot('curve.xyz')",
        says="curve.xyz | the suffix '.xyz' | is not known | Use .svg, .png or .pdf",
    ),
    Mistake(
        "a plot of a misspelt column",
        "plot_lines('c.png', [{'lr': 1.0, 'loss': 0.5}], 'lr', 'los')",
        says="Row 0 | 'los' | It has lr and loss | Did you mean 'loss'?",
    ),
    Mistake(
        "points in three dimensions",
        "plot_points('p.png', {'a': (torch.ones(4, 3), torch.zeros(4))}, lambda x: x[:, 0] > 0)",
        says="plot_points | (4, 3) | draws points (n, 2) | 'a'",
    ),
    Mistake(
        "points without labels",
        "plot_points('p.png', {'a': X}, lambda x: x[:, 0] > 0)",
        says="plot_points | 'a' is a Tensor | {title: (points, labels)} | add labels",
    ),
    Mistake(
        "points without titles",
        "plot_points('p.png', (X, labels), lambda x: x[:, 0] > 0)",
        says="plot_points | not an instance of tuple | {title: (points, labels)} | write {'test': (points, labels)}",
    ),
    Mistake(
        "a classifier before the points",
        "plot_points('p.png', lambda x: x[:, 0] > 0, {'a': (X, labels)})",
        says="plot_points | not <function | {title: (points, labels)} | write {'test': (points, labels)}",
    ),
    Mistake(
        "a path at the end",
        "plot_points({'a': (X, labels)}, lambda x: x[:, 0] > 0, 'p.png')",
        says="plot_points | too many positional arguments | Write | plot_points(path, data, classify)",
    ),
    Mistake(
        "predictions in place of a classifier",
        "plot_points('p.png', {'a': (X, labels)}, labels)",
        says="plot_points | not tensor( | classify must be a function of points | lambda points: net.predict(points)",
    ),
    Mistake(
        "one-hot labels of points",
        "plot_points('p.png', {'a': (X, Y)}, lambda x: x[:, 0] > 0)",
        says="plot_points | labels of 'a' have the shape (8, 2) | a class index for each point, (8,) | labels.argmax(1)",
    ),
    Mistake(
        "a confusion matrix of predictions",
        "plot_confusion('c.png', labels, Y)",
        says="plot_confusion | (8,) and (8, 2) | takes class indices | write prediction.argmax(1)",
    ),
    Mistake(
        "a confusion matrix of nothing predicted",
        "plot_confusion('c.png', labels)",
        says="plot_confusion | missing a required argument | 'predicted' | plot_confusion(path, labels, predicted)",
    ),
    Mistake(
        "curves of a number",
        "plot_curves('c.png', {'Adam': {'loss': 0.5}})",
        says="'loss' of a history | not 0.5 | must be a list of numbers | one an epoch",
    ),
    Mistake(
        "a list of columns as the figure",
        "plot_lines('c.png', [{'lr': 1.0, 'loss': 0.5}], 'lr', ['loss'])",
        says="A column | not ['loss'] | by its name | a string",
    ),
    Mistake(
        "a misspelt colour map",
        "plot_images('i.png', images[:, 0], colours='blue')",
        says="plot_images: colours | not 'blue' | a colour map of matplotlib | Did you mean 'Blues'?",
    ),
    Mistake(
        "a picture saved in the wrong order",
        "save_figure('c.png', new_figure(1, 1))",
        says="save_figure | not <Figure | takes a figure | and a path",
    ),
    Mistake(
        "weights in place of a network",
        """
from safetensors.torch import save_file
save_file(mlp().state_dict(), 'w.safetensors')
Network.load('w.safetensors')
""",
        says="w.safetensors | holds weights and no network | make the network | net.load_state_dict(safetensors.torch.load_file(",
    ),
    Mistake(
        "a state_dict in place of a network",
        "torch.save(mlp().state_dict(), 'w.pt'); Network.load('w.pt')",
        says="w.pt | holds weights and no network | make the network | net.load_state_dict(torch.load(",
    ),
    Mistake(
        "a tensor as the number of classes",
        "one_hot(3, torch.arange(1000))",
        says="classes | is an instance of Tensor | a whole number | of at least 1",
    ),
    Mistake(
        "one_hot without classes",
        "one_hot(labels)",
        says="one_hot | missing a required argument | 'classes' | Write one_hot(labels, classes=3)",
    ),
    Mistake(
        "a search over a pipeline",
        """
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from graphdl.sklearn import GraphClassifier, GraphSearchCV
GraphSearchCV(make_pipeline(StandardScaler(), GraphClassifier()), {}).fit(X, labels)
""",
        says="GraphSearchCV | not Pipeline | a GraphClassifier or a GraphRegressor | use sklearn.model_selection.GridSearchCV",
    ),
    Mistake(
        "numbers with decimal commas",
        """
from graphdl.commands.columns import read_table
Path('d.csv').write_text('a;y\\n0,5;x\\n1,25;z\\n')
read_table(Path('d.csv')).numbers('a')
""",
        says="d.csv, line 2, column 'a' | '0,5' has a comma | numbers with a decimal point | decimal=','",
    ),
    Mistake(
        "fewer epochs than a run has made",
        "train(mlp(), checkpoint='run', epochs=3); train(mlp(), checkpoint='run', epochs=2)",
        says="holds | a run of 3 epochs | epochs is 2, the number in all | or another folder",
    ),
    Mistake(
        "a sweep over nothing",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={}, optimizer=Adam(), epochs=1, batch_size=4, progress=False)",
        says="over | is {} | give a grid | such as {'lr': [1e-3, 1e-2]}",
    ),
    Mistake(
        "a sweep of a network",
        "sweep(mlp(), {'x': X, 'y': Y}, over={'lr': [1e-3]}, optimizer=Adam(), epochs=1, batch_size=4, progress=False)",
        says="build | Network(4 operators | a function of a setting | use fit_all",
    ),
    Mistake(
        "a sweep of one value without a list",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={'lr': 1e-3}, optimizer=lambda s: Adam(lr=s['lr']), epochs=1, batch_size=4, progress=False)",
        says="over: 'lr' | not 0.001 | a list of values | write [0.001]",
    ),
    Mistake(
        "a sweep over a setting that nothing reads",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={'lr': [1e-3, 1e-2]}, optimizer=Adam(), epochs=1, batch_size=4, progress=False)",
        says="over | 'lr' | neither build nor optimizer reads | it would change nothing",
    ),
    Mistake(
        "a sweep that reads a misspelt setting",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={'lr': [1e-3]}, optimizer=lambda s: Adam(lr=s['rate']), epochs=1, batch_size=4, progress=False)",
        says="optimizer, the setting {lr 0.001} | 'rate' | the setting has no | It has lr",
    ),
    Mistake(
        "a sweep over epochs",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={'epochs': [1, 2]}, optimizer=Adam(), epochs=1, batch_size=4, progress=False)",
        says="the setting {epochs 1} | 'epochs' | the same for all networks | an argument of sweep",
    ),
    Mistake(
        "a sweep with a class as the optimizer",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={'seed': [1]}, optimizer=Adam, epochs=1, batch_size=4, progress=False)",
        says="optimizer | the class Adam | write a function of a setting | lambda setting: Adam(...)",
    ),
    Mistake(
        "a sweep by a figure that is not there",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={'seed': [1]}, optimizer=Adam(), epochs=1, batch_size=4, by='acuracy', progress=False)",
        says="by= | 'acuracy' | is not a figure of this training | The figures are loss",
    ),
    Mistake(
        "a sweep with one fold",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={'seed': [1]}, optimizer=Adam(), epochs=1, batch_size=4, folds=1, progress=False)",
        says="folds | is 1 | a whole number | of at least 2",
    ),
    Mistake(
        "a sweep of folds and validation",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={'seed': [1]}, optimizer=Adam(), epochs=1, batch_size=4, folds=2, validation=(X, Y), progress=False)",
        says="folds | validation | cannot be combined | is evaluated on its fold",
    ),
    Mistake(
        "a sweep whose build returns nothing",
        "sweep(lambda s: None, {'x': X, 'y': Y}, over={'seed': [1]}, optimizer=Adam(), epochs=1, batch_size=4, progress=False)",
        says="build | returned None | must return a Network | or (operators, connectivity)",
    ),
    Mistake(
        "a sweep whose build takes the settings apart",
        "sweep(lambda lr: mlp(), {'x': X, 'y': Y}, over={'lr': [1]}, optimizer=lambda a, b: Adam(), epochs=1, batch_size=4, progress=False)",
        says="optimizer | it takes (a, b) | is called with one argument | the setting, a dictionary",
    ),
    Mistake(
        "a sweep of sizes that do not fit",
        "sweep(lambda s: ({'fc1': Linear(2, s['width']), 'fc2': Linear(8, 2), 'loss': MSELoss()}, {'x': ['fc1'], 'fc1': ['fc2'], 'fc2': ['loss'], 'y': ['loss']}), {'x': X, 'y': Y}, over={'width': [8, 9]}, optimizer=Adam(), epochs=1, batch_size=4, progress=False)",
        says="build, the setting {width 9}: fc2 (Linear) | fc1 (Linear) has 9 elements | expects 8 | Change one of the two sizes",
    ),
    Mistake(
        "a sweep on an unknown backend",
        "sweep(lambda s: mlp(), {'x': X, 'y': Y}, over={'seed': [1]}, optimizer=Adam(), epochs=1, batch_size=4, backend='gpu', progress=False)",
        says="backend | not 'gpu' | must be | 'compiled', 'operators', 'processes' or None",
    ),
    Mistake(
        "one network in fit_all",
        "fit_all(mlp(), X, Y, optimizers=Adam(), epochs=1, batch_size=4)",
        says="nets | Network(4 operators | must be | a list of networks",
    ),
    Mistake(
        "the same network twice in fit_all",
        """
net = mlp()
fit_all([net, net], X, Y, optimizers=Adam(), epochs=1, batch_size=4, progress=False)
""",
        says="network 1 | shares tensors with network 0 | cannot be trained separately | copy.deepcopy(net)",
    ),
    Mistake(
        "one optimizer too few in fit_all",
        "fit_all([mlp(), mlp()], X, Y, optimizers=[Adam()], epochs=1, batch_size=4, progress=False)",
        says="optimizers | has 1 entries | there are 2 networks | give one for each",
    ),
    Mistake(
        "a range as a tuple in Random",
        "Random(5, {'lr': (1e-4, 1e-1)})",
        says="Random: 'lr' | (0.0001, 0.1) | write [0.0001, 0.1] to choose one of two values | scipy.stats.loguniform(0.0001, 0.1)",
    ),
    Mistake(
        "fractions that are too large",
        "split(X, Y, fractions=(0.8, 0.5))",
        says="fractions | (0.8, 0.5), which sum to 1.3 | positive numbers that sum to 1 | as in (0.8, 0.2)",
    ),
    Mistake(
        "split of different lengths",
        "split(X, Y[:5], fractions=(0.5, 0.5))",
        says="differ in their number of rows | tensor 1 has 8 | tensor 2 has 5 | Each row is one sample",
    ),
    Mistake(
        "one fraction",
        "split(X, Y, fractions=0.8)",
        says="fractions | are 0.8 | one number for each part | as in (0.8, 0.2)",
    ),
    Mistake(
        "one_hot of floats",
        "one_hot(torch.tensor([0.5, 1.0]), 2)",
        says="labels | torch.float32 | give integers | for example labels.long()",
    ),
    Mistake(
        "one_hot of too few classes",
        "one_hot(labels, 2)",
        says="labels | from 0 to 2 | they must be in 0 ... 1 | set more classes",
    ),
    Mistake(
        "no such data set", "read_idx('mnist.gz')", says="mnist.gz | there is no such file | The folder | is empty"
    ),
    Mistake("no points", "disc(0)", says="n | is 0 | a whole number | of at least 1"),
    Mistake(
        "a misspelt command",
        """
from typer.testing import CliRunner
from graphdl.cli import app
from graphdl.errors import GraphDLError
result = CliRunner().invoke(app, ['drow', 'model.json'])
raise GraphDLError(result.output)
""",
        says="No such command | 'drow' | Usage | Did you mean 'draw'?",
    ),
)
