"""PyTorch's own samples, in a process of their own: its table of samples locks flags of torch.backends."""

from __future__ import annotations

import re
import subprocess
import sys

SAMPLES, ERRORS = 1612, 84
"""How many pass with the version of torch in constraints.txt."""

MODULES = """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AvgPool1d AvgPool2d
    AvgPool3d BCELoss BCEWithLogitsLoss BatchNorm1d BatchNorm2d BatchNorm3d Bilinear CELU CTCLoss CircularPad1d
    CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d Conv1d Conv2d Conv3d ConvTranspose1d
    ConvTranspose2d ConvTranspose3d CosineEmbeddingLoss CrossEntropyLoss ELU Embedding GELU GLU GRU GRUCell
    GaussianNLLLoss GroupNorm Hardshrink Hardswish Hardtanh HingeEmbeddingLoss HuberLoss InstanceNorm1d InstanceNorm2d
    InstanceNorm3d KLDivLoss L1Loss LPPool1d LPPool2d LSTM LSTMCell LayerNorm LazyConv1d LazyConv2d LazyConv3d
    LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d LeakyReLU Linear LocalResponseNorm LogSigmoid LogSoftmax
    MSELoss MarginRankingLoss MaxPool1d MaxPool2d MaxPool3d Mish MultiLabelMarginLoss MultiLabelSoftMarginLoss
    MultiMarginLoss MultiheadAttention NLLLoss PReLU PoissonNLLLoss RMSNorm RNN RNNCell ReLU ReLU6 ReflectionPad1d
    ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d SELU SiLU Sigmoid SmoothL1Loss
    SoftMarginLoss Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold
    TransformerDecoderLayer TransformerEncoderLayer ZeroPad1d ZeroPad2d ZeroPad3d
"""
"""Those of torch's modules that have samples and are compared: all that graphdl has too."""


def test_every_sample_passes():
    made = subprocess.run([sys.executable, "-m", "tests.torch_samples"], capture_output=True, text=True, timeout=600)
    print(made.stdout)
    assert made.returncode == 0, made.stdout + made.stderr
    passed = re.search(r"^(\d+) samples and (\d+) error inputs passed, 0 failed", made.stdout, re.MULTILINE)
    assert passed, made.stdout
    assert sorted(re.findall(r"^(\w+): [1-9]\d* samples, ", made.stdout, re.MULTILINE)) == MODULES.split()
    assert (int(passed[1]), int(passed[2])) == (SAMPLES, ERRORS)
