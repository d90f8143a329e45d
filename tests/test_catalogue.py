"""The list of operators in docs/operators.md is that of the classes, and none of the catalogue is missing."""

from __future__ import annotations

import graphdl
from docs import catalogue
from graphdl import Item, Operator, operators

CATALOGUE = {
    "convolution": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d",
    "pooling and size": """MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d AdaptiveAvgPool1d
        AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d LPPool2d Upsample PixelShuffle
        PixelUnshuffle""",
    "normalization": """BatchNorm1d BatchNorm2d BatchNorm3d LayerNorm GroupNorm InstanceNorm1d InstanceNorm2d
        InstanceNorm3d RMSNorm LocalResponseNorm""",
    "activations": """ReLU LeakyReLU Sigmoid Tanh Softmax LogSoftmax ELU CELU SELU GELU SiLU Mish Softplus Softsign
        Hardtanh Hardswish Hardsigmoid Hardshrink Softshrink Tanhshrink ReLU6 PReLU LogSigmoid Threshold GLU Softmin
        Softmax2d""",
    "dropout": "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout GaussianNoise",
    "embedding and bilinear": "Embedding EmbeddingBag Bilinear CosineSimilarity PairwiseDistance",
    "recurrent": "RNN LSTM GRU RNNCell LSTMCell GRUCell",
    "attention": "ScaledDotProductAttention MultiheadAttention SinusoidalPositions RotaryPositions",
    "arithmetic": """Add Multiply Divide Power MatMul Negate Scale Exp Log Sqrt Abs Clamp Maximum Minimum Where
        ReduceMean ReduceSum ReduceMax ReduceMin ReduceLogSumExp Norm Normalize CumSum""",
    "shape": """Flatten Unflatten Reshape Transpose Permute Squeeze Unsqueeze Split Chunk Item Stack Slice Select Gather
        IndexSelect Pad Expand Repeat Roll Flip Cast StopGradient OneHot""",
    "leaves": "Constant Weight",
    "losses": """MSELoss L1Loss CrossEntropyLoss BCEWithLogitsLoss NLLLoss KLDivLoss SmoothL1Loss HuberLoss BCELoss
        SoftMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss MultiLabelMarginLoss HingeEmbeddingLoss
        MarginRankingLoss CosineEmbeddingLoss TripletMarginLoss PoissonNLLLoss GaussianNLLLoss CTCLoss""",
}
BLOCKS = ["Block", "Sequential", "Residual", "TransformerEncoderLayer", "TransformerDecoderLayer"]


def test_every_operator_of_the_catalogue_exists_and_is_documented():
    page = catalogue.PAGE.read_text()
    for kind, names in CATALOGUE.items():
        print(f"{kind}: {', '.join(names.split())}")
        for name in names.split():
            assert issubclass(getattr(operators, name), Operator)
            assert f"\n### {name}\n" in page, name
    assert all(hasattr(graphdl, name) for name in BLOCKS)


def test_every_operator_but_item_has_cases():
    cases = catalogue.cases()
    print({cls.__name__: len(of) for cls, of in cases.items()})
    declared = {cls for classes in catalogue.families().values() for cls in classes}
    assert declared == cases.keys()
    assert [cls for cls, of in cases.items() if not of] == [Item]


def test_the_page_is_that_of_the_classes():
    assert catalogue.PAGE.read_text() == catalogue.page(), "run python -m docs.catalogue"


def test_calls_without_a_compiled_form_are_listed():
    """A change of an operator that loses its compiled form shows in the page."""
    left = [cls.__name__ for cls, cases in catalogue.cases().items() if catalogue.compiled(cases) != "yes"]
    print(f"by calls of torch inside compiled steps: {', '.join(sorted(left))}")
    assert not {"Linear", "ReLU", "GELU", "LayerNorm", "BatchNorm1d", "MSELoss", "CrossEntropyLoss", "Sum"} & set(left)
