"""A small GPT of characters on Tiny Shakespeare: 4 layers of 128, 4 heads, looking back 128 characters.

Measured with seed 0: 1.709 nats, in 232 seconds of processor time.
"""

from dataclasses import dataclass

from pydl import manual_seed, optim
from pydl.data import DataLoader, RandomSampler, TokenWindows
from pydl.models import GPT, GPTConfig
from pydl.nn import functional as F
from pydl.recipes.language.shakespeare import characters, draw_curve, log_loss, show_sample, update
from pydl.recipes.recipe import Recipe, Report, setting

RECIPE = Recipe(
    name="shakespeare-gpt",
    ids=("N12",),
    title="A small GPT writes Shakespeare",
    source="Radford et al. 2019, Language models are unsupervised multitask learners; Karpathy 2022, nanoGPT",
    time="t2",
)


@dataclass
class Settings:
    """What can be set on the command line."""

    layers: int = setting(4, "transformer layers", least=1)
    heads: int = setting(4, "of attention in each", least=1)
    width: int = setting(128, "of the layers", least=1)
    context: int = setting(128, "characters that it looks back", least=1)
    dropout: float = setting(0.0, "probability", most=1)
    steps: int = setting(2500, "of AdamW", least=2)
    batch: int = setting(8, "windows in a step", least=1)
    lr: float = setting(3e-3, "largest step size")
    decay: float = setting(0.1, "weight decay of matrices")
    clip: float = setting(1.0, "largest norm of the gradient")
    goal: float = setting(1.75, "nats per character to reach on the validation part")
    seed: int = setting(0, "of weights, windows and the sample")


def run(settings: Settings, report: Report) -> None:
    """Trains, and checks the validation loss: at most 1.75 nats per character. Prints a sample."""
    s = settings
    manual_seed(s.seed)
    tokenizer, train, valid = characters()
    model = GPT(GPTConfig(
        vocab_size=len(tokenizer), block_size=s.context, n_layer=s.layers, n_head=s.heads, n_embd=s.width,
        dropout=s.dropout,
    ))  # fmt: skip
    windows = TokenWindows(train, s.context, stride=1)
    loader = DataLoader(windows, s.batch, sampler=RandomSampler(windows, True, s.steps * s.batch))
    checks = DataLoader(TokenWindows(valid, s.context), 32)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": s.decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = optim.AdamW(groups, s.lr, betas=(0.9, 0.99))
    schedule = optim.lr_scheduler.WarmupCosineLR(optimizer, s.steps // 20, s.steps, s.lr / 10)
    curve, losses = [], []
    for step, (x, y) in enumerate(loader, 1):
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        losses.append(update(loss, model, optimizer, schedule, s.clip))
        if step % max(s.steps // 5, 1) == 0 or step == s.steps:
            curve.append((step, sum(losses) / len(losses), log_loss(model, checks)))
            losses = []
            report.say(f"step {step}  training loss {curve[-1][1]:.4f}  validation loss {curve[-1][2]:.4f}")
    show_sample(model, tokenizer, report, s.seed)
    report.check("validation loss, nats per character", curve[-1][2], at_most=s.goal)
    report.checkpoint("model", model.state_dict())
    report.figure("losses", lambda figure: draw_curve(figure, curve))
