"""A character LSTM of 2 layers of 256 units on Tiny Shakespeare, trained by truncated backpropagation through time.

Measured with seed 0: 1.536 nats, in 244 seconds of processor time.
"""

from dataclasses import dataclass

from pydl import manual_seed, optim
from pydl.data import BPTTBatches
from pydl.models import RNNLanguageModel, detach_state
from pydl.nn import functional as F
from pydl.recipes.language.shakespeare import characters, draw_curve, log_loss, show_sample, update
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="shakespeare-lstm",
    ids=("R08",),
    title="A character LSTM writes Shakespeare",
    source="Karpathy 2015, The unreasonable effectiveness of recurrent neural networks",
    time="t2",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    hidden: int = setting(256, "units of each layer", least=1)
    layers: int = setting(2, "recurrent layers", least=1)
    embedding: int = setting(64, "size of the characters' vectors", least=1)
    dropout: float = setting(0.1, "probability, between layers and before the last", most=1)
    epochs: int = setting(4, "passes over the training part", least=1)
    batch: int = setting(32, "streams of text side by side", least=1)
    bptt: int = setting(64, "characters that gradients go back", least=1)
    lr: float = setting(4e-3, "largest step size of Adam")
    clip: float = setting(1.0, "largest norm of the gradient")
    goal: float = setting(1.6, "nats per character to reach on the validation part")
    seed: int = setting(0, "of weights, dropout and the sample")


def run(settings: Settings, report: Report) -> None:
    """Trains, and checks the validation loss: at most 1.60 nats per character. Prints a sample."""
    s = settings
    manual_seed(s.seed)
    tokenizer, train, valid = characters()
    model = RNNLanguageModel(len(tokenizer), s.embedding, s.hidden, s.layers, dropout=s.dropout)
    batches, checks = BPTTBatches(train, s.batch, s.bptt), BPTTBatches(valid, 10, 256)
    optimizer = optim.Adam(model.parameters(), s.lr)
    total = s.epochs * len(batches)
    schedule = optim.lr_scheduler.WarmupCosineLR(optimizer, total // 50, total, s.lr / 100)
    curve = []
    for epoch in range(s.epochs):
        state, losses = None, 0.0
        for x, y in batches:
            logits, state = model(x, state)
            state = detach_state(state)  # the state goes on, its gradient ends here
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            losses += update(loss, model, optimizer, schedule, s.clip)
        score = log_loss(model, checks, carry_state=True)
        curve.append(((epoch + 1) * len(batches), losses / len(batches), score))
        report.say(f"epoch {epoch + 1}  training loss {curve[-1][1]:.4f}  validation loss {score:.4f}")
    show_sample(model, tokenizer, report, s.seed)
    report.check("validation loss, nats per character", score, at_most=s.goal)
    report.checkpoint("model", model.state_dict())
    report.figure("losses", lambda figure: draw_curve(figure, curve))
