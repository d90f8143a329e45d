"""Mistakes in declaring networks: keys, edges, operators, blocks and settings."""

from tests.mistakes.mistake import Mistake

MISTAKES = (
    Mistake(
        "a network of nothing",
        "Network()",
        says="Network | missing a required argument | 'operators' | Write Network({'fc': Linear(2, 1)",
    ),
    Mistake(
        "a list of layers as a network",
        "Network([Linear(2, 2), Tanh()])",
        says="Network | missing a required argument | 'connectivity' | Write Network({'fc': Linear(2, 1)",
    ),
    Mistake(
        "a misspelt argument of Network",
        "Network({'fc': Linear(2, 2)}, {'x': ['fc']}, sead=0)",
        says="Network | unexpected keyword argument 'sead' | Did you mean 'seed'? | Write Network(",
    ),
    Mistake(
        "a size by position and by name",
        "Linear(2, 3, out_features=4)",
        says="Linear | out_features | is given twice | by position and by name",
    ),
    Mistake(
        "a class in place of an operator",
        "Network({'fc': Linear}, {'x': ['fc']})",
        says="operators['fc'] | the class Linear | is the class | write Linear(...)",
    ),
    Mistake(
        "a class of a layer without settings",
        "chain(fc=Linear(2, 8), act=ReLU)",
        says="operators['act'] | the class ReLU | is the class | write ReLU(...)",
    ),
    Mistake(
        "a layer of torch.nn",
        "chain(fc=torch.nn.Linear(2, 8))",
        says="operators['fc'] | torch.nn.modules.linear.Linear | computes a graphdl.Operator | Did you mean Linear(...) of graphdl?",
    ),
    Mistake(
        "a function of torch as an activation",
        "chain(fc=Linear(2, 8), act=torch.tanh)",
        says="operators['act'] | builtin_function_or_method | computes a graphdl.Operator | Did you mean Tanh(...) of graphdl?",
    ),
    Mistake(
        "a name in place of an operator",
        "chain(fc=Linear(2, 8), act='relu')",
        says="operators['act'] | is a str | computes a graphdl.Operator | Did you mean ReLU(...) of graphdl?",
    ),
    Mistake(
        "None as an operator",
        "chain(fc=Linear(2, 8), act=None)",
        says="operators['act'] | is None | Identity() | leave the node out",
    ),
    Mistake(
        "a list of two operators at a node",
        "Network({'layer': [Linear(2, 8), Tanh()]}, {'x': ['layer']})",
        says="operators['layer'] | 2 operators | a node computes one | write Sequential(...)",
    ),
    Mistake(
        "a Network as an operator",
        "chain(fc=Linear(2, 8), inner=mlp())",
        says="operators['inner'] | graphdl.network.Network | computes a graphdl.Operator | or a Block",
    ),
    Mistake(
        "operators as a list",
        "Network([Linear(2, 8), Tanh()], {'x': ['fc']})",
        says="operators must be | not [Linear( | a dictionary from nodes to operators | such as {'fc1': Linear(2, 8)}",
    ),
    Mistake(
        "no operators",
        "Network({}, {})",
        says="operators must be | not {} | at least one entry | such as {'fc1': Linear(2, 8)}",
    ),
    Mistake(
        "the dictionaries swapped",
        "Network({'x': ['fc']}, {'fc': Linear(2, 8)})",
        says="connectivity['fc'] | a Linear | a list of nodes | write a list of nodes, or [] for none",
    ),
    Mistake(
        "connectivity as a list of edges",
        "Network({'fc': Linear(2, 8)}, [('x', 'fc')])",
        says="connectivity must be | not [('x', 'fc')] | a dictionary from nodes to the nodes they feed | such as {'x': ['fc1']}",
    ),
    Mistake(
        "an edge to a misspelt node",
        "Network({'fc1': Linear(2, 8), 'tanh': Tanh()}, {'x': ['fc1'], 'fc1': ['tahn']})",
        says="fc1 feeds | 'tahn' | no operator has that name | Did you mean 'tanh'?",
    ),
    Mistake(
        "an edge to a node that was never declared",
        "Network({'fc1': Linear(2, 8)}, {'x': ['fc1'], 'fc1': ['softmax']})",
        says="fc1 feeds | 'softmax' | no operator has that name | Declare it, or correct the edge",
    ),
    Mistake(
        "a misspelt key of connectivity",
        "Network({'fc1': Linear(2, 8), 'tanh': Tanh(), 'fc2': Linear(8, 2), 'loss': MSELoss()}, {'x': ['fc1'], 'fc1': ['tanh'], 'tahn': ['fc2'], 'fc2': ['loss'], 'y': ['loss']}).predict(X)",
        says="'tahn' | is a key of connectivity and not an operator | the node 'tanh' feeds nothing | correct the key",
    ),
    Mistake(
        "an edge into an input",
        "Network({'fc': Linear(2, 8)}, {'x': ['fc'], 'fc': ['x']})",
        says="fc feeds | 'x' | An input cannot be fed | Give 'x' an operator, or remove the edge",
    ),
    Mistake(
        "a string in place of a list of edges is one edge",
        "Network({'fc': Linear(2, 8), 'tanh': Tanh()}, {'x': 'fc', 'fc': 'tanh'})",
        says="connectivity['x'] | is 'fc' | a list of nodes | write a list of nodes, such as ['fc']",
    ),
    Mistake(
        "a set of edges",
        "Network({'fc': Linear(2, 8), 'tanh': Tanh()}, {'x': {'fc'}, 'fc': ['tanh']})",
        says="connectivity['x'] | a set | a list of nodes | write a list of nodes",
    ),
    Mistake(
        "None in place of no edges",
        "Network({'fc': Linear(2, 8)}, {'x': ['fc'], 'fc': None})",
        says="connectivity['fc'] | is None | a list of nodes | or [] for none",
    ),
    Mistake(
        "an operator as the target of an edge",
        "Network({'fc': Linear(2, 8)}, {'x': [Linear(2, 8)]})",
        says="connectivity['x'] | a Linear | the key of a node | must be a str or an int",
    ),
    Mistake(
        "a tuple as a key",
        "Network({('fc', 1): Linear(2, 8)}, {'x': [('fc', 1)]})",
        says="A key of operators | ('fc', 1), a tuple | the key of a node | must be a str or an int",
    ),
    Mistake(
        "a float as a key",
        "Network({1.0: Linear(2, 8)}, {'x': [1.0]})",
        says="A key of operators | 1.0, a float | the key of a node | must be a str or an int",
    ),
    Mistake(
        "a boolean as a key",
        "Network({True: Linear(2, 8)}, {'x': [True]})",
        says="A key of operators | True, a bool | the key of a node | must be a str or an int",
    ),
    Mistake(
        "a number where the key is its text",
        "Network({'1': Linear(2, 8)}, {'x': [1]})",
        says="x feeds | 1, but | no operator has that name | Did you mean '1'?",
    ),
    Mistake(
        "an operator without any edge",
        "Network({'fc': Linear(2, 8), 'tanh': Tanh(), 'out': Linear(8, 1)}, {'x': ['fc'], 'fc': ['tanh']})",
        says="out is in operators | nothing feeds it and it feeds nothing | connectivity | Connect it, remove it",
    ),
    Mistake(
        "an input that feeds nothing",
        "Network({'fc': Linear(2, 8)}, {'x': ['fc'], 'mask': []})",
        says="'mask' | it feeds nothing | it is an input | Remove it, or name the nodes that it feeds",
    ),
    Mistake(
        "a missing edge leaves an unwanted input",
        "Network({'fc1': Linear(2, 8), 'fc2': Linear(8, 2), 'loss': MSELoss()}, {'x': ['fc1'], 'fc2': ['loss'], 'y': ['loss']}).predict(X)",
        says="fc2 (Linear) | the input fc2, since nothing feeds this node | Expected (n, ..., 8) | change in_features to 2",
    ),
    Mistake(
        "a missing edge leaves parameters untrained",
        "train(Network({'fc1': Linear(2, 8), 'fc2': Linear(2, 2), 'loss': MSELoss()}, {'x': ['fc1', 'fc2'], 'fc2': ['loss'], 'y': ['loss']}))",
        says="fc1 (Linear) | leads to no loss | it is not trained | an edge is missing",
    ),
    Mistake(
        "a loop of two nodes",
        "Network({'a': Linear(2, 2), 'b': Tanh()}, {'x': ['a'], 'a': ['b'], 'b': ['a']})",
        says="The connectivity has a cycle | a -> b -> a | evaluated once | remove one of these edges",
    ),
    Mistake(
        "a loop of three nodes without an input",
        "Network({'a': Tanh(), 'b': Tanh(), 'c': Tanh()}, {'a': ['b'], 'b': ['c'], 'c': ['a']})",
        says="The connectivity has a cycle | a -> b -> c -> a | evaluated once | remove one of these edges",
    ),
    Mistake(
        "a node that feeds itself",
        "Network({'fc': Linear(2, 2)}, {'x': ['fc'], 'fc': ['fc']})",
        says="The connectivity has a cycle | fc -> fc | evaluated once | remove one of these edges",
    ),
    Mistake(
        "a node that feeds itself through a sum",
        "Network({'sum': Sum(), 'fc': Linear(2, 2)}, {'x': ['sum'], 'sum': ['fc'], 'fc': ['sum']})",
        says="The connectivity has a cycle | sum -> fc -> sum | evaluated once | remove one of these edges",
    ),
    Mistake(
        "connectivity written backwards",
        "Network({'fc1': Linear(2, 8), 'tanh': Tanh(), 'fc2': Linear(8, 2), 'loss': MSELoss()}, {'fc1': ['x'], 'tanh': ['fc1'], 'fc2': ['tanh'], 'loss': ['fc2', 'y']})",
        says="fc1 feeds | 'x' | no operator has that name | reads({...})",
    ),
    Mistake(
        "two nodes into a Linear",
        "Network({'a': Linear(2, 8), 'b': Linear(2, 8), 'c': Linear(8, 2)}, {'x': ['a', 'b'], 'a': ['c'], 'b': ['c']})",
        says="c (Linear) | is fed by a and b | takes 1 input | put a Sum or a Concat between",
    ),
    Mistake(
        "three edges into a loss",
        "Network({'fc': Linear(2, 2), 'loss': MSELoss()}, {'x': ['fc', 'loss'], 'fc': ['loss'], 'y': ['loss']})",
        says="loss (MSELoss) | is fed by x, fc and y | takes 2 inputs (prediction, target) | put a Sum or a Concat between",
    ),
    Mistake(
        "a skip connection into an activation",
        "Network({'fc': Linear(2, 2), 'tanh': Tanh()}, {'x': ['fc', 'tanh'], 'fc': ['tanh']})",
        says="tanh (Tanh) | is fed by x and fc | takes 1 input | put a Sum or a Concat between",
    ),
    Mistake(
        "an edge into a learned tensor",
        "Network({'w': Weight((2, 2), Normal(0, 1))}, {'x': ['w']})",
        says="w (Weight) | is fed by x | reads no input | remove the edge",
    ),
    Mistake(
        "a Subtract of three",
        "Network({'d': Subtract()}, {'a': ['d'], 'b': ['d'], 'c': ['d']})",
        says="d (Subtract) | is fed by a, b and c | takes 2 inputs (minuend, subtrahend) | put a Sum or a Concat between",
    ),
    Mistake(
        "a slot fed twice",
        "Network({'d': Subtract()}, {'a': [Feed('d', slot=0)], 'b': [Feed('d', slot=0)]})",
        says="d (Subtract) | is fed by both a and b | slot 0 | Give each edge its own slot",
    ),
    Mistake(
        "a misspelt slot",
        "Network({'fc': Linear(2, 2), 'loss': MSELoss()}, {'x': ['fc'], 'fc': [Feed('loss', slot='predicton')], 'y': ['loss']})",
        says="loss (MSELoss) | no slot 'predicton' | Its slots are | Did you mean 'prediction'?",
    ),
    Mistake(
        "a slot beyond the last",
        "Network({'c': Concat()}, {'a': [Feed('c', slot=1)], 'b': [Feed('c', slot=2)]})",
        says="c (Concat) | no slot 2 | Its slots are 0 to 1 | one for each of its 2 edges",
    ),
    Mistake(
        "a slot of a Linear",
        "Network({'fc': Linear(2, 2)}, {'x': [Feed('fc', slot='weight')]})",
        says="fc (Linear) | no slot 'weight' | Its slots are 0 | or 'input'",
    ),
    Mistake(
        "a slot that is a float",
        "Feed('loss', slot=1.0)",
        says="Feed(key='loss' | not 1.0 | slot must be | a position (int) or a name (str)",
    ),
    Mistake(
        "a gradient factor that is a string",
        "Feed('loss', gradient='stop')",
        says="Feed(key='loss' | gradient='stop' | the factor of the gradient | must be a number",
    ),
    Mistake(
        "a gradient factor that is a boolean",
        "Feed('loss', gradient=False)",
        says="Feed(key='loss' | gradient=False | the factor of the gradient | must be a number",
    ),
    Mistake(
        "an infinite gradient factor",
        "Feed('loss', gradient=float('inf'))",
        says="Feed(key='loss' | gradient=inf | the factor of the gradient | must be finite",
    ),
    Mistake(
        "a Feed of a list",
        "Feed(['a', 'b'])",
        says="Feed's first argument | a list | the key of a node | must be a str or an int",
    ),
    Mistake(
        "a Feed of an operator",
        "Feed(Linear(2, 2))",
        says="Feed's first argument | a Linear | the key of a node | must be a str or an int",
    ),
    Mistake(
        "a Shared of a node that does not exist",
        "Network({'a': Linear(2, 2), 'b': Shared('aa')}, {'x': ['a', 'b']})",
        says="b is Shared('aa') | no operator has that name | takes the key of the node | Did you mean 'a'?",
    ),
    Mistake(
        "a Shared of an operator",
        "Shared(Linear(2, 2))",
        says="Shared's argument | a Linear | the key of a node | must be a str or an int",
    ),
    Mistake(
        "a Shared of itself",
        "Network({'a': Shared('a')}, {'x': ['a']})",
        says="Shared has a cycle | a -> a | Shared | Give one of these nodes its own operator",
    ),
    Mistake(
        "two Shared of each other",
        "Network({'a': Shared('b'), 'b': Shared('a')}, {'x': ['a', 'b']})",
        says="Shared has a cycle | a -> b -> a | Shared | Give one of these nodes its own operator",
    ),
    Mistake(
        "the class Shared",
        "Network({'a': Linear(2, 2), 'b': Shared}, {'x': ['a', 'b']})",
        says="operators['b'] | the class Shared | is the class | write Shared(...)",
    ),
    Mistake(
        "a Shared of an input",
        "Network({'a': Linear(2, 2), 'b': Shared('x')}, {'x': ['a', 'b']})",
        says="b is Shared('x') | no operator has that name | the node whose operator it uses | takes the key of the node",
    ),
    Mistake(
        "the same operator object at two nodes",
        """
layer = Linear(2, 2)
chain(a=layer, tanh=Tanh(), b=layer)
""",
        says="a and b | the same Linear object | each has its own parameters | write Shared('a') for 'b'",
    ),
    Mistake(
        "the same operator object from fromkeys",
        "Network(dict.fromkeys(['a', 'b'], Linear(2, 2)), {'x': ['a'], 'a': ['b']})",
        says="a and b | the same Linear object | each has its own parameters | write Shared('a') for 'b'",
    ),
    Mistake(
        "a class in a Block",
        "Block({'fc': Linear}, {'x': ['fc']})",
        says="In a Block: operators['fc'] | the class Linear | is the class | write Linear(...)",
    ),
    Mistake(
        "an edge out of a Block",
        "Block({'fc': Linear(2, 2)}, {'x': ['fc'], 'fc': ['outside']})",
        says="In a Block: fc feeds | 'outside' | no operator has that name | Declare it, or correct the edge",
    ),
    Mistake(
        "an edge into the middle of a Block",
        """
layer = Block({'fc': Linear(2, 2), 'tanh': Tanh()}, {'x': ['fc'], 'fc': ['tanh']})
Network({'layer': layer}, {'x': ['layer/tanh']})
""",
        says="x feeds | 'layer/tanh' | an edge feeds the block as a whole | Feed('layer', slot='x')",
    ),
    Mistake(
        "an edge out of a Block with two outputs",
        """
layer = Block({'a': Linear(2, 2), 'b': Linear(2, 2)}, {'x': ['a', 'b']})
Network({'layer': layer, 'tanh': Tanh()}, {'x': ['layer'], 'layer': ['tanh']})
""",
        says="The block layer | 'layer/a' and 'layer/b' | an edge starts at one of them | outputs=[...] with one node",
    ),
    Mistake(
        "a Block whose inputs have no order",
        """
Block({'a': Linear(2, 2), 's': Sum(), 't': Subtract()}, {'a': ['s'], 'x': ['s'], 's': ['t'], 'y': ['t']})
Block({'a': Linear(2, 2), 'b': Linear(2, 2), 's': Sum()}, {'a': ['s'], 'b': ['s']})
""",
        says="In a Block | 'x', 'y' and 'a' | the order of its inputs | inputs=['x', 'y', 'a']",
    ),
    Mistake(
        "an input of a Block that it does not have",
        "Block({'fc': Linear(2, 2)}, {'x': ['fc']}, inputs=['z'])",
        says="In a Block: inputs | 'z' is not an input | Nothing feeds | 'x'",
    ),
    Mistake(
        "an output of a Block that it does not have",
        "Block({'fc': Linear(2, 2)}, {'x': ['fc']}, outputs=['out'])",
        says="In a Block: outputs | 'out', which is not a node | The nodes are | 'fc'",
    ),
    Mistake(
        "two edges into a Block with one input",
        """
layer = Block({'fc': Linear(2, 2)}, {'x': ['fc']})
Network({'layer': layer}, {'a': ['layer'], 'b': ['layer']})
""",
        says="layer (Block) | is fed by a and b | takes 1 input | put a Sum or a Concat between",
    ),
    Mistake(
        "Sequential of a list",
        "Sequential([Linear(2, 8), Tanh()])",
        says="operators['0'] | 2 operators | a node computes one | write Sequential(...)",
    ),
    Mistake(
        "Sequential of a class",
        "Sequential(Linear(2, 8), Tanh)",
        says="operators['1'] | the class Tanh | is the class | write Tanh(...)",
    ),
    Mistake(
        "Sequential of nothing",
        "Sequential()",
        says="Sequential | is empty | at least one operator | such as Sequential(Linear(2, 8))",
    ),
    Mistake(
        "Sequential of layers of torch.nn",
        "Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh())",
        says="operators['0'] | torch.nn.modules.linear.Linear | computes a graphdl.Operator | Did you mean Linear(...) of graphdl?",
    ),
    Mistake(
        "a loop of torch's habit: edges by operators",
        """
a, b = Linear(2, 8), Tanh()
Network({'a': a, 'b': b}, {a: [b]})
""",
        says="A key of connectivity | a Linear | the key of a node | must be a str or an int",
    ),
    Mistake(
        "a misspelt setting",
        "Linear(2, out_feature=8)",
        says="Linear | 'out_feature' | has no setting | Did you mean 'out_features'?",
    ),
    Mistake(
        "sizes as strings", "Linear('2', 8)", says="Linear | '2' | in_features must be | a whole number of at least 1"
    ),
    Mistake(
        "a float as a size",
        "Linear(2, 16 / 2)",
        says="Linear | 8.0 | out_features must be | a whole number of at least 1",
    ),
    Mistake(
        "zero features", "Linear(0, 8)", says="Linear | not 0 | in_features must be | a whole number of at least 1"
    ),
    Mistake(
        "a negative size", "Linear(2, -1)", says="Linear | not -1 | out_features must be | a whole number of at least 1"
    ),
    Mistake(
        "a batch axis in the sizes",
        "Linear((50, 2), 8)",
        says="Linear | (50, 2) | in_features must be | a whole number of at least 1",
    ),
    Mistake("out_features left out", "Linear(2)", says="Linear | is missing | out_features | write Linear(2, 25)"),
    Mistake(
        "too many sizes",
        "Linear(2, 8, 8, 2, 1)",
        says="Linear | 5 settings by position | takes in_features, out_features, bias and weight | Write others by name",
    ),
    Mistake("a probability in percent", "Dropout(50)", says="Dropout | not 50 | p must be | a number from 0 to 1"),
    Mistake(
        "a class as an initializer",
        "Linear(2, 8, weight=Normal)",
        says="Linear | the class Normal | weight must be an initializer | write Normal(...)",
    ),
    Mistake(
        "a function of torch as an initializer",
        "chain(fc=Linear(2, 8, weight=torch.nn.init.xavier_uniform_)).parameters",
        says="Linear | xavier_uniform_ | weight must be an initializer | take one of graphdl.initializers",
    ),
    Mistake(
        "a tensor as an initializer",
        "Linear(2, 8, weight=torch.ones(8, 2))",
        says="Linear | an instance of Tensor | weight must be an initializer | such as Normal(0, 1)",
    ),
    Mistake(
        "a misspelt padding",
        "Conv2d(3, 8, 3, padding='sane')",
        says="Conv2d | 'sane' | padding must be | Did you mean 'same'?",
    ),
    Mistake(
        "three sizes for a kernel of images",
        "Conv2d(3, 8, (3, 3, 3))",
        says="Conv2d | (3, 3, 3) | kernel_size must be | one number, or a tuple of two for h and w",
    ),
    Mistake("kernel_size left out", "Conv2d(3, 8)", says="Conv2d | is missing | kernel_size | write Conv2d(3, 16, 5)"),
    Mistake(
        "channels that groups do not divide",
        "Conv2d(3, 8, 3, groups=2)",
        says="Conv2d | in_channels 3 | 2 groups | cannot be split",
    ),
    Mistake(
        "heads that do not divide the width",
        "MultiheadAttention(10, 3)",
        says="MultiheadAttention | 3 does not divide 10 | num_heads | must divide embed_dim",
    ),
    Mistake(
        "class weights as weight",
        "CrossEntropyLoss(weight=[1.0, 2.0])",
        says="CrossEntropyLoss | [1.0, 2.0] | weight must be a finite number | class_weight=(1.0, 2.0)",
    ),
    Mistake(
        "class weights as a tensor",
        "CrossEntropyLoss(class_weight=torch.ones(3))",
        says="CrossEntropyLoss | tensor([1., 1., 1.]) | class_weight must be | write tuple(weights.tolist())",
    ),
    Mistake(
        "a misspelt reduction",
        "MSELoss(reduction='avg')",
        says="MSELoss | 'avg' | reduction must be | 'mean' or 'sum' or 'none'",
    ),
    Mistake(
        "a positional setting of a loss",
        "MSELoss('sum')",
        says="MSELoss | 1 setting by position | takes no settings by position | Write others by name",
    ),
    Mistake(
        "a seed that is a float",
        "Network({'fc': Linear(2, 8)}, {'x': ['fc']}, seed=0.5)",
        says="seed | 0.5 | a whole number | or None",
    ),
    Mistake(
        "a seed that is a string",
        "Network({'fc': Linear(2, 8)}, {'x': ['fc']}, seed='0')",
        says="seed | '0' | a whole number | or None",
    ),
    Mistake(
        "a device that does not exist",
        "Network({'fc': Linear(2, 8)}, {'x': ['fc']}, device='gpu')",
        says='device=\'gpu\' | cannot be used | there is no such device | Take "cpu", or "cuda"',
    ),
    Mistake(
        "an integer dtype",
        "Network({'fc': Linear(2, 8)}, {'x': ['fc']}, dtype=torch.int64)",
        says="dtype | torch.int64 | floating-point type | such as torch.float64",
    ),
    Mistake(
        "a dtype as a string",
        "Network({'fc': Linear(2, 8)}, {'x': ['fc']}, dtype='float64')",
        says="dtype | 'float64' | floating-point type | such as torch.float64",
    ),
    Mistake(
        "reads with the edges the other way round",
        "Network({'fc': Linear(2, 2), 'tanh': Tanh()}, reads({'x': ['fc'], 'fc': ['tanh']}))",
        says="fc feeds | 'x' | no operator has that name | connectivity maps a node to those that it feeds",
    ),
    Mistake(
        "reads of a list",
        "reads(['a', 'b'])",
        says="reads | ['a', 'b'] | a dictionary from nodes to what they read | {'sum': ['a', 'b']}",
    ),
)
