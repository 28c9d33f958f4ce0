"""The walk back over the graph.

Nodes are numbered as they are made, so the node with the largest number can always be finished next: a heap over the
numbers replaces recursion, and deep graphs cost nothing extra.
"""

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

from pydl import _C
from pydl.autograd.mode import mode
from pydl.autograd.node import Node
from pydl.autograd.op import saved_tensors
from pydl.errors import AutogradError, ShapeError
from pydl.tensor import Tensor

__all__ = ["backward", "grad"]

same_type = _C.same_type


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | None | Sequence[Tensor | None] = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Adds the gradients of the sum of `tensors`, weighted by `grad_tensors`, to `.grad` of the leaves.

    Args:
        tensors: what to differentiate; each is one number unless its entry of grad_tensors is given.
        grad_tensors: the gradient with respect to each, of its shape.
        retain_graph: keep what the rules need for another walk. Default: create_graph.
        create_graph: record the walk, so that the gradients can be differentiated again.
        inputs: only these leaves get gradients. Default: all.
    Raises: AutogradError if there is nothing to differentiate or the graph was used up; ShapeError.
    """
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    seeds = _seeds(roots, grad_tensors, "backward")
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        _walk(roots, seeds, None, create_graph, keep)
        return
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not targets:
        raise AutogradError("backward: inputs is empty: leave it out to reach all leaves")
    for target, g in zip(targets, _walk(roots, seeds, targets, create_graph, keep), strict=True):
        if g is not None:
            _accumulate(target, g, create_graph, fresh=False)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | None | Sequence[Tensor | None] = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of `outputs`, weighted by `grad_outputs`, with respect to `inputs`.

    Args: as of `backward`; allow_unused: None in place of an error for an input that the outputs do not depend on;
        materialize_grads: zeros in place of None.
    Returns: one gradient per input, of its shape and dtype.
    Raises: AutogradError, ShapeError.
    """
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for t in targets:
        if not t.requires_grad:
            raise AutogradError("grad: an input does not require gradients: call requires_grad_() before using it")
    seeds = _seeds(roots, grad_outputs, "grad")
    found = _walk(roots, seeds, targets, create_graph, create_graph if retain_graph is None else retain_graph)
    for i, g in enumerate(found):
        if g is None and materialize_grads:
            found[i] = Tensor(_C.full(targets[i].shape, 0, targets[i].dtype, targets[i].device))
        elif g is None and not allow_unused:
            raise AutogradError(
                f"grad: input {i} is not part of the graph of the outputs: pass allow_unused=True for None"
            )
    return tuple(found)


def _seeds(roots: list[Tensor], given: Any, name: str) -> list[Tensor]:
    """The gradient to start with at each root."""
    listed = [given] * len(roots) if given is None else [given] if isinstance(given, Tensor) else list(given)
    if len(listed) != len(roots):
        raise AutogradError(f"{name}: got {len(listed)} gradients for {len(roots)} tensors")
    seeds = []
    for root, g in zip(roots, listed, strict=True):
        if not root.requires_grad:
            raise AutogradError(f"{name}: a tensor does not require gradients and has no graph")
        if g is None:
            if root.array.size != 1:
                raise AutogradError(
                    f"{name}: shape {root.shape} is not one number: give its gradient, of the same shape"
                )
            g = ones_like(root)
        elif not _C.same_shape(g.array, root.array):
            raise ShapeError(f"{name}: gradient {g.shape} does not match tensor {root.shape}")
        seeds.append(g)
    return seeds


def ones_like(root: Tensor) -> Tensor:
    """The gradient of a number with respect to itself."""
    return Tensor(_C.ones_like(root.array))


def _needed(roots: list[Tensor], leaves: set[int], nodes: set[Node]) -> set[Node]:
    """The nodes on a way from the roots to a target."""
    seen: set[Node] = set()
    todo = [t.node for t in roots if t.node is not None]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        todo += [t.node for t in node.inputs or () if t is not None and t.node is not None and t.requires_grad]
    needed: set[Node] = set()
    for node in sorted(seen, key=lambda n: n.seq):
        if node in nodes or any(t is not None and (id(t) in leaves or t.node in needed) for t in node.inputs or ()):
            needed.add(node)
    return needed


def _walk(
    roots: list[Tensor], seeds: list[Tensor], targets: list[Tensor] | None, create_graph: bool, keep: bool
) -> list[Tensor | None]:
    """Runs the rules from the roots down. Without targets the leaves' .grad grow; with them, their gradients return."""
    found: dict[Any, Tensor] = {}
    needed: set[Node] | None = None
    wanted: set[Any] = set()
    if targets is not None:
        leaves = {id(t) for t in targets if t.node is None}
        needed = _needed(roots, leaves, {t.node for t in targets if t.node is not None})
        marks = [id(t) if t.node is None else t.node for t in targets]
        wanted = set(marks)
    pending: dict[Node, Any] = {}
    heap: list[tuple[int, Node]] = []
    recording, mode.enabled = mode.enabled, create_graph
    try:
        for root, g in zip(roots, seeds, strict=True):
            _deliver(root, g, False, pending, heap, targets and found, create_graph)
        while heap:
            node = heappop(heap)[1]
            g = pending.pop(node)
            if node.hooks:
                g = _call_hooks(node.hooks, g)
            if needed is not None:
                if node in wanted:
                    found[node] = g
                if node not in needed:
                    continue
            inputs = node.inputs
            if inputs is None:
                raise AutogradError(
                    "backward: the graph was already walked and its memory freed: pass retain_graph=True the first time"
                )
            for t, gx in zip(inputs, _gradients(node, inputs, g), strict=True):
                if gx is None or t is None or not t.requires_grad:
                    continue
                if needed is not None and not (id(t) in wanted if t.node is None else t.node in needed):
                    continue
                if gx.__class__ is not Tensor and callable(gx):
                    gx = gx()
                    if gx is None:
                        continue
                if gx.__class__ is not Parts and not same_type(gx.array, t.array):
                    _deliver(t, fit(gx, t), True, pending, heap, targets and found, create_graph)
                else:
                    _deliver(t, gx, _fresh(gx, g, inputs), pending, heap, targets and found, create_graph)
            if not keep:
                node.release()
    finally:
        mode.enabled = recording
    return [] if targets is None else [found.get(m) for m in marks]


def _fresh(gx: Any, g: Any, inputs: tuple[Tensor | None, ...]) -> bool:
    """Whether the rule made gx anew, so that nobody else holds it."""
    if gx is g:
        return False
    for t in inputs:
        if gx is t:
            return False
    return True


def _deliver(
    t: Tensor,
    g: Any,
    fresh: bool,
    pending: dict[Node, Any],
    heap: list[tuple[int, Node]],
    found: dict[Any, Tensor] | None,
    create_graph: bool,
) -> None:
    """Adds g to what t has got so far."""
    node = t.node
    if node is not None:
        old = pending.get(node)
        if old is None:
            pending[node] = g
            heappush(heap, (-node.seq, node))
        else:
            pending[node] = old + g
        return
    if t.hooks:
        g = _call_hooks(t.hooks, g)
    if found is None:
        _accumulate(t, g, create_graph, fresh)
    else:
        old = found.get(id(t))
        found[id(t)] = g if old is None else old + g


def _accumulate(t: Tensor, g: Tensor, create_graph: bool, fresh: bool) -> None:
    """Adds g to t.grad. A gradient that nobody else holds is taken as it is, else copied: .grad may be changed in place."""
    if t.grad is not None:
        g = t.grad + g
        t.grad = g if create_graph else Tensor(g.array)
    elif create_graph:
        t.grad = g
    else:
        array = g.array
        mine = _C.own(array) if fresh else _C.clone(array)
        t.grad = g if mine is array else Tensor(mine)


def _gradients(node: Node, inputs: tuple[Tensor | None, ...], g: Any) -> Sequence[Any]:
    """The rule's gradients with respect to the inputs of one node."""
    op = node.op
    for i, version in enumerate(node.versions):
        t = inputs[i]
        if t is not None and t.array.version != version and (op.uses is None or i in op.uses):
            raise AutogradError(
                f"backward: an input of {op.__name__} of shape {t.shape} was changed in place after it was used "
                f"(version {t.array.version}, expected {version})"
            )
    gradients = op.vjp(g, *inputs, *(saved_tensors(node) if node.saved else ()), **node.attrs)
    return _reference_gradients(node, g) if gradients is None else gradients


def _reference_gradients(node: Node, g: Tensor) -> Sequence[Tensor | None]:
    """Differentiates the op's plain definition; the result stays part of the graph of the inputs."""
    from pydl.ops.shape import alias

    op, inputs = node.op, node.inputs
    if op.reference is None or inputs is None:
        raise AutogradError(f"{op.__name__} has neither a gradient rule nor a reference")
    create_graph = mode.enabled
    mode.enabled = True
    try:
        copies = [None if t is None else alias(t) if t.requires_grad else t for t in inputs]
        wanted = [t for t in copies if t is not None and t.requires_grad]
        out = op.reference(*copies, **node.attrs)
    finally:
        mode.enabled = create_graph
    if not out.requires_grad:
        return [None] * len(inputs)
    found = iter(_walk([out], [g], wanted, create_graph, True))
    return [next(found) if t is not None and t.requires_grad else None for t in copies]


def fit(g: Tensor, like: Tensor) -> Tensor:
    """g summed over the axes along which `like` was broadcast, in its dtype."""
    shape, target = g.shape, like.shape
    if shape != target:
        lead = len(shape) - len(target)
        axes = list(range(lead)) + [lead + i for i, n in enumerate(target) if n == 1 and shape[lead + i] != 1]
        if axes:
            g = g.sum(axes)
        if g.shape != target:
            g = g.reshape(target)
    return g if g.array.dtype is like.array.dtype else g.to(like.array.dtype)


def _call_hooks(hooks: Any, g: Any) -> Any:
    for hook in list(hooks.values()):
        changed = hook(g)
        if changed is not None:
            g = changed
    return g


class Parts:
    """The gradients of some outputs of a function that has several."""

    __slots__ = ("by_index",)

    def __init__(self, by_index: dict[int, Tensor]) -> None:
        self.by_index = by_index

    def __add__(self, other: "Parts") -> "Parts":
        merged = dict(self.by_index)
        for i, g in other.by_index.items():
            merged[i] = merged[i] + g if i in merged else g
        return Parts(merged)


def leaves_of(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The leaves that require gradients in the graphs of the tensors, each once."""
    leaves: dict[int, Tensor] = {}
    seen: set[Node] = set()
    todo = list(tensors)
    while todo:
        t = todo.pop()
        if t.node is None:
            if t.requires_grad:
                leaves.setdefault(id(t), t)
        elif t.node not in seen:
            seen.add(t.node)
            todo += [x for x in t.node.inputs or () if x is not None]
    return list(leaves.values())
