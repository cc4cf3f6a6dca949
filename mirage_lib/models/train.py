"""One training loop for every method: ``transformers.Trainer``, with its loss delegated to an objective.

SFT, NPO, RMU and the base model's own training all use this loop and hand it their objective as an argument, so
they can be compared. The loop tunes a model on examples by role, and writes the loss at every step to ``loss.jsonl``.
A seed decides before training which examples meet at which step; a run that was killed continues from its last
checkpoint with exactly the same draws.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example
from mirage_lib.models.vlm import VLM, encode, quiet

WHOLE = "whole"  # an empty file that marks a checkpoint as complete


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train."""

    steps: int
    batch: int = 32  # draws of the first role per step
    lr: float = 3e-4
    schedule: str = "constant"  # or "cosine": warm-up over ``warmup`` of the steps, then to zero
    warmup: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 1.0  # largest norm of the gradient
    per_item: tuple[tuple[str, int], ...] = ()  # examples of a role per draw, where not 1
    freeze: tuple[str, ...] = ("vision_tower",)  # parameters whose names contain one of these are not tuned
    only: tuple[str, ...] = ()  # if any: only parameters whose names contain one of these are tuned
    lora_rank: int = 0  # 0 tunes everything that is not frozen
    lora_alpha: int = 16
    accumulate: int = 1  # batches per step; means over tokens are then taken batch by batch
    save_every: int = 100  # steps between checkpoints
    seed: int = 0  # of the draws and of dropout


class Draws(Dataset):
    """Which examples meet at which draw: each role has a seeded order, with every example once before any twice."""

    def __init__(self, examples: Mapping[str, Sequence[Any]], count: int, per_item: Mapping[str, int], seed: int):
        self.examples, self.count, self.order = examples, count, {}
        for salt, (role, rows) in enumerate(examples.items()):
            wanted, chance = count * per_item.get(role, 1), torch.Generator().manual_seed(1000 * seed + salt)
            epochs = -(-wanted // len(rows))
            order = torch.cat([torch.randperm(len(rows), generator=chance) for _ in range(epochs)])[:wanted]
            self.order[role] = order.view(count, -1).tolist()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, list[Any]]:
        return {role: [rows[i] for i in self.order[role][index]] for role, rows in self.examples.items()}


@dataclass
class Collate:
    """Turns draws into a batch of encoded parts by role, each with its stored reference."""

    vlm: VLM
    reference: Mapping[str, Mapping[str, Tensor]] | None = None  # example id -> {"logp": …, "states": …}

    def __call__(self, draws: Sequence[Mapping[str, Sequence[Example]]]) -> dict[str, dict[str, Any]]:
        batch = {}
        for role in draws[0]:
            rows = [example for draw in draws for example in draw[role]]
            batch[role] = encode(self.vlm, rows)
            if self.reference is not None:
                batch[role]["reference"] = self._stack(rows, batch[role]["labels"].shape[1])
        return batch

    def _stack(self, rows: Sequence[Example], answers: int) -> dict[str, Tensor]:
        assert self.reference is not None
        stored = [self.reference[example.id] for example in rows]
        stacked = {"logp": torch.stack([row["logp"] for row in stored])}
        if "states" in stored[0]:
            states = [nn.functional.pad(row["states"], (0, 0, 0, answers - len(row["states"]))) for row in stored]
            stacked["states"] = torch.stack(states)
        return stacked


class ObjectiveTrainer(Trainer):
    """A Trainer that takes its loss from an objective and its batches from draws made beforehand."""

    def __init__(self, *args: Any, objective: Callable, log: Path, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.objective, self.log_path = objective, log
        # Otherwise the Trainer would multiply an overridden loss by the number of accumulated batches as soon as
        # a batch had its labels at the top level; ours has them by role.
        self.model_accepts_loss_kwargs = False

    def compute_loss(self, model: nn.Module, inputs: dict, return_outputs: bool = False, **_: Any) -> Any:
        """The objective's loss; also writes its terms to the log."""
        terms = self.objective(model, inputs)
        line = {"step": self.state.global_step, **{name: round(float(v.detach()), 6) for name, v in terms.items()}}
        with self.log_path.open("a") as log:
            log.write(json.dumps(line) + "\n")
        return (terms["loss"], terms) if return_outputs else terms["loss"]

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        del train_dataset  # there is only one
        assert isinstance(self.train_dataset, Draws)
        return SequentialSampler(self.train_dataset)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # If a LLaVA checkpoint uses the hub's key names, transformers does not convert them when it resumes, and the
        # weights start afresh (issues 43701, 48805). The model's own key names avoid that; adapters are fine.
        model = self.accelerator.unwrap_model(self.model)
        if output_dir is None or not isinstance(model, PreTrainedModel):
            return super()._save(output_dir, state_dict)
        model.save_pretrained(output_dir, state_dict=state_dict, save_original_format=False)


class _Tell(TrainerCallback):
    def __init__(self, tell: Tell, name: str) -> None:
        self.tell, self.name = tell, name

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.tell(self.name, state.global_step, state.max_steps)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # The Trainer writes a checkpoint file by file; this marker comes last, so it says that no file is missing.
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()


@contextlib.contextmanager
def bar(name: str) -> Iterator[Tell]:
    """A progress bar that appears once a run has lasted two seconds."""
    with tqdm(desc=name, delay=2, leave=False, unit="step") as shown:

        def tell(_: str, done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield tell


def arguments(settings: Settings, out: Path) -> TrainingArguments:
    """The Trainer's arguments for these settings; on CUDA with bfloat16 arithmetic."""
    cuda = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(out / "checkpoints"),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.lr,
        lr_scheduler_type=settings.schedule,
        warmup_steps=round(settings.warmup * settings.steps) if settings.schedule == "cosine" else 0,
        adam_beta1=settings.betas[0],
        adam_beta2=settings.betas[1],
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        save_strategy="steps",
        save_steps=settings.save_every,
        save_total_limit=2,  # keep the previous one until the new one is complete
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=cuda,
        use_cpu=not cuda,
        bf16=cuda,
        seed=settings.seed,
    )


def fit(
    vlm: VLM,
    objective: Callable,
    examples: Mapping[str, Sequence[Example]],
    settings: Settings,
    out: Path,
    reference: Mapping[str, Mapping[str, Tensor]] | None = None,
    progress: Tell | None = None,
) -> VLM:
    """Tune the model on examples by role; continues where an earlier try in ``out`` was stopped.

    Writes ``loss.jsonl`` to ``out``. Returns the VLM, tuned in place; if ``settings.lora_rank`` is above 0, with
    a LoRA adapter around its model. ``reference`` has what the objective needs from the untuned model, by
    example id. Raises MirageError if no parameter is left to tune.
    """
    for name, parameter in vlm.model.named_parameters():
        chosen = not settings.only or any(part in name for part in settings.only)
        parameter.requires_grad = chosen and not any(part in name for part in settings.freeze)
    if not any(parameter.requires_grad for parameter in vlm.model.parameters()):
        raise MirageError(f"No parameter is left to tune: freeze is {settings.freeze}, only is {settings.only}.")
    if settings.lora_rank:
        chosen = [name for name, module in vlm.model.named_modules() if _adaptable(name, module, settings)]
        lora = LoraConfig(r=settings.lora_rank, lora_alpha=settings.lora_alpha, target_modules=chosen)
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(settings.seed)
            vlm.model = get_peft_model(vlm.model, lora)
    with recomputed(vlm.model) if vlm.model.device.type == "cuda" else contextlib.nullcontext():
        run(vlm.model, objective, examples, settings, out, Collate(vlm, reference), progress)
    vlm.model.eval()
    return vlm


@contextlib.contextmanager
def recomputed(model: Any) -> Iterator[None]:
    """Gradient checkpointing: compute activations again in the backward pass instead of keeping them in memory."""
    with quiet():  # since 5.2x transformers has a second name for it and warns about this one, which all versions know
        model.gradient_checkpointing_enable({"use_reentrant": False})
        try:
            yield
        finally:
            model.gradient_checkpointing_disable()


def _adaptable(name: str, module: nn.Module, settings: Settings) -> bool:
    chosen = not settings.only or any(part in name for part in settings.only)
    stays = "lm_head" in name or any(part in name for part in settings.freeze)
    return isinstance(module, nn.Linear) and chosen and not stays


def run(
    model: nn.Module,
    objective: Callable,
    rows: Mapping[str, Sequence[Any]],
    settings: Settings,
    out: Path,
    collate: Callable,
    progress: Tell | None = None,
) -> None:
    """The loop itself, for any model and rows: draw, train, resume; see ``fit``."""
    out.mkdir(parents=True, exist_ok=True)
    draws = Draws(rows, settings.steps * settings.batch * settings.accumulate, dict(settings.per_item), settings.seed)
    with contextlib.ExitStack() as stack:
        tell = progress or stack.enter_context(bar(type(objective).__name__))
        stack.enter_context(quiet())
        trainer = ObjectiveTrainer(
            model,
            arguments(settings, out),
            data_collator=collate,
            train_dataset=draws,
            callbacks=[_Tell(tell, type(objective).__name__)],
            objective=objective,
            log=out / "loss.jsonl",
        )
        trainer.remove_callback(PrinterCallback)  # only ``tell`` reports progress
        trainer.train(resume_from_checkpoint=_resume(out))
    shutil.rmtree(out / "checkpoints", ignore_errors=True)  # only the finished model is kept


def _resume(out: Path) -> str | None:
    """The last complete checkpoint, if any. Removes incomplete checkpoints, and log lines from later steps."""
    folder = out / "checkpoints"
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / WHOLE).exists():
            shutil.rmtree(checkpoint)
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    done = int(last.rsplit("-", 1)[1]) if last else 0
    log = out / "loss.jsonl"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    log.write_text("".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] < done))
    return last
