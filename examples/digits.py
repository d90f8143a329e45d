"""Handwritten digits, with sizes inferred from the graph. Run: python examples/digits.py."""

from graphdl import CrossEntropyLoss, EarlyStopping, Linear, Network, ReLU, evaluate, fit
from graphdl.data import digits, split
from graphdl.initializers import KaimingNormal
from graphdl.optim import AdamW

operators = {
    "hidden": Linear(out_features=64, weight=KaimingNormal()),
    "relu": ReLU(),
    "logits": Linear(out_features=10),
    "loss": CrossEntropyLoss(label_smoothing=0.05),
}
connectivity = {
    "pixels": ["hidden"],
    "hidden": ["relu"],
    "relu": ["logits"],
    "logits": ["loss"],
    "digit": ["loss"],
}


def main(epochs: int = 60) -> float:
    net = Network(operators, connectivity, seed=0)
    x, labels = digits()
    training, validation, test = split(x, labels, fractions=(0.7, 0.1, 0.2), seed=0, stratify=labels)
    history = fit(
        net,
        *training,
        optimizer=AdamW(lr=2e-3),
        epochs=epochs,
        batch_size=32,
        validation=validation,
        metrics=("accuracy",),
        callbacks=[EarlyStopping("validation_accuracy", patience=15, maximise=True)],
    )
    accuracy = evaluate(net, *test, metrics=("accuracy",))["accuracy"]
    print(f"{history.epochs} epochs, test accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
