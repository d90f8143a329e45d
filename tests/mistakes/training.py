"""Mistakes in fit, optimizers, schedules, callbacks, metrics and penalties."""

from tests.mistakes.mistake import Mistake

MISTAKES = (
    Mistake(
        "a class as the optimizer",
        "train(mlp(), optimizer=Adam)",
        says="optimizer must be | the class graphdl.optim.adam.Adam | an optimizer of graphdl.optim | such as Adam(lr=1e-3)",
    ),
    Mistake(
        "an optimizer of torch",
        "train(mlp(), optimizer=torch.optim.Adam([torch.ones(1)]))",
        says="optimizer must be | torch.optim.adam.Adam | an optimizer of graphdl.optim | Those of graphdl have the same names",
    ),
    Mistake(
        "the class of an optimizer of torch",
        "train(mlp(), optimizer=torch.optim.Adam)",
        says="optimizer must be | the class torch.optim.adam.Adam | an optimizer of graphdl.optim | Those of graphdl have the same names",
    ),
    Mistake(
        "the name of an optimizer",
        "train(mlp(), optimizer='adam')",
        says="optimizer must be | builtins.str | an optimizer of graphdl.optim | such as Adam(lr=1e-3)",
    ),
    Mistake(
        "a learning rate as the optimizer",
        "train(mlp(), optimizer=1e-3)",
        says="optimizer must be | builtins.float | an optimizer of graphdl.optim | such as Adam(lr=1e-3)",
    ),
    Mistake(
        "an optimizer of the parameters",
        "Adam(mlp().parameters)",
        says="Adam | an instance of NamedTensors | takes settings alone | stepper = Adam(lr=1e-3).bind(net)",
    ),
    Mistake(
        "an optimizer of tensors, with a rate",
        "SGD(list(mlp().parameters.values()), lr=0.1)",
        says="SGD | an instance of list | takes settings alone | optimizer=SGD(lr=1e-3)",
    ),
    Mistake(
        "an optimizer of params by name",
        "AdamW(params=torch.nn.Linear(2, 2).parameters())",
        says="AdamW | an instance of generator | takes settings alone | optimizer=AdamW(lr=1e-3)",
    ),
    Mistake(
        "an optimizer of a network",
        "Adam(mlp())",
        says="Adam | an instance of Network | takes settings alone | stepper = Adam(lr=1e-3).bind(net)",
    ),
    Mistake(
        "a rate by position and by name",
        "Adam(1e-3, lr=1e-2)",
        says="Adam | lr | is given twice | by position and by name",
    ),
    Mistake(
        "a schedule without its steps",
        "Adam(lr=Cosine(1e-3))",
        says="Cosine | steps is missing | a whole number of at least 1 | epochs * ceil(rows / batch_size)",
    ),
    Mistake(
        "fit without an optimizer",
        "fit(mlp(), X, Y, epochs=1, batch_size=4)",
        says="fit | missing a required argument | 'optimizer' | optimizer=Adam(lr=1e-3), epochs=10, batch_size=50",
    ),
    Mistake(
        "fit of a network alone",
        "fit(mlp())",
        says="fit | missing a required argument | 'inputs' | Write fit(net, inputs, targets, optimizer=",
    ),
    Mistake(
        "an optimizer by position",
        "fit(mlp(), X, Y, Adam())",
        says="fit | too many positional arguments | optimizer=Adam(lr=1e-3) | Write fit(net, inputs, targets, optimizer=",
    ),
    Mistake(
        "a misspelt argument of fit",
        "fit(mlp(), X, Y, optimizer=Adam(), epochs=1, batchsize=4)",
        says="fit | unexpected keyword argument 'batchsize' | Did you mean 'batch_size'? | Write fit(net, inputs",
    ),
    Mistake(
        "fit as a method",
        "mlp().fit(X, Y)",
        says="A Network | has no 'fit' | which is a function | fit(net, inputs, targets, optimizer=Adam(lr=1e-3)",
    ),
    Mistake(
        "evaluate without data",
        "evaluate(mlp())",
        says="evaluate | missing a required argument | 'inputs' | Write evaluate(net, inputs, targets)",
    ),
    Mistake(
        "validation as a string",
        "train(mlp(), validation='0.2')",
        says="validation | the string '0.2' | a number such as 0.2 | a pair (inputs, targets)",
    ),
    Mistake(
        "the common short name of accuracy",
        "train(mlp(), metrics=['acc'])",
        says="no metric | 'acc' | Give one of accuracy | Did you mean 'accuracy'?",
    ),
    Mistake(
        "scikit-learn's name of a metric",
        "train(mlp(), metrics=['f1_score'])",
        says="no metric | 'f1_score' | Give one of accuracy | Did you mean 'f1'?",
    ),
    Mistake(
        "a stepper of another network",
        "train(mlp(), optimizer=Adam().bind(mlp()))",
        says="optimizer | is a stepper of another network | bind the optimizer | to this network",
    ),
    Mistake(
        "an optimizer bound to a module of torch",
        "Adam().bind(torch.nn.Linear(2, 2)).step()",
        says="Adam.bind | not a torch.nn.modules.linear.Linear | takes a graphdl.Network | Adam(lr=1e-3).bind(net)",
    ),
    Mistake(
        "an optimizer of torch to compile",
        "mlp().compile(torch.optim.SGD([torch.ones(1)], lr=0.1), {'x': X, 'y': Y})",
        says="optimizer must be | not torch.optim.sgd.SGD | an optimizer of graphdl.optim | such as Adam(lr=1e-3)",
    ),
    Mistake(
        "shapes to compile",
        "mlp().compile(Adam(), {'x': (50, 2), 'y': (50, 2)})",
        says="the input 'x' | is (50, 2) | compile takes example tensors | give torch.zeros(50, 2)",
    ),
    Mistake(
        "a network of torch",
        "train(torch.nn.Linear(2, 2))",
        says="fit takes a graphdl.Network | Network(operators, connectivity) | torch.nn.modules.linear.Linear | not an instance of",
    ),
    Mistake(
        "the two dictionaries in place of a network",
        "train(({'fc': Linear(2, 2)}, {'x': ['fc']}))",
        says="fit takes a graphdl.Network | Network(operators, connectivity) | builtins.tuple | not an instance of",
    ),
    Mistake(
        "a float as epochs",
        "train(mlp(), epochs=1.5)",
        says="epochs must be | not 1.5 | a number of passes | 1 or more",
    ),
    Mistake("no epochs", "train(mlp(), epochs=0)", says="epochs must be | not 0 | a number of passes | 1 or more"),
    Mistake(
        "epochs as a string",
        "train(mlp(), epochs='10')",
        says="epochs must be | not '10' | a number of passes | 1 or more",
    ),
    Mistake(
        "no batch_size",
        "train(mlp(), batch_size=None)",
        says="batch_size | is missing | the number of rows of a batch | for example batch_size=50",
    ),
    Mistake(
        "a batch_size of zero", "train(mlp(), batch_size=0)", says="batch_size | is 0 | a whole number | of at least 1"
    ),
    Mistake(
        "a batch_size that is a float",
        "train(mlp(), batch_size=len(X) / 2)",
        says="batch_size | is 4.0 | a whole number | of at least 1",
    ),
    Mistake(
        "a word for compile", "train(mlp(), compile='no')", says="fit: compile | not 'no' | must be | True or False"
    ),
    Mistake(
        "a word for shuffle", "train(mlp(), shuffle='yes')", says="fit: shuffle | not 'yes' | must be | True or False"
    ),
    Mistake("a number for progress", "train(mlp(), progress=1)", says="progress | 1 | must be | True or False"),
    Mistake(
        "a fraction of threads",
        "train(mlp(), threads=0.5)",
        says="threads | not 0.5 | a whole number, 1 or more | or None",
    ),
    Mistake("no threads", "train(mlp(), threads=0)", says="threads | not 0 | a whole number, 1 or more | or None"),
    Mistake(
        "a seed that is a float, in fit", "train(mlp(), seed=0.5)", says="seed | not 0.5 | a whole number | or None"
    ),
    Mistake(
        "a negative clip_norm",
        "train(mlp(), clip_norm=-1.0)",
        says="clip_norm | not -1.0 | a positive number | or None",
    ),
    Mistake(
        "clip_norm as a boolean",
        "train(mlp(), clip_norm=True)",
        says="clip_norm | not True | a positive number | or None",
    ),
    Mistake(
        "clip_value as a string",
        "train(mlp(), clip_value='1')",
        says="clip_value | not '1' | a positive number | or None",
    ),
    Mistake(
        "accumulate of zero", "train(mlp(), accumulate=0)", says="accumulate | not 0 | a number of batches | 1 or more"
    ),
    Mistake(
        "accumulate of a half",
        "train(mlp(), accumulate=0.5)",
        says="accumulate | not 0.5 | a number of batches | 1 or more",
    ),
    Mistake(
        "recompute of a misspelt node",
        "train(mlp(), recompute=['tahn'])",
        says="recompute | 'tahn' | the network has no node | Did you mean 'tanh'?",
    ),
    Mistake(
        "recompute of a word",
        "train(mlp(), recompute='tanh')",
        says="recompute | not 'tanh' | a list of nodes | such as ['fc1', 'tanh']",
    ),
    Mistake(
        "recompute of a loss",
        "train(mlp(), recompute=['loss'])",
        says="recompute: loss | is a loss | ends every step | there is nothing to gain",
    ),
    Mistake(
        "recompute together with compile",
        "train(mlp(), recompute=['tanh'], compile=True)",
        says="recompute | compile=True | cannot be combined | remove one of them",
    ),
    Mistake(
        "a name of a metric alone",
        "train(mlp(), metrics='accuracy')",
        says="metrics | not 'accuracy' | a sequence | such as ['accuracy']",
    ),
    Mistake(
        "a misspelt metric",
        "train(mlp(), metrics=['acuracy'])",
        says="no metric | 'acuracy' | or a function (prediction, target) | Did you mean 'accuracy'?",
    ),
    Mistake(
        "a class as a metric",
        "train(mlp(), metrics=[3])",
        says="metric | not 3 | a name | or a function (prediction, target)",
    ),
    Mistake(
        "a metric called too early",
        """
from graphdl.training import accuracy
train(mlp(), metrics=[accuracy(Y, Y)])
""",
        says="metric | not tensor( | a name | or a function (prediction, target)",
    ),
    Mistake(
        "a metric that returns a vector",
        "train(mlp(), metrics=[lambda prediction, target: prediction])",
        says="The metric '<lambda>' | a tensor (4, 2) | must return | one number",
    ),
    Mistake(
        "a metric that returns nothing",
        "train(mlp(), metrics=[lambda prediction, target: None])",
        says="The metric '<lambda>' | None | must return | one number",
    ),
    Mistake(
        "a metric of three arguments",
        "train(mlp(), metrics=[lambda prediction, target, mask: 0.0])",
        says="The metric '<lambda>' | takes (prediction, target, mask) | is called with | (prediction, target)",
    ),
    Mistake(
        "two metrics of one name",
        "train(mlp(), metrics=[lambda p, t: 0.0, lambda p, t: 1.0])",
        says="Two metrics | '<lambda>' | are called | rename one of them",
    ),
    Mistake(
        "accuracy of a regression",
        "train(mlp(), {'x': X, 'y': X}, metrics=['accuracy'])",
        says="accuracy | the target 'y' of loss (MSELoss) | compares classes | Remove the metric, or give a function",
    ),
    Mistake(
        "accuracy of a regression of one number",
        "train(binary(MSELoss()), {'x': X, 'y': X[:, :1]}, metrics=['accuracy'])",
        says="accuracy | the target 'y' of loss (MSELoss) | compares classes | Remove the metric, or give a function",
    ),
    Mistake(
        "accuracy of targets in another shape",
        "train(classifier(), X, torch.eye(3)[labels], metrics=[graphdl.training.accuracy]); graphdl.training.accuracy(torch.ones(4, 3), torch.ones(4, 2))",
        says="accuracy | predictions (4, 3) with targets (4, 2) | cannot compare | one-hot or soft targets of the predictions' shape",
    ),
    Mistake(
        "a callback without a list",
        "train(mlp(), callbacks=EarlyStopping('loss'))",
        says="callbacks must be | EarlyStopping object | a sequence | such as [EarlyStopping()]",
    ),
    Mistake(
        "a class as a callback",
        "train(mlp(), callbacks=[EarlyStopping])",
        says="callbacks[0] | the class EarlyStopping | is the class | write EarlyStopping(...)",
    ),
    Mistake(
        "a word as a callback",
        "train(mlp(), callbacks=['early_stopping'])",
        says="callbacks[0] | 'early_stopping' | an object with some of the methods | or a function (net, history)",
    ),
    Mistake(
        "a callback of one argument",
        "train(mlp(), callbacks=[lambda net: None])",
        says="callbacks[0] (<lambda>) | takes (net) | fit calls it with | (net, history)",
    ),
    Mistake(
        "a callback that was called",
        "train(mlp(), callbacks=[print('end of epoch')])",
        says="callbacks[0] | is None | an object with some of the methods | or a function (net, history)",
    ),
    Mistake(
        "a misspelt method of a callback",
        """
class Log(Callback):
    def on_epoch_ended(self, net, stepper, history): pass
train(mlp(), callbacks=[Log()])
""",
        says="callbacks[0] (Log) | on_epoch_ended | fit does not know | Did you mean 'on_epoch_end'?",
    ),
    Mistake(
        "a method of a callback with keras's arguments",
        """
class Log(Callback):
    def on_epoch_end(self, epoch, logs=None): pass
train(mlp(), callbacks=[Log()])
""",
        says="callbacks[0] (Log): on_epoch_end | takes (epoch, logs=None) | fit calls it with | (net, stepper, history)",
    ),
    Mistake(
        "a callback that returns an array",
        "train(mlp(), callbacks=[lambda net, history: X])",
        says="on_epoch_end | returned tensor( | must return True | or None",
    ),
    Mistake(
        "a misspelt monitor",
        "train(mlp(), callbacks=[EarlyStopping('val_loss')])",
        says="EarlyStopping | 'val_loss' | The history has loss | Did you mean 'loss'?",
    ),
    Mistake(
        "a misspelt monitor beside another callback",
        "train(mlp(), callbacks=[EarlyStopping('los'), lambda net, history: None])",
        says="EarlyStopping | 'los' | The history has loss | Did you mean 'loss'?",
    ),
    Mistake(
        "a monitor of validation that is missing",
        "train(mlp(), callbacks=[EarlyStopping()])",
        says="EarlyStopping | 'validation_loss' | The history has loss | It needs validation data: validation=",
    ),
    Mistake(
        "a monitor of validation that is missing, beside another callback",
        "train(mlp(), callbacks=[EarlyStopping(), lambda net, history: None])",
        says="EarlyStopping | 'validation_loss' | The history has loss | It needs validation data: validation=",
    ),
    Mistake(
        "a patience of zero",
        "EarlyStopping('loss', patience=0)",
        says="EarlyStopping | not 0 | patience must be | a number of epochs, 1 or more",
    ),
    Mistake(
        "a patience in place of a monitor",
        "EarlyStopping(10)",
        says="EarlyStopping | not 10 | monitor must be the name | as 'validation_loss'",
    ),
    Mistake(
        "a patience that is a float",
        "EarlyStopping('loss', patience=2.5)",
        says="EarlyStopping | not 2.5 | patience must be | a number of epochs, 1 or more",
    ),
    Mistake(
        "maximise as a word",
        "EarlyStopping('loss', maximise='max')",
        says="EarlyStopping | not 'max' | maximise must be | True or False",
    ),
    Mistake(
        "a factor above one",
        "ReduceOnPlateau('loss', factor=10)",
        says="ReduceOnPlateau | not 10 | factor must be | a number in [0, 1)",
    ),
    Mistake(
        "a least rate as the least scale",
        "ReduceOnPlateau('loss', least=-1e-5)",
        says="ReduceOnPlateau | not -1e-05 | least must be | a number in [0, 1)",
    ),
    Mistake(
        "a misspelt name in the history",
        "train(mlp())['acuracy']",
        says="The history has no | 'acuracy' | It has | loss",
    ),
    Mistake(
        "val_loss in the history",
        "train(mlp(), validation=(X, Y))['val_loss']",
        says="The history has no | 'val_loss' | It has loss and validation_loss | Did you mean 'validation_loss'?",
    ),
    Mistake(
        "a negative learning rate",
        "SGD(lr=-0.1)",
        says="SGD | not -0.1 | lr must be | a number in [0, inf), or a schedule",
    ),
    Mistake(
        "a learning rate as a string",
        "Adam(lr='1e-3')",
        says="Adam | not '1e-3' | lr must be | a number in [0, inf), or a schedule",
    ),
    Mistake(
        "a learning rate of a thousand",
        "train(mlp(), optimizer=SGD(lr=1e3), epochs=50)",
        says="loss (MSELoss) | The loss is inf | first node whose value is not finite | Lower the learning rate",
    ),
    Mistake(
        "a learning rate that is not a number",
        "Adam(lr=float('nan'))",
        says="Adam | not nan | lr must be | a number in [0, inf), or a schedule",
    ),
    Mistake(
        "a learning rate as a tensor",
        "Adam(lr=torch.tensor(1e-3))",
        says="Adam | tensor( | lr must be | a number in [0, inf), or a schedule",
    ),
    Mistake(
        "a schedule of torch",
        "Adam(lr=torch.optim.lr_scheduler.LinearLR)",
        says="Adam | the class torch.optim.lr_scheduler.LinearLR | lr must be | a schedule such as Cosine(5e-3, steps=1000)",
    ),
    Mistake(
        "a function as a schedule",
        "Adam(lr=lambda step: 1e-3)",
        says="Adam | <function <lambda> | lr must be | derive a class from graphdl.optim.Schedule",
    ),
    Mistake(
        "a class as a schedule", "Adam(lr=Cosine)", says="Adam | the class Cosine | lr must be | write Cosine(...)"
    ),
    Mistake("betas out of range", "Adam(betas=(0.9, 1.0))", says="Adam | not 1.0 | beta2 must be | a number in [0, 1)"),
    Mistake(
        "betas swapped",
        "Adam(betas=(0.999, 0.9))",
        says="Adam: betas | (0.999, 0.9) | beta1 is usually the smaller one | as in (0.9, 0.999)",
    ),
    Mistake("one number for betas", "Adam(betas=0.9)", says="Adam: betas | not 0.9 | must be a pair | (beta1, beta2)"),
    Mistake(
        "momentum as a flag",
        "SGD(lr=0.1, momentum=True)",
        says="SGD | not True | momentum must be | a number in [0, inf), or a schedule",
    ),
    Mistake("a momentum above one", "SGD(lr=0.1, momentum=1.5)", says="SGD: momentum | is 1.5 | below 1 | such as 0.9"),
    Mistake(
        "Nesterov without momentum",
        "SGD(lr=0.1, nesterov=True)",
        says="SGD | nesterov needs a momentum | other than 0 | for example momentum=0.9",
    ),
    Mistake(
        "a negative weight decay",
        "AdamW(weight_decay=-0.1)",
        says="AdamW | not -0.1 | weight_decay must be | a number in [0, inf)",
    ),
    Mistake(
        "a misspelt setting of an optimizer",
        "Adam(learning_rate=1e-3)",
        says="Adam | 'learning_rate' | has no setting | It has lr, betas",
    ),
    Mistake(
        "settings of a node that does not exist",
        "Adam(nodes={'fc3': {'lr': 1e-4}}).bind(mlp())",
        says="nodes | 'fc3' | The parameters are fc1.weight | Did you mean 'fc2'?",
    ),
    Mistake(
        "a pattern that matches nothing",
        "Adam(nodes={'conv*': {'lr': 1e-4}}).bind(mlp())",
        says="nodes | 'conv*' | matches no node and no parameter | The parameters are fc1.weight",
    ),
    Mistake(
        "settings of an activation",
        "Adam(nodes={'tanh': {'lr': 1e-4}}).bind(mlp())",
        says="nodes | 'tanh' | owns no parameters | give the node that owns them, or remove this key",
    ),
    Mistake(
        "a rate in place of settings",
        "Adam(nodes={'fc1': 1e-4})",
        says="nodes must be | {'fc1': 0.0001} | {node or pattern: {setting: value}} | as in {\"*.bias\": {...}}",
    ),
    Mistake(
        "a setting that the optimizer does not have",
        "Adam(nodes={'fc1': {'momentum': 0.9}})",
        says="Adam: nodes['fc1'] | 'momentum' | has no such setting | It has lr, betas, eps and weight_decay",
    ),
    Mistake(
        "a wrong value for some nodes",
        "Adam(nodes={'fc1': {'lr': -1.0}})",
        says="nodes['fc1'] | not -1.0 | lr must be | a number in [0, inf), or a schedule",
    ),
    Mistake(
        "param_groups of torch",
        "Adam(nodes=[{'params': 'fc1', 'lr': 1e-4}])",
        says="nodes must be | not [{'params' | {node or pattern: {setting: value}} | as in {\"*.bias\": {...}}",
    ),
    Mistake(
        "a schedule of no steps",
        "Cosine(1e-3, steps=0)",
        says="Cosine | not 0 | steps must be | a whole number of at least 1",
    ),
    Mistake(
        "a warmup into a number",
        "Warmup(1e-3, steps=100, then=1e-3)",
        says="Warmup | not 0.001 | then must be a schedule | such as Cosine(5e-3, steps=1000)",
    ),
    Mistake(
        "a scale below zero", "Adam().bind(mlp()).scale = -1", says="scale | not -1 | must be a number | 0 or more"
    ),
    Mistake(
        "a rate set on a frozen optimizer",
        """
stepper = Adam().bind(mlp())
stepper.lr = 1e-4
""",
        says="Stepper | no 'lr' | unlike an optimizer of torch | stepper.scale multiplies the learning rate",
    ),
    Mistake(
        "a state of another optimizer",
        "SGD(lr=0.1).bind(mlp()).load_state_dict(Adam().bind(mlp()).state_dict())",
        says="load_state_dict | belongs to Adam | not to SGD | the state belongs",
    ),
    Mistake(
        "a state of a stepper that lacks its step",
        "Adam().bind(mlp()).load_state_dict({})",
        says="load_state_dict | has no optimizer, step, scale | the state of Adam | fc1.weight.1",
    ),
    Mistake(
        "a penalty without a list",
        "train(mlp(), penalties=L2(1e-3))",
        says="penalties must be | L2(strength=0.001 | a tuple | such as (L2(1e-3),)",
    ),
    Mistake(
        "a number as a penalty",
        "train(mlp(), penalties=[1e-3])",
        says="penalties must be | not [0.001] | a tuple | such as (L2(1e-3),)",
    ),
    Mistake(
        "a penalty on a node that does not exist",
        "train(mlp(), penalties=[L2(1e-3, nodes=('fc3',))])",
        says="L2: nodes | 'fc3' | matches no node and no parameter | Did you mean 'fc2'?",
    ),
    Mistake(
        "a negative penalty", "L2(-1e-3)", says="L2 | not -0.001 | strength must be | a finite number of at least 0"
    ),
    Mistake(
        "nodes of a penalty as a word",
        "train(mlp(), penalties=[L2(1e-3, nodes='*.weight')])",
        meant="a single name may stand for a tuple",
    ),
    Mistake(
        "a BFGS that does not fit into memory",
        "train(chain('y', fc1=Linear(2, 20000), fc2=Linear(20000, 2), loss=MSELoss()), optimizer=BFGS(max_bytes=2**20))",
        says="BFGS | 80,003,200,032 bytes | more than max_bytes=1,048,576 | Raise max_bytes, freeze nodes",
    ),
    Mistake(
        "nodes of an optimizer that couples all",
        "BFGS(nodes={'fc1': {'lr': 0.1}})",
        says="BFGS | nodes= | an update couples all parameters | cannot be used",
    ),
    Mistake(
        "minimize by an unknown method",
        "minimize(mlp(), X, Y, method='Adam')",
        says="minimize | 'Adam' | there is no method | scipy's methods are L-BFGS-B",
    ),
    Mistake(
        "minimize with Dropout",
        "minimize(chain('y', fc=Linear(2, 2), drop=Dropout(), loss=MSELoss()), X, Y)",
        says="drop (Dropout) | random numbers are drawn | a function of the parameters alone | Call net.freeze('drop')",
    ),
    Mistake(
        "minimize in no iterations",
        "minimize(mlp(), X, Y, max_iterations=0)",
        says="max_iterations | not 0 | a whole number | 1 or more",
    ),
)
