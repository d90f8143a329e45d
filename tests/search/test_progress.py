"""The progress bar of a sweep."""

from graphdl import Linear, MSELoss, Network
from graphdl.optim import Adam
from graphdl.search.member import Member
from graphdl.search.progress import SweepProgress
from graphdl.search.ranking import Figure


def member(number, *losses):
    net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"fc": ["loss"]}, seed=0)
    made = Member(number, net, Adam(), setting={"lr": 0.1 * number})
    for loss in losses:
        made.history.append({"loss": loss})
    made.kept = len(losses)
    return made


def test_members_epochs_and_the_best_figure_are_shown(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with SweepProgress(3, 5, Figure("loss", maximise=False), shown=True) as bar:
        one, two = member(1, 0.5, 0.25), member(2, 0.75)
        bar.advance(one, 2)
        two.state = "stopped"
        bar.advance(two, 1)
    shown = capsys.readouterr().err
    assert "1 of 3 members" in shown
    assert "7/15" in shown  # those that are not made are counted
    assert "best loss 0.25 (lr 0.1)" in shown


def test_nothing_is_shown_elsewhere(capsys):
    with SweepProgress(1, 1, Figure("loss", maximise=False), shown=True) as bar:
        bar.advance(member(1, 0.5), 1)
    assert capsys.readouterr().err == ""
