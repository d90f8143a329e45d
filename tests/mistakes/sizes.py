"""Mistakes in the sizes of values, declared or of the data."""

from tests.mistakes.mistake import Mistake

MISTAKES = (
    Mistake(
        "two Linear that do not fit",
        "chain(fc1=Linear(2, 16), tanh=Tanh(), fc2=Linear(17, 2))",
        says="fc2 (Linear) | tanh (Tanh) has 16 elements along its last axis, which follows from fc1 (Linear) | expects 17 | Change one of the two sizes",
    ),
    Mistake(
        "two Linear that do not fit, one after the other",
        "chain(fc1=Linear(2, 16), fc2=Linear(2, 16))",
        says="fc2 (Linear) | fc1 (Linear) has 16 elements | expects 2 | Change one of the two sizes",
    ),
    Mistake(
        "sizes that do not fit through a Dropout and a LayerNorm",
        "chain(fc1=Linear(2, 16), norm=LayerNorm(16), drop=Dropout(0.5), fc2=Linear(8, 2))",
        says="fc2 (Linear) | drop (Dropout) has 16 elements | expects 8 | Change one of the two sizes",
    ),
    Mistake(
        "a LayerNorm of another width",
        "chain(fc1=Linear(2, 16), norm=LayerNorm(32))",
        says="norm (LayerNorm) | fc1 (Linear) has 16 elements | expects 32 | Change one of the two sizes",
    ),
    Mistake(
        "two readers that want inputs of two sizes",
        "Network({'a': Linear(2, 8), 'b': Linear(3, 8), 'sum': Sum()}, {'x': ['a', 'b'], 'a': ['sum'], 'b': ['sum']})",
        says="b (Linear) | the input x has 2 elements along its last axis, which follows from a (Linear) | expects 3 | Change one of the two sizes",
    ),
    Mistake(
        "a sum of two widths",
        "Network({'a': Linear(2, 8), 'b': Linear(2, 9), 'sum': Sum()}, {'x': ['a', 'b'], 'a': ['sum'], 'b': ['sum']})",
        says="sum (Sum) | b (Linear) has 9 elements | has 8 in its other input, from a (Linear) | Change one of the two sizes",
    ),
    Mistake(
        "a Residual that changes the width",
        "Network({'layer': Residual(Linear(8, 16), ReLU())}, {'x': ['layer']})",
        says="layer/sum (Sum) | layer/1 (ReLU) has 16 elements | has 8 in its other input, from the input x | connect the nodes in another way",
    ),
    Mistake(
        "a block twice whose ends do not fit",
        """
layer = Sequential(Linear(8, 16), ReLU())
Network({'first': layer, 'second': layer}, {'x': ['first'], 'first': ['second']})
""",
        says="second/0 (Linear) | first/1 (ReLU) has 16 elements | expects 8 | Change one of the two sizes",
    ),
    Mistake(
        "a Shared that does not fit",
        "Network({'a': Linear(8, 16), 'b': Shared('a')}, {'x': ['a'], 'a': ['b']})",
        says="b (Linear) | a (Linear) has 16 elements | expects 8 | Change one of the two sizes",
    ),
    Mistake(
        "channels that do not fit",
        "chain(conv1=Conv2d(3, 8, 3), relu=ReLU(), pool=MaxPool2d(2), conv2=Conv2d(16, 8, 3))",
        says="conv2 (Conv2d) | has 8 elements along axis -3, counted from the end, which follows from conv1 (Conv2d) | expects 16 | Change one of the two sizes",
    ),
    Mistake(
        "a BatchNorm2d of other channels",
        "chain(conv=Conv2d(3, 8, 3), norm=BatchNorm2d(16))",
        says="norm (BatchNorm2d) | conv (Conv2d) has 8 elements along axis -3 | expects 16 | Change one of the two sizes",
    ),
    Mistake(
        "a transposed convolution of other channels",
        "chain(conv=Conv2d(3, 8, 3), up=ConvTranspose2d(16, 3, 3))",
        says="up (ConvTranspose2d) | conv (Conv2d) has 8 elements along axis -3 | expects 16 | Change one of the two sizes",
    ),
    Mistake(
        "an LSTM after an Embedding of another width",
        "chain(words=Embedding(100, 16), lstm=LSTM(32, 8, batch_first=True))",
        says="lstm (LSTM) | words (Embedding) has 16 elements | expects 32 | Change one of the two sizes",
    ),
    Mistake(
        "a Linear after an LSTM of another width",
        "chain(lstm=LSTM(4, 8, batch_first=True), out=Item(0), fc=Linear(4, 2))",
        says="fc (Linear) | out (Item) has 8 elements along its last axis, which follows from lstm (LSTM) | expects 4 | Change one of the two sizes",
    ),
    Mistake(
        "attention of another width",
        "Network({'words': Embedding(100, 16), 'attention': MultiheadAttention(32, 4, batch_first=True)}, reads({'words': ['text'], 'attention': ['words', 'words', 'words']}))",
        says="attention (MultiheadAttention) | words (Embedding) has 16 elements | expects 32 | Change one of the two sizes",
    ),
    Mistake(
        "a matrix product that does not fit",
        "Network({'fc': Linear(2, 8), 'w': Weight((9, 4), Normal(0, 1)), 'product': MatMul()}, reads({'fc': ['x'], 'product': ['fc', 'w']}))",
        says="product (MatMul) | fc (Linear) has 8 elements | has 9 in its other input, from w (Weight) | Change one of the two sizes",
    ),
    Mistake(
        "a loss of two nodes of different widths",
        "Network({'a': Linear(2, 3), 'b': Linear(2, 2), 'loss': MSELoss()}, {'x': ['a', 'b'], 'a': ['loss'], 'b': ['loss']})",
        says="loss (MSELoss) | b (Linear) has 2 elements | has 3 in its other input, from a (Linear) | Change one of the two sizes",
    ),
    Mistake(
        "sizes that do not fit in a file",
        """
import json
data = chain(fc1=Linear(2, 16), fc2=Linear(16, 2)).to_dict()
Path('model.json').write_text(json.dumps(data).replace('"in_features": 16', '"in_features": 17').replace('"in_features":16', '"in_features":17'))
Network.load('model.json')
""",
        says="fc2 (Linear) | fc1 (Linear) has 16 elements | expects 17 | Change one of the two sizes",
    ),
    Mistake(
        "features of the data that do not fit",
        "train(mlp(), {'x': torch.ones(8, 3), 'y': Y})",
        says="fc1 (Linear) | (4, 3) float32 from the input x | Expected (n, ..., 2) | give such data, or change in_features to 3",
    ),
    Mistake(
        "channels last",
        "chain(conv=Conv2d(3, 8, 3)).predict(torch.ones(4, 8, 8, 3))",
        says="conv (Conv2d) | (4, 8, 8, 3) float32 from the input x | Expected (n, 3, h, w) | x.movedim(-1, 1)",
    ),
    Mistake(
        "grey images without an axis of channels",
        "chain(conv=Conv2d(1, 8, 3)).predict(torch.ones(4, 28, 28))",
        says="conv (Conv2d) | (4, 28, 28) float32 from the input x | Expected (n, 1, h, w) | x.unsqueeze(1)",
    ),
    Mistake(
        "flat pixels into a convolution",
        "chain(conv=Conv2d(1, 8, 3)).predict(torch.ones(4, 784))",
        says="conv (Conv2d) | the input has 2 axes | in place of 4 | Expected (n, 1, h, w)",
    ),
    Mistake(
        "images into a Linear without Flatten",
        "chain(fc=Linear(192, 2)).predict(images)",
        says="fc (Linear) | (4, 3, 8, 8) float32 from the input x | Expected (n, ..., 192) | put Flatten() before it",
    ),
    Mistake(
        "a Flatten missing after a convolution",
        "chain(conv=Conv2d(3, 8, 3), fc=Linear(288, 2)).predict(images)",
        says="fc (Linear) | (4, 8, 6, 6) float32 from conv | Expected (n, ..., 288) | put Flatten() before it",
    ),
    Mistake(
        "a Linear after Flatten with the wrong count",
        "chain(conv=Conv2d(3, 8, 3), flat=Flatten(), fc=Linear(512, 2)).predict(images)",
        says="fc (Linear) | (4, 288) float32 from flat | Expected (n, ..., 512) | change in_features to 288",
    ),
    Mistake(
        "a kernel that is larger than the image",
        "chain(conv=Conv2d(3, 8, 11)).predict(images)",
        says="conv (Conv2d) | (4, 3, 8, 8) float32 from the input x | Expected (n, 3, h, w) | no smaller than the kernel of 11×11",
    ),
    Mistake(
        "pooling below one pixel",
        "chain(a=MaxPool2d(4), b=MaxPool2d(4)).predict(images)",
        says="b (MaxPool2d) | (4, 3, 2, 2) float32 from a | Expected (n, c, h, w) | no smaller than the window of 4×4",
    ),
    Mistake(
        "a sequence in place of an image",
        "chain(conv=Conv2d(3, 8, 3)).predict(torch.ones(4, 3, 8, 8, 8))",
        says="conv (Conv2d) | the input has 5 axes | in place of 4 | Expected (n, 3, h, w)",
    ),
    Mistake(
        "an image into a Conv1d",
        "chain(conv=Conv1d(3, 8, 3)).predict(images)",
        says="conv (Conv1d) | the input has 4 axes | in place of 3 | Expected (n, 3, t)",
    ),
    Mistake(
        "a batch of one in batch normalization",
        "chain(norm=BatchNorm1d(2)).forward(torch.ones(1, 2))",
        says="norm (BatchNorm1d) | (1, 2) float32 | a single value per channel has no variance | train on larger batches",
    ),
    Mistake(
        "BatchNorm1d on images",
        "chain(norm=BatchNorm1d(3)).predict(images)",
        says="norm (BatchNorm1d) | (4, 3, 8, 8) float32 | another number of axes or of channels | Expected (n, 3) or (n, 3, t)",
    ),
    Mistake(
        "BatchNorm2d on rows",
        "chain(norm=BatchNorm2d(2)).predict(X)",
        says="norm (BatchNorm2d) | (8, 2) float32 | another number of axes or of channels | Expected (n, 2, h, w)",
    ),
    Mistake(
        "a row without its batch axis",
        "mlp().predict(torch.ones(3))",
        says="fc1 (Linear) | (3,) float32 from the input x | Expected (n, ..., 2) | give such data",
    ),
    Mistake(
        "a Concat of different lengths",
        "Network({'c': Concat()}, {'a': ['c'], 'b': ['c']}).predict({'a': torch.ones(4, 2), 'b': torch.ones(5, 2)})",
        says="c (Concat) | (4, 2) float32 from the input a, (5, 2) float32 from the input b | inputs of the same shape | except along axis 1",
    ),
    Mistake(
        "a Concat along an axis that is not there",
        "Network({'c': Concat(axis=3)}, {'a': ['c'], 'b': ['c']}).predict({'a': torch.ones(4, 2), 'b': torch.ones(4, 2)})",
        says="c (Concat) | (4, 2) float32 from the input a | inputs of the same shape | except along axis 3",
    ),
    Mistake(
        "a Sum of inputs of different widths",
        "Network({'s': Sum()}, {'a': ['s'], 'b': ['s']}).predict({'a': torch.ones(4, 2), 'b': torch.ones(4, 3)})",
        says="s (Sum) | (4, 2) float32 from the input a, (4, 3) float32 from the input b | cannot take its inputs | must match",
    ),
    Mistake(
        "a Reshape of another number of elements",
        "chain(reshape=Reshape((3, 3))).predict(torch.ones(4, 8))",
        says="reshape (Reshape) | a row of the input has 8 elements | do not fit into | 3×3",
    ),
    Mistake(
        "an Unflatten of another number of elements",
        "chain(reshape=Unflatten(1, (3, 3))).predict(torch.ones(4, 8))",
        says="reshape (Unflatten) | axis 1 of the input has 8 elements | do not fit into 3×3 | Expected an axis 1 of length 9",
    ),
    Mistake(
        "axes that are not there",
        "chain(turn=Transpose(1, 2)).predict(X)",
        says="turn (Transpose) | (8, 2) float32 from the input x | cannot take its inputs | Expected an axis 1 and an axis 2",
    ),
    Mistake(
        "a Permute of too few axes",
        "chain(turn=Permute((0, 2))).predict(images)",
        says="Permute | (0, 2) | dims must name | each of the axes 0 to 1 once",
    ),
    Mistake(
        "an index beyond the axis",
        "chain(pick=Select(5, dim=1)).predict(X)",
        says="pick (Select) | index 5 is out of range | axis 1 has the length 2 | Expected an axis 1 of length 6",
    ),
    Mistake(
        "an Item of a tensor",
        "chain(fc=Linear(2, 2), item=Item(0)).predict(X)",
        says="item (Item) | its input is one tensor | Item(0) selects from a tuple of outputs | from fc",
    ),
    Mistake(
        "an Item beyond the outputs",
        "chain(lstm=LSTM(2, 4), item=Item(5)).predict(torch.ones(3, 4, 2))",
        says="item (Item) | Item(5) | its input is a tuple of 3 tensors | from lstm",
    ),
    Mistake(
        "a tuple of outputs into a Linear",
        "chain(lstm=LSTM(2, 4), fc=Linear(4, 2)).predict(torch.ones(3, 4, 2))",
        says="fc (Linear) | a tuple of (3, 4, 4) float32 | a tuple of outputs is not one value | Put Item(0) between",
    ),
    Mistake(
        "an Embedding of floats",
        "chain(words=Embedding(10, 4)).predict(torch.ones(4, 3))",
        says="words (Embedding) | the indices are float32 | give integers, x.long() | Expected indices from 0 to 9",
    ),
    Mistake(
        "an index beyond the table",
        "chain(words=Embedding(10, 4)).predict(torch.full((4, 3), 10))",
        says="words (Embedding) | these are from 10 to 10 | Expected indices from 0 to 9 | out of range",
    ),
    Mistake(
        "a negative index",
        "chain(words=Embedding(10, 4)).predict(torch.full((4, 3), -1))",
        says="words (Embedding) | these are from -1 to -1 | Expected indices from 0 to 9 | out of range",
    ),
    Mistake(
        "sizes left out, and no data yet",
        "chain(fc=Linear(out_features=8)).parameters",
        says="fc (Linear) | needs in_features | follows from the shapes of the inputs | net.build({'x': (...)})",
    ),
    Mistake(
        "build with the batch axis",
        "chain(fc1=Linear(out_features=8), fc2=Linear(8, 2)).build({'x': (50, 2)}).predict(X)",
        meant="takes shapes without the batch axis",
    ),
    Mistake(
        "build with a number",
        "chain(fc=Linear(out_features=8)).build({'x': 2})",
        says="The shape of input 'x' | not 2 | a tuple of sizes | or a tensor",
    ),
    Mistake(
        "build with a tensor of numbers",
        "chain(fc=Linear(out_features=8)).build({'x': [2.0]})",
        says="The shape of input 'x' | not [2.0] | a tuple of sizes | or a tensor",
    ),
    Mistake(
        "build without a name",
        "chain(fc=Linear(out_features=8)).build((2,))",
        says="Shapes are given by name | not as (2,) | {input: shape} | The inputs are x",
    ),
    Mistake(
        "build with a misspelt name",
        "Network({'fc': Linear(out_features=8)}, {'image': ['fc']}).build({'images': (2,)})",
        says="The network has no input | 'images' | Its inputs are 'image' | Did you mean 'image'?",
    ),
    Mistake(
        "shapes that do not fit",
        "mlp().shapes({'x': (50, 3)})",
        says="fc1 (Linear) | (50, 3) float32 from the input x | Expected (n, ..., 2) | change in_features to 3",
    ),
    Mistake(
        "shapes without a name",
        "mlp().shapes((50, 2))",
        says="Shapes are given by name | not as (50, 2) | {input: shape} | The inputs are x and y",
    ),
    Mistake(
        "cost of shapes that do not fit",
        "mlp().cost({'x': (50, 3), 'y': (50, 2)})",
        says="fc1 (Linear) | (50, 3) float32 from the input x | Expected (n, ..., 2) | change in_features to 3",
    ),
    Mistake(
        "cost without the target",
        "mlp().cost({'x': (50, 2)})",
        says="The input 'y' | is missing | it is a key of connectivity and not an operator | Give it a value",
    ),
)
