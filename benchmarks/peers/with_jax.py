"""JAX: a jitted step called from Python, and a whole epoch as one jitted scan. Adam is written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from benchmarks.perceptron import BATCH, LR, ROWS, Problem, Train, epoch_means, first_parameters

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
State = tuple[Any, Any, Any, Any]  # parameters, first and second moments, count


def jax_steps(problem: Problem) -> Train:
    """One call a step, in which the batch is gathered; the loss is brought to Python at once."""
    import jax

    x, y = _data(problem)
    step = jax.jit(_step(x, y), donate_argnums=0)
    state, draw = _start(), _orders(problem)

    def train(epochs: int) -> list[float]:
        nonlocal state
        losses = []
        for _ in range(epochs):
            for rows in draw():
                state, loss = step(state, rows)
                losses.append(float(loss))
        return epoch_means(losses)

    return train


def jax_scan(problem: Problem) -> Train:
    """One call an epoch; its losses are brought to Python together."""
    import jax

    x, y = _data(problem)
    step = _step(x, y)
    epoch = jax.jit(lambda state, order: jax.lax.scan(step, state, order), donate_argnums=0)
    state, draw = _start(), _orders(problem)

    def train(epochs: int) -> list[float]:
        nonlocal state
        losses: list[float] = []
        for _ in range(epochs):
            state, found = epoch(state, draw())
            losses += numpy.asarray(found).tolist()
        return epoch_means(losses)

    return train


def jax_members(problem: Problem, rates: Sequence[float]) -> Callable[[int], list[list[float]]]:
    """Members with a learning rate each, mapped over; one call an epoch. Returns the mean losses of each member."""
    import jax
    import jax.numpy as jnp

    x, y = _data(problem)
    step, draw, lr = _step(x, y), _orders(problem), jnp.asarray(rates)

    def member(state: State, rate: Any, order: Any) -> tuple[State, Any]:
        return jax.lax.scan(lambda held, rows: step(held, rows, rate), state, order)

    epoch = jax.jit(jax.vmap(member), donate_argnums=0)
    start = jax.tree.map(lambda each: jnp.broadcast_to(each, (len(rates), *each.shape)), _start())

    def train(epochs: int) -> list[list[float]]:
        state, losses = jax.tree.map(jnp.copy, start), []
        for _ in range(epochs):
            state, found = epoch(state, lr, numpy.stack([draw() for _ in rates]))
            losses.append(numpy.asarray(found).mean(1))
        return numpy.stack(losses, 1).tolist()

    return train


def _data(problem: Problem) -> tuple[Any, Any]:
    import jax.numpy as jnp

    return jnp.asarray(problem.x.numpy()), jnp.asarray(problem.y.numpy())


def _orders(problem: Problem) -> Callable[[], numpy.ndarray]:
    """Draw an epoch's rows, a line a batch."""
    generator = numpy.random.default_rng(0)
    rows = numpy.arange(ROWS, dtype=numpy.int32)
    return lambda: (generator.permutation(rows) if problem.shuffle else rows).reshape(-1, BATCH)


def _start() -> State:
    import jax
    import jax.numpy as jnp

    def zeros() -> Any:
        return jax.tree.map(jnp.zeros_like, parameters)

    tensors = [jnp.asarray(tensor.numpy()) for tensor in first_parameters()]
    parameters = [(w.T.copy(), b) for w, b in zip(tensors[::2], tensors[1::2], strict=True)]
    return parameters, zeros(), zeros(), jnp.zeros(())


def _step(x: Any, y: Any) -> Callable[..., tuple[State, Any]]:
    """The step of a state on some rows of the data."""
    import jax
    import jax.numpy as jnp

    def loss_of(parameters: Any, rows: Any) -> Any:
        *hidden, (w, b) = parameters
        value = x[rows]
        for weight, bias in hidden:
            value = jax.nn.relu(value @ weight + bias)
        return jnp.mean((jnp.tanh(value @ w + b) - y[rows]) ** 2)

    def step(state: State, rows: Any, lr: Any = LR) -> tuple[State, Any]:
        parameters, m, v, count = state
        loss, gradients = jax.value_and_grad(loss_of)(parameters, rows)
        count = count + 1
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradients)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradients)
        rate, root = lr / (1 - BETA1**count), 1 / jnp.sqrt(1 - BETA2**count)
        parameters = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) * root + EPS), parameters, m, v)
        return (parameters, m, v, count), loss

    return step
