"""Mistakes in inputs, parts, states, and habits of torch.nn."""

from tests.mistakes.mistake import Mistake

MISTAKES = (
    Mistake(
        "a misspelt input",
        "mlp().forward({'X': X, 'y': Y})",
        says="The network has no input | 'X' | Its inputs are 'x' and 'y' | Did you mean 'x'?",
    ),
    Mistake(
        "an input that is missing",
        "mlp().forward({'x': X})",
        says="The input 'y' | is missing | it is a key of connectivity and not an operator | Give it a value",
    ),
    Mistake(
        "one tensor for two inputs",
        "mlp().forward(X)",
        says="2 inputs are needed | One tensor was given | 'x' and 'y' | Give a dictionary from their names to tensors",
    ),
    Mistake(
        "a pair in place of a dictionary",
        "mlp().forward((X, Y))",
        says="2 inputs are needed | was given | 'x' and 'y' | Give a dictionary from their names to tensors",
    ),
    Mistake(
        "inputs as two arguments",
        "mlp().forward(X, Y)",
        says="forward takes | {name: tensor} | or a tensor if there is one input | training=True or False",
    ),
    Mistake(
        "a list of rows of different lengths",
        "mlp().predict([[1.0, 2.0], [3.0]])",
        says="The input 'x' | row 0 has 2 values, and row 1 1 value | in a regular shape | give rows of one length",
    ),
    Mistake(
        "an array of objects",
        "mlp().predict(np.array([['a', 1]], dtype=object))",
        says="The input 'x' | holds strings, such as 'a' at [0, 0] | number them | one_hot(labels, classes=",
    ),
    Mistake(
        "an array of text",
        "mlp().predict(np.array([['1', '2']]))",
        says="The input 'x' | holds strings, such as '1' | number them | one_hot(labels, classes=",
    ),
    Mistake(
        "None as an input",
        "mlp().predict(None)",
        says="The input 'x' | NoneType | give a tensor | or an array of numbers",
    ),
    Mistake(
        "text as an input",
        "mlp().predict('x.csv')",
        says="The input 'x' | is a str | give a tensor | or an array of numbers",
    ),
    Mistake(
        "a set as an input",
        "mlp().predict({1.0, 2.0})",
        says="The input 'x' | is a set | give a tensor | or an array of numbers",
    ),
    Mistake(
        "a generator as an input",
        "mlp().predict(row for row in X)",
        says="The input 'x' | is a generator | give a tensor | or an array of numbers",
    ),
    Mistake(
        "integers into a Linear",
        "mlp().predict(torch.ones(8, 2, dtype=torch.long))",
        says="fc1 (Linear) | int64 from the input x | its parameters are float32 | x.float()",
    ),
    Mistake(
        "booleans into a Linear",
        "mlp().predict(torch.ones(8, 2, dtype=torch.bool))",
        says="fc1 (Linear) | bool from the input x | its parameters are float32 | x.float()",
    ),
    Mistake(
        "pixels of bytes into a convolution",
        "chain(conv=Conv2d(3, 8, 3)).predict(torch.ones(4, 3, 8, 8, dtype=torch.uint8))",
        says="conv (Conv2d) | uint8 from the input x | its parameters are float32 | x.float()",
    ),
    Mistake(
        "targets given to predict",
        "mlp().predict(X, Y)",
        says="predict(outputs=[...]) | not a Tensor | names of nodes, such as ['fc1'] | predict takes no targets",
    ),
    Mistake(
        "a misspelt output",
        "mlp().predict(X, outputs=['fc3'])",
        says="predict(outputs=[...]) | 'fc3' | the network has no node | Did you mean 'fc2'?",
    ),
    Mistake(
        "a node in place of a list of nodes",
        "mlp().predict(X, outputs='fc1')",
        says="predict(outputs=[...]) | not 'fc1' | a list of names | such as ['x']",
    ),
    Mistake(
        "the loss asked for without a target",
        "mlp().predict(X, outputs=['loss'])",
        says="2 inputs are needed | One tensor was given | 'x' and 'y' | Give a dictionary from their names to tensors",
    ),
    Mistake(
        "rows that differ in number",
        "train(mlp(), {'x': X, 'y': Y[:7]})",
        says="The tensors differ in their number of rows | 'x' has 8 | 'y' has 7 | Each row is one sample",
    ),
    Mistake(
        "rows of numbers that are not finite",
        "train(mlp(), {'x': X * float('nan'), 'y': Y})",
        says="the input 'x' | The loss is nan | values that are not finite | Clean the data",
    ),
    Mistake(
        "targets that are not finite",
        "train(mlp(), {'x': X, 'y': Y / 0})",
        says="the input 'y' | The loss is nan | values that are not finite | Clean the data",
    ),
    Mistake(
        "targets missing in fit",
        "train(mlp(), X)",
        says="the network needs 2 | One tensor was given | 'x' and 'y' | targets in addition to the one input",
    ),
    Mistake(
        "inputs by name and targets too",
        "train(mlp(), {'x': X, 'y': Y}, Y)",
        says="The target 'y' | was given twice | in inputs and as targets | leave one of them out",
    ),
    Mistake(
        "data with a misspelt name",
        "train(mlp(), {'x': X, 'target': Y})",
        says="The network has no input | 'target' | Its inputs are | 'x' and 'y'",
    ),
    Mistake(
        "evaluate without a loss",
        "evaluate(chain(fc=Linear(2, 2)), X)",
        says="evaluate needs a loss | has no loss node | add one | or use net.predict",
    ),
    Mistake(
        "a part with a misspelt node",
        "mlp().part(inputs=['x'], outputs=['tahn'])",
        says="part(outputs=[...]) | 'tahn' | the network has no node | Did you mean 'tanh'?",
    ),
    Mistake(
        "a part that needs more inputs",
        "mlp().part(inputs=['x'], outputs=['loss'])",
        says="part: loss cannot be computed | from 'x' alone | 'y', which loss reads | Add it to inputs",
    ),
    Mistake(
        "a part with an input that it does not need",
        "mlp().part(inputs=['x', 'y'], outputs=['fc2'])",
        says="part: fc2 | 'y' | does not depend on | leave that out of inputs",
    ),
    Mistake(
        "a part whose input is its output",
        "mlp().part(inputs=['fc1'], outputs=['fc1'])",
        says="part: 'fc1' | an output and an input at once | nothing is left | to compute it",
    ),
    Mistake(
        "a part by a name in place of a list",
        "mlp().part(inputs='x', outputs='fc2')",
        says="part(inputs=[...]) | not 'x' | a list of names | such as ['x']",
    ),
    Mistake(
        "a part of a network without sizes",
        "chain(fc=Linear(out_features=2), tanh=Tanh()).part(inputs=['x'], outputs=['fc'])",
        says="fc (Linear) | needs in_features | follows from the shapes of the inputs | net.build({'x': (...)})",
    ),
    Mistake(
        "a misspelt node to freeze",
        "mlp().freeze('fc3')",
        says="The network has no operator | 'fc3' | operator | Did you mean 'fc2'?",
    ),
    Mistake(
        "a list of nodes to freeze",
        "mlp().freeze(['fc1', 'fc2'])",
        says="Nodes are given one by one | not as ['fc1', 'fc2'] | freeze( | freeze('fc1', 'fc2')",
    ),
    Mistake(
        "everything frozen, and trained",
        """
net = mlp().freeze('fc1', 'fc2')
train(net)
""",
        says="nothing to train | no parameter that is not frozen reaches a loss | frozen | Unfreeze a node",
    ),
    Mistake(
        "a state of another network",
        "mlp().load_state_dict(classifier().state_dict())",
        says="load_state_dict | 'fc.weight' | no tensor is called | Did you mean 'fc2.weight'?",
    ),
    Mistake(
        "a state that lacks a tensor",
        """
state = mlp().state_dict()
del state['fc1.bias']
mlp().load_state_dict(state)
""",
        says="load_state_dict | lacks | fc1.bias | the state lacks fc1.bias",
    ),
    Mistake(
        "a file in place of a state",
        "mlp().load_state_dict('weights.safetensors')",
        says="load_state_dict | not 'weights.safetensors' | {name: tensor} | as state_dict returns it",
    ),
    Mistake(
        "a parameter assigned with another shape",
        "mlp().parameters['fc1.bias'] = torch.zeros(9)",
        says="fc1.bias | (9,) | has the shape (8,) | the value given",
    ),
    Mistake(
        "a misspelt parameter assigned",
        "mlp().parameters['fc1.bais'] = torch.zeros(8)",
        says="'fc1.bais' | The network has no tensor | tensor | Did you mean 'fc1.bias'?",
    ),
    Mistake(
        "a misspelt parameter read",
        "mlp().parameters['fc1.weigth']",
        says="'fc1.weigth' | The network has no tensor | tensor | Did you mean 'fc1.weight'?",
    ),
    Mistake(
        "the value of a misspelt node",
        """
net = mlp()
net.forward({'x': X, 'y': Y})
net.values['tahn']
""",
        says="'tahn' | No value was recorded | Recorded are 'x', 'y', 'fc1', 'tanh' | Did you mean 'tanh'?",
    ),
    Mistake(
        "a value before any pass",
        "mlp().values['tanh']",
        says="'tanh' | No value was recorded | recorded | Call forward",
    ),
    Mistake(
        "a gradient before any pass",
        "mlp().gradients['fc1.weight']",
        says="'fc1.weight' | No value was recorded | recorded | Call forward, and backward, first",
    ),
    Mistake(
        "a device by a misspelt name",
        "mlp().to('gpu:0')",
        says='device=\'gpu:0\' | cannot be used | there is no such device | Take "cpu", or "cuda"',
    ),
    Mistake(
        "a dtype where the device stands",
        "mlp().to(torch.float64)",
        says="device=torch.float64 | is a type | device | write dtype=torch.float64",
    ),
    Mistake(
        "a part moved alone",
        """
net = mlp()
half = net.part(inputs=['x'], outputs=['fc1'])
half.to(dtype=torch.float64)
""",
        says="to: the tensors cannot be moved | a part of the network | holds the same ones | Move the whole network first",
    ),
    Mistake(
        "a network called like a module",
        "mlp()(X)",
        says="A Network is not called | unlike a torch.nn.Module | net.forward(inputs) | net.predict(inputs)",
    ),
    Mistake(
        "parameters called like a method",
        "list(mlp().parameters())",
        says="net.parameters | not methods as in torch | dictionaries {'node.name': tensor} | net.parameters.values()",
    ),
    Mistake(
        "the optimizer of torch on the parameters",
        "torch.optim.SGD(mlp().parameters(), lr=0.1)",
        says="net.parameters | not methods as in torch | dictionaries {'node.name': tensor} | Adam(lr=1e-3).bind(net)",
    ),
    Mistake(
        "train mode of torch",
        "mlp().train()",
        says="A Network has no 'train' | unlike a torch.nn.Module | net.forward(inputs) | fit(net, inputs",
    ),
    Mistake(
        "eval mode of torch",
        "mlp().eval()",
        says="A Network has no 'eval' | unlike a torch.nn.Module | as in inference | net.predict(inputs)",
    ),
    Mistake(
        "zero_grad of torch",
        "mlp().zero_grad()",
        says="A Network has no 'zero_grad' | unlike a torch.nn.Module | Nothing needs to be set to zero | net.backward() replaces net.gradients",
    ),
)
