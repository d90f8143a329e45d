"""fit_all: training many networks side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

from graphdl.arguments import new_generator
from graphdl.calls import explained
from graphdl.data.checks import whole_number
from graphdl.errors import GraphDLError, MissingInputError, SettingError, UnreachableError, did_you_mean
from graphdl.network import Network
from graphdl.optim import Optimizer, Penalty
from graphdl.search.groups import grouped
from graphdl.search.halving import Halving
from graphdl.search.member import Member, Recipe
from graphdl.search.memory import state_of_optimizer
from graphdl.search.ranking import choose_figure
from graphdl.search.result import Sweep
from graphdl.search.run import Run
from graphdl.search.shared import SharedData, check_rows, per_member, rows_per_member
from graphdl.search.space import described
from graphdl.search.training import Backend, Options, Training
from graphdl.training import Metric, evaluate
from graphdl.training.hooks import Callbacks
from graphdl.training.step import is_custom
from graphdl.training.threads import check_threads


@explained("fit_all(nets, inputs, targets, optimizers=Adam(lr=1e-3), epochs=10, batch_size=50)")
def fit_all(
    nets: Iterable[Network],
    inputs: Any,
    targets: Any = None,
    *,
    optimizers: Optimizer | Sequence[Optimizer],
    epochs: int,
    batch_size: int,
    rows: Sequence[Any] | None = None,
    validation: Any = None,
    validation_rows: Sequence[Any] | None = None,
    metrics: Sequence[str | Metric] = (),
    seeds: int | Sequence[int | None] | None = None,
    callbacks: Sequence[Any] = (),
    shuffle: bool = True,
    threads: int | None = None,
    compile: bool = True,  # noqa: A002
    clip_norm: float | None = None,
    clip_value: float | None = None,
    accumulate: int = 1,
    penalties: Sequence[Any] = (),
    backend: Backend | None = None,
    halving: Halving | None = None,
    checkpoint: str | Path | None = None,
    memory: int | None = None,
    by: str | None = None,
    maximise: bool | None = None,
    progress: bool = True,
) -> Sweep:
    """Train many networks on the same data, each exactly as fit would train it alone; return their results.

    nets             the networks, which may differ in structure; they are trained in place
    inputs, targets  {name: tensor or array}, or a tensor with its targets. They are held once; members gather rows
    optimizers       an optimizer, or a list of one for each network
    rows             for each network, the indices of the rows on which it is trained, such as a fold or a bootstrap
                     sample; None takes all
    validation       data in the same forms, or a pair (inputs, targets): evaluated after every epoch
    validation_rows  for each network, the indices of the rows on which it is evaluated after every epoch instead
    seeds            of the order of the data, one for all networks, or a list; None takes each network's generator
    callbacks        such as [EarlyStopping(patience=5)]; every network gets its own copy
    threads          how many threads or processes train networks; by default all cores. Small steps use one each
    compile          compiles the steps of networks of equal structure once, if they are many enough to gain by it
    penalties        terms added to the loss, such as (L2(1e-3),), or a list with those of each network
    backend          "compiled" compiles even if there are few steps; "operators" never does; "processes" trains each
                     network in a process of joblib, or on a cluster by `with joblib.parallel_config(backend="dask")`
    halving          Halving(factor=3, first=5) drops networks that perform poorly early
    checkpoint       a folder in which networks are stored when they end, and every ten seconds; a sweep that is run
                     again with it continues where it stopped, even if it was killed
    memory           the number of bytes that data, networks and training may take, as net.cost plans them: fewer
                     networks are trained at once
    by, maximise     the figure by which networks are compared: by default the last metric of the validation data, the
                     validation loss, or the loss; maximise is True for accuracy by default

    The other arguments are those of fit. A network whose loss is not finite, or in whose training an operator, a metric
    or a callback raises an error, keeps the parameters of the previous epoch, and the others continue. If that is so of
    all networks, the first error is raised, unless a loss was not finite. Callbacks run in the thread that calls
    fit_all. Metrics and operators may run in others: while some networks train, the steps of others are tried and
    compiled. Ctrl-C ends training and returns the results so far: those of each network up to the end of an epoch,
    which may be a thousand steps ago. Raises SettingError, ShapeError and the other errors of fit before training.
    """
    members = make_members(nets, optimizers, rows, validation_rows, seeds, penalties)
    recipe = Recipe(
        epochs, batch_size, shuffle, metrics, callbacks, threads, compile, clip_norm, clip_value, accumulate
    )
    options = Options(backend, halving, checkpoint, memory, by, maximise, progress)
    return train(members, recipe, options, SharedData("inputs", inputs, targets), validation)


def make_members(
    nets: Iterable[Network],
    optimizers: Any,
    rows: Any = None,
    validation_rows: Any = None,
    seeds: Any = None,
    penalties: Any = (),
) -> list[Member]:
    """The members, from what each network is given. Raises SettingError."""
    if isinstance(nets, Network) or not isinstance(nets, Iterable):
        raise SettingError(f"nets must be a list of networks, not {nets!r:.200}.")
    listed = list(nets)
    for k, net in enumerate(listed):
        if not isinstance(net, Network):
            raise SettingError(f"nets[{k}] must be a Network, not {net!r:.200}.")
    count = len(listed)
    if not count:
        raise SettingError("nets is empty: there is nothing to train.")
    given = zip(
        listed,
        per_member("optimizers", optimizers, count, Optimizer),
        per_member("seeds", seeds, count, int),
        rows_per_member("rows", rows, count),
        rows_per_member("validation_rows", validation_rows, count),
        _penalties_per_member(penalties, count),
        strict=True,
    )
    return [
        Member(k, net, optimizer, seed, chosen, held, terms, candidate=k)
        for k, (net, optimizer, seed, chosen, held, terms) in enumerate(given)
    ]


def _penalties_per_member(given: Any, count: int) -> list[tuple[Penalty, ...]]:
    """The penalties of each network. Raises SettingError."""
    if not isinstance(given, (tuple, list)):
        raise SettingError(f"penalties must be a tuple such as (L2(1e-3),), or a list of tuples, not {given!r:.200}.")
    if all(isinstance(each, Penalty) for each in given):
        return [tuple(given)] * count
    listed = per_member("penalties", list(given), count, Penalty)
    return [check_penalties(f"penalties[{k}]", each) for k, each in enumerate(listed)]


def check_penalties(what: str, given: Any) -> tuple[Penalty, ...]:
    """Penalties as a tuple. Raises SettingError for anything else."""
    if not isinstance(given, (tuple, list)) or not all(isinstance(each, Penalty) for each in given):
        raise SettingError(f"{what} must be a tuple of penalties such as (L2(1e-3),), not {given!r:.200}.")
    return tuple(given)


def train(members: Sequence[Member], recipe: Recipe, options: Options, data: SharedData, validation: Any) -> Sweep:
    """Check everything, train all members, and collect the results."""
    held = None if validation is None else SharedData.validation(validation)
    check_options(recipe, options)
    Callbacks(recipe.callbacks)  # an error for a callback that is not in a list
    if held is not None and any(member.validation_rows is not None for member in members):
        raise SettingError("validation and validation_rows cannot be combined: remove one of them.")
    groups = check_members(members, recipe, data)
    first = Run(members[0], recipe, data, held)
    first.callbacks.check(first.names)
    for name in first.names:
        if any(name in member.setting for member in members):
            raise SettingError(f"over: {name!r} is a figure of the results: rename the setting.")
    figure = choose_figure(first.names, options.by, options.maximise)
    training = Training(members, groups, recipe, options, data, held, figure)
    training()
    return Sweep(members, figure, complete=not training.interrupted)


def check_options(recipe: Recipe, options: Options) -> None:
    """Raise SettingError for arguments that are not what they must be."""
    check_threads(recipe.threads)
    for name, value in (("shuffle", recipe.shuffle), ("compile", recipe.compile), ("progress", options.progress)):
        if not isinstance(value, bool):
            raise SettingError(f"{name} must be True or False, not {value!r:.200}.")
    whole_number("epochs", recipe.epochs, least=1)
    whole_number("batch_size", recipe.batch_size, least=1)
    known = get_args(Backend)
    if options.backend is not None and options.backend not in known:
        meant = did_you_mean(options.backend, known)
        raise SettingError(f"backend must be {', '.join(map(repr, known))} or None, not {options.backend!r}.{meant}")
    if options.backend == "compiled" and not recipe.compile:
        raise SettingError('backend="compiled" and compile=False contradict each other: remove one of them.')
    if options.halving is not None and not isinstance(options.halving, Halving):
        raise SettingError(f"halving must be Halving(factor=3, first=5), or None, not {options.halving!r:.200}.")
    if options.checkpoint is not None and not isinstance(options.checkpoint, (str, Path)):
        raise SettingError(f"checkpoint must be the path of a folder, not {options.checkpoint!r:.200}.")


def check_members(members: Sequence[Member], recipe: Recipe, data: SharedData) -> list[list[Member]]:
    """Raise an error that says which member cannot be trained, and why; return the members by structure."""
    for member in members:
        with naming(member):
            _check_member(member, data)
    _check_none_share(members)
    groups = grouped(members, recipe, data)
    for group in groups:
        with naming(group[0]):
            _check_structure(group[0], data)
    return groups


@contextmanager
def naming(member: Member) -> Iterator[None]:
    """A context in which errors name the member."""
    try:
        yield
    except GraphDLError as error:
        where = f"the setting {{{described(member.setting)}}}" if member.setting else f"network {member.number}"
        raise type(error)(f"{where}: {error}") from error


def _check_member(member: Member, data: SharedData) -> None:
    if not isinstance(member.optimizer, Optimizer):
        raise SettingError(
            f"the optimizer must be one of graphdl.optim such as Adam(lr=1e-3), not {member.optimizer!r:.200}."
        )
    if not member.net.losses:
        raise MissingInputError("the network has no loss node: add one, such as MSELoss().")
    held = data.rows(member.net)
    check_rows("rows", member.rows, held)
    check_rows("validation_rows", member.validation_rows, held)
    member.optimizer.bind(member.net)
    if member.optimizer.joint or is_custom(member.optimizer):
        with suppress(RuntimeError):  # a custom optimizer may read numbers, which tensors without data do not have
            state_of_optimizer(member)
    if member.seed is not None:
        new_generator(member.seed)


def _check_none_share(members: Sequence[Member]) -> None:
    """Raise SettingError if networks hold the same tensors, as a network and its parts do."""
    owners: dict[int, int] = {}
    for member in members:
        for store in member.net.engine.store.family:
            other = owners.setdefault(id(store), member.number)
            if other != member.number:
                raise SettingError(
                    f"network {member.number} shares tensors with network {other}: they cannot be trained separately. "
                    "Make a copy, copy.deepcopy(net)."
                )


def _check_structure(member: Member, data: SharedData) -> None:
    net, rows = member.net, slice(2) if member.rows is None else member.rows[:2]
    evaluate(net, {name: tensor[rows] for name, tensor in data.named(net).items()})
    if not net.engine.backward_plan(net.engine.plan(net.losses), net.losses).owners:
        raise UnreachableError("there is nothing to train: no parameter that is not frozen reaches a loss.")
