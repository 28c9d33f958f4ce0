"""Next year's sunspots from the years before: RNN, LSTM and TCN beside a linear autoregression.

Trained on 1700 to 1920, tested on 1921 to 2008. Numbers are divided by 100. The linear model is the one to beat: the
series is short, noisy and close to periodic. Measured: errors of 0.90 (RNN), 1.13 (LSTM) and 0.98 (TCN) times its own;
the LSTM, which has most parameters, fits 209 examples less well.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import pydl
from pydl import nn, optim
from pydl.data import Sunspots
from pydl.nn import functional as F
from pydl.recipes.recipe import Recipe, Report, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE = Recipe(
    name="sunspots",
    ids=("R01",),
    title="Forecast of sunspots: RNN, LSTM and TCN beside linear autoregression",
    source="Yule 1927, the first autoregression, of this series; Weigend, Huberman & Rumelhart 1990",
    time="t1",
)
SPLIT = 221  # years until 1920


@dataclass
class Settings:
    """What can be set on the command line."""

    lags: int = setting(12, "years that are read", least=2)
    units: int = setting(16, "of each network", least=1)
    epochs: int = setting(300, "passes over the training years", least=1)
    lr: float = setting(5e-3, "step size of Adam")
    seed: int = setting(0, "of the weights")


class Forecast(nn.Module):
    """The last year read, plus a change that a network predicts."""

    def __init__(self, kind: str, units: int) -> None:
        super().__init__()
        self.layer = nn.TCN(1, [units] * 2, 3, convs=1) if kind == "TCN" else getattr(nn, kind)(1, units)
        self.head = nn.Linear(units, 1)

    def forward(self, x: pydl.Tensor) -> pydl.Tensor:
        """(b, lags) -> (b,)."""
        if isinstance(self.layer, nn.TCN):
            last = self.layer(x.unsqueeze(1))[..., -1]
        else:
            last = self.layer(x.transpose(0, 1).unsqueeze(-1))[0][-1]
        change: pydl.Tensor = self.head(last)
        return x[:, -1] + change.squeeze(-1)


def run(settings: Settings, report: Report) -> None:
    """Fits all models on the early years and compares root mean squared errors on the late ones."""
    series = Sunspots().series / 100
    windows = np.lib.stride_tricks.sliding_window_view(series, settings.lags + 1)
    x, y = windows[:, :-1], windows[:, -1]
    cut = SPLIT - settings.lags
    last_year = _rmse(x[cut:, -1], y[cut:])
    design = np.column_stack([x, np.ones(len(x))])
    linear = design[cut:] @ np.linalg.lstsq(design[:cut], y[:cut], rcond=None)[0]
    report.say(f"last year's number: {last_year:.4f}")
    base = _rmse(linear, y[cut:])
    report.check("error of the linear autoregression over that of last year's number", base / last_year, at_most=0.75)
    forecasts = {"linear": linear}
    for kind in ("RNN", "LSTM", "TCN"):
        pydl.manual_seed(settings.seed)
        forecasts[kind] = _fit(Forecast(kind, settings.units), x, y, cut, settings)
        error = _rmse(forecasts[kind], y[cut:])
        report.check(f"error of the {kind} over that of last year's number", error / last_year, at_most=0.75)
        if kind != "LSTM":
            report.check(f"error of the {kind} over that of the linear autoregression", error / base, at_most=1.1)
    report.figure("forecast", lambda figure: _draw(figure, y[cut:], forecasts))


def _rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def _fit(model: nn.Module, x: np.ndarray, y: np.ndarray, cut: int, settings: Settings) -> np.ndarray:
    inputs, targets = (pydl.tensor(np.array(a), dtype=pydl.float32) for a in (x, y))
    optimizer = optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.1)
    for _ in range(settings.epochs):
        loss = F.mse_loss(model(inputs[:cut]), targets[:cut])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with pydl.no_grad():
        return model(inputs[cut:]).numpy()  # type: ignore[no-any-return]


def _draw(figure: "Figure", truth: np.ndarray, forecasts: dict[str, np.ndarray]) -> None:
    axes = figure.add_subplot()
    years = 2009 - len(truth) + np.arange(len(truth))
    axes.plot(years, 100 * truth, color="black", label="sunspots")
    for name, values in forecasts.items():
        axes.plot(years, 100 * values, linewidth=0.8, label=name)
    axes.set(xlabel="year", ylabel="sunspots")
    axes.legend()
