"""Mistakes in losses and their targets."""

from tests.mistakes.mistake import Mistake

MISTAKES = (
    Mistake(
        "one-hot integers for class indices",
        "train(classifier(), X, torch.eye(3, dtype=torch.long)[labels])",
        meant="one-hot, in integers or floats",
    ),
    Mistake(
        "one-hot booleans for class indices",
        "train(classifier(), X, torch.eye(3)[labels].bool())",
        meant="one-hot, in integers or floats",
    ),
    Mistake(
        "labels as floats",
        "train(classifier(), X, labels.float())",
        says="loss (CrossEntropyLoss) | (4,) float32 from the input y | class indices 0 to 2 | give integers, target.long()",
    ),
    Mistake(
        "labels in a column",
        "train(classifier(), X, labels[:, None])",
        says="loss (CrossEntropyLoss) | (4, 1) int64 from the input y | class indices (n, ...) or probabilities (n, c, ...) | write target.squeeze(1)",
    ),
    Mistake(
        "labels from 1 on",
        "train(classifier(), X, labels + 1)",
        says="loss (CrossEntropyLoss) | from 1 to 3 | class indices 0 to 2 | write target - 1",
    ),
    Mistake(
        "negative labels",
        "train(classifier(), X, labels - 1)",
        says="loss (CrossEntropyLoss) | from -1 to 1 | class indices 0 to 2 | ignore_index=-1",
    ),
    Mistake(
        "labels of more classes than outputs",
        "train(classifier(), X, torch.arange(8))",
        says="loss (CrossEntropyLoss) | from 0 to | class indices 0 to 2 | give the layer before",
    ),
    Mistake(
        "one output for CrossEntropyLoss",
        "train(binary(CrossEntropyLoss()), X, (X[:, 0] > 0).long())",
        says="loss (CrossEntropyLoss) | from 0 to 1 | class indices 0 to 0 | use BCEWithLogitsLoss",
    ),
    Mistake(
        "soft targets of more than one",
        "train(classifier(), X, torch.ones(8, 3) * 4 / 3)",
        says="loss (CrossEntropyLoss): the target 'y' | rows that sum to 4 | probabilities of classes, which sum to 1 | Divide each row by its sum",
    ),
    Mistake(
        "several classes for each row",
        "train(classifier(), X, torch.tensor([[1.0, 1.0, 0.0]]).repeat(8, 1))",
        says="loss (CrossEntropyLoss): the target 'y' | rows that sum to 2 | probabilities of classes, which sum to 1 | use BCEWithLogitsLoss",
    ),
    Mistake(
        "negative soft targets",
        "train(classifier(), X, torch.tensor([[1.5, -0.5, 0.0]]).repeat(8, 1))",
        says="loss (CrossEntropyLoss): the target 'y' | values from -0.5 on | expected are probabilities | none is below 0",
    ),
    Mistake(
        "one-hot targets of too few classes",
        "train(classifier(), X, Y)",
        says="loss (CrossEntropyLoss) | (4, 2) float32 from the input y | (4, 3) float32 from fc | class indices (n, ...) or probabilities (n, c, ...)",
    ),
    Mistake(
        "all labels ignored",
        "train(classifier(), X, torch.full((8,), -100))",
        says="loss (CrossEntropyLoss): the target 'y' | nothing but -100 | which is ignore_index | Give labels of classes, or another ignore_index",
    ),
    Mistake(
        "all labels of a batch ignored",
        "train(classifier(ignore_index=0), X, torch.tensor([0, 0, 0, 0, 1, 2, 1, 2]), shuffle=False)",
        says="loss (CrossEntropyLoss) | all labels of 'y' in this batch are 0 | which is ignore_index | Make the batches larger",
    ),
    Mistake(
        "an empty batch",
        "fit(classifier(), [{'x': X, 'y': labels}, {'x': X[:0], 'y': labels[:0]}], optimizer=Adam(), epochs=1, progress=False)",
        says="The loss is nan | the batch | has no rows of the input 'x' | Leave empty batches out",
    ),
    Mistake(
        "ignore_index with soft targets",
        "train(classifier(ignore_index=0), X, torch.eye(3)[labels])",
        says="loss (CrossEntropyLoss) | the target holds probabilities | ignore_index leaves out class indices | with class indices (n, ...)",
    ),
    Mistake(
        "Softmax before CrossEntropyLoss",
        "chain('y', fc=Linear(2, 3), softmax=Softmax(), loss=CrossEntropyLoss())",
        says="loss (CrossEntropyLoss) | softmax (Softmax) returns probabilities | expects any numbers | remove softmax",
    ),
    Mistake(
        "Sigmoid before BCEWithLogitsLoss",
        "chain('y', fc=Linear(2, 1), sigmoid=Sigmoid(), loss=BCEWithLogitsLoss())",
        says="loss (BCEWithLogitsLoss) | sigmoid (Sigmoid) returns probabilities | expects any numbers | use BCELoss",
    ),
    Mistake(
        "Sigmoid before CrossEntropyLoss",
        "chain('y', fc=Linear(2, 3), sigmoid=Sigmoid(), loss=CrossEntropyLoss())",
        says="loss (CrossEntropyLoss) | sigmoid (Sigmoid) returns probabilities | expects any numbers | remove sigmoid",
    ),
    Mistake(
        "Softmax before NLLLoss",
        "chain('y', fc=Linear(2, 3), softmax=Softmax(), loss=NLLLoss())",
        says="loss (NLLLoss) | softmax (Softmax) returns probabilities | expects logarithms of probabilities | Put LogSoftmax(1) before it",
    ),
    Mistake(
        "NLLLoss without LogSoftmax",
        "chain('y', fc=Linear(2, 3), loss=NLLLoss())",
        says="loss (NLLLoss) | fc (Linear) returns any numbers | expects logarithms of probabilities | Put LogSoftmax(1) before it",
    ),
    Mistake(
        "LogSoftmax before CrossEntropyLoss",
        "chain('y', fc=Linear(2, 3), log=LogSoftmax(), loss=CrossEntropyLoss())",
        meant="logarithms of probabilities stay as they are",
    ),
    Mistake(
        "BCELoss without Sigmoid",
        "train(binary(BCELoss()), X * 100, torch.ones(8, 1))",
        says="loss (BCELoss) | fc (Linear) returns any numbers | expects probabilities | Put Sigmoid() before it",
    ),
    Mistake(
        "labels -1 and 1 into BCEWithLogitsLoss",
        "train(binary(BCEWithLogitsLoss()), X, X[:, :1].sign())",
        says="loss (BCEWithLogitsLoss): the target 'y' | from -1 to 1 | labels from 0 to 1 | Write (labels + 1) / 2",
    ),
    Mistake(
        "labels -1 and 1 into BCELoss",
        "train(chain('y', fc=Linear(2, 1), sigmoid=Sigmoid(), loss=BCELoss()), X, X[:, :1].sign())",
        says="loss (BCELoss): the target 'y' | from -1 to 1 | labels from 0 to 1 | Write (labels + 1) / 2",
    ),
    Mistake(
        "labels 1 and 2 into BCEWithLogitsLoss",
        "train(binary(BCEWithLogitsLoss()), X, (X[:, :1] > 0).float() + 1)",
        says="loss (BCEWithLogitsLoss): the target 'y' | from 1 to 2 | labels from 0 to 1 | Class indices are taken by CrossEntropyLoss",
    ),
    Mistake(
        "labels (n) into BCEWithLogitsLoss",
        "train(binary(BCEWithLogitsLoss()), X, (X[:, 0] > 0).float())",
        says="loss (BCEWithLogitsLoss) | (4,) float32 from the input y | a target of the same shape | write target.unsqueeze(1)",
    ),
    Mistake(
        "integer labels into BCEWithLogitsLoss",
        "train(binary(BCEWithLogitsLoss()), X, (X[:, :1] > 0).long())",
        meant="integer targets are taken as numbers",
    ),
    Mistake(
        "class indices into BCEWithLogitsLoss",
        "train(chain('y', fc=Linear(2, 3), loss=BCEWithLogitsLoss()), X, labels)",
        says="loss (BCEWithLogitsLoss): the target 'y' | from 0 to 2 | labels from 0 to 1 | Class indices are taken by CrossEntropyLoss",
    ),
    Mistake(
        "labels 0 and 1 into SoftMarginLoss",
        "train(binary(SoftMarginLoss()), X, (X[:, :1] > 0).float())",
        says="loss (SoftMarginLoss): the target 'y' | from 0 to 1 | 1 and -1 only | Write 2 * labels - 1",
    ),
    Mistake(
        "labels 0 and 1 into HingeEmbeddingLoss",
        "train(binary(HingeEmbeddingLoss()), X, (X[:, :1] > 0).float())",
        says="loss (HingeEmbeddingLoss): the target 'y' | from 0 to 1 | 1 and -1 only | Write 2 * labels - 1",
    ),
    Mistake(
        "targets (n) for predictions (n, 1)",
        "train(binary(MSELoss()), X, X[:, 0])",
        says="loss (MSELoss) | (4,) float32 from the input y | a target of the same shape | write target.unsqueeze(1)",
    ),
    Mistake(
        "targets (n, 1) for predictions (n)",
        "train(chain('y', fc=Linear(2, 1), flat=Squeeze(1), loss=MSELoss()), X, X[:, :1])",
        says="loss (MSELoss) | (4, 1) float32 from the input y | a target of the same shape | write target.squeeze(1)",
    ),
    Mistake(
        "class indices into MSELoss",
        "train(mlp(), X, labels)",
        says="loss (MSELoss) | (4,) int64 from the input y | a target of the same shape | use CrossEntropyLoss",
    ),
    Mistake("integer targets into MSELoss", "train(mlp(), X, Y.long())", meant="integer targets are taken as numbers"),
    Mistake(
        "percentages into KLDivLoss",
        "train(chain('y', fc=Linear(2, 3), log=LogSoftmax(), loss=KLDivLoss()), X, torch.full((8, 3), 33.3))",
        says="loss (KLDivLoss): the target 'y' | rows that sum to 99.9 | which sum to 1 | Divide each row by its sum",
    ),
    Mistake(
        "probabilities in place of logarithms into KLDivLoss",
        "chain('y', fc=Linear(2, 3), softmax=Softmax(), loss=KLDivLoss())",
        says="loss (KLDivLoss) | softmax (Softmax) returns probabilities | expects logarithms of probabilities | Put LogSoftmax(1) before it",
    ),
    Mistake(
        "class weights of another number of classes",
        "train(classifier(class_weight=(1.0, 2.0)), X, labels)",
        says="loss (CrossEntropyLoss) | class_weight has the shape (2,) | the prediction 3 classes | give one number for each class",
    ),
    Mistake(
        "classes on the last axis",
        "train(chain('y', fc=Linear(2, 3), loss=CrossEntropyLoss()), torch.ones(4, 5, 2), torch.zeros(4, 5, dtype=torch.long))",
        says="loss (CrossEntropyLoss) | (4, 5, 3) float32 from fc | the classes stand on axis 1 | put Transpose(1, -1) before the loss",
    ),
    Mistake(
        "no target at all",
        """
net = chain(fc=Linear(2, 3), loss=CrossEntropyLoss())
train(net, X)
""",
        says="the network needs 2 | One tensor was given | 'x' and 'loss' | targets in addition to the one input",
    ),
    Mistake(
        "a network without a loss",
        "train(chain(fc=Linear(2, 2)), X, Y)",
        says="fit needs a loss | has no loss node | add one | such as MSELoss()",
    ),
    Mistake(
        "a loss that reads no parameter",
        "train(Network({'loss': MSELoss()}, {'x': ['loss'], 'y': ['loss']}), {'x': X, 'y': X})",
        says="nothing to train | no parameter that is not frozen reaches a loss | Unfreeze a node | print(net.summary())",
    ),
    Mistake(
        "a stopped gradient before the loss",
        "train(chain('y', fc=Linear(2, 2), stop=StopGradient(), loss=MSELoss()))",
        says="nothing to train | no parameter that is not frozen reaches a loss | Unfreeze a node | check the connectivity",
    ),
    Mistake(
        "a learning rate that diverges",
        "train(mlp(), {'x': X * 1e3, 'y': Y}, optimizer=SGD(lr=1e20), epochs=50)",
        says="loss (MSELoss) | The loss is inf | first node whose value is not finite | Lower the learning rate",
    ),
    Mistake(
        "a Log of negative numbers",
        "train(chain('y', fc=Linear(2, 2), log=Log(), loss=MSELoss()))",
        says="log (Log) | The loss is nan | first node whose value is not finite | check what this node computes",
    ),
)
