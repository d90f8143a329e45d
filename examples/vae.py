"""A variational autoencoder that draws digits. Run: graphdl run vae. It draws into out/.

A test image costs 34 nats, of which 11 are the divergence, after 10 s of training on one core.
"""

import torch

from graphdl import Linear, Loss, MSELoss, Network, Operator, ReLU, Sequential, Sigmoid, fit, register
from graphdl.data import digits, split
from graphdl.optim import Adam, Cosine
from graphdl.plots import plot_images

LATENT = 8
DEVIATION = 0.15  # of a pixel from the image that the decoder draws


@register
class NormalSample(Operator):
    """y = mean + exp(log_variance / 2) noise in training, noise from Normal(0, 1); y = mean in inference."""

    slots = ("mean", "log_variance")
    family = "dropout"

    def draw(self, mean, log_variance, *, generator):
        return torch.empty_like(mean).normal_(generator=generator)

    def forward(self, p, mean, log_variance, *, training, drawn=None):
        if not training:
            return mean, torch.zeros_like(mean)
        spread = (log_variance / 2).exp() * drawn
        return mean + spread, spread

    def backward(self, p, spread, dy):
        return (dy, dy * spread / 2), {}


@register
class NormalDivergence(Loss):
    """KL divergence from Normal(0, 1): (mean² + exp(log_variance) - 1 - log_variance) / 2 of each element."""

    slots = ("mean", "log_variance")

    def forward(self, p, mean, log_variance, *, training):
        variance = log_variance.exp()
        return self.reduce((mean.square() + variance - 1 - log_variance) / 2), (mean, variance)

    def backward(self, p, saved, dy):
        mean, variance = saved
        d = self.share(dy, mean.numel())
        return (mean * d, (variance - 1) * d / 2), {}


operators = {
    "encode": Sequential(fc1=Linear(64, 256), relu1=ReLU(), fc2=Linear(256, 128), relu2=ReLU()),
    "mean": Linear(128, LATENT),
    "log_variance": Linear(128, LATENT),
    "sample": NormalSample(),
    "decode": Sequential(
        fc1=Linear(LATENT, 128), relu1=ReLU(), fc2=Linear(128, 256), relu2=ReLU(), fc3=Linear(256, 64), image=Sigmoid()
    ),
    "reconstruction": MSELoss(weight=64 / (2 * DEVIATION**2)),
    "divergence": NormalDivergence(weight=LATENT),
}
connectivity = {
    "pixels": ["encode", "reconstruction"],
    "encode": ["mean", "log_variance"],
    "mean": ["sample", "divergence"],
    "log_variance": ["sample", "divergence"],
    "sample": ["decode"],
    "decode": ["reconstruction"],
}


def main(epochs: int = 100, folder: str = "out", seed: int = 0) -> float:
    net = Network(operators, connectivity, seed=seed)
    (training,), (test,) = split(digits()[0], fractions=(0.8, 0.2), seed=seed)
    optimizer = Adam(lr=Cosine(2e-3, steps=epochs * -(-len(training) // 64)))
    fit(net, {"pixels": training}, optimizer=optimizer, epochs=epochs, batch_size=64)
    terms = {key: net.operators[key].weight * float(loss) for key, loss in net.forward({"pixels": test}).items()}
    bound = sum(terms.values())
    print(f"{bound:.1f} nats for a test image: {' and '.join(f'{term:.1f} {key}' for key, term in terms.items())}")
    decoder = net.part(inputs=["sample"], outputs=["decode"])
    noise = torch.randn(128, LATENT, generator=torch.Generator().manual_seed(seed))
    plot_images(f"{folder}/samples.png", decoder.predict(noise).view(-1, 8, 8), colours="gray_r")
    net.render(f"{folder}/network.svg", title="A variational autoencoder")
    return bound


if __name__ == "__main__":
    main()
