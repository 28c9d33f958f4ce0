"""The walk back over the graph.

Nodes are numbered as they are made, so the node with the largest number can always be finished next: a heap over the
numbers replaces recursion, and deep graphs cost nothing extra.
"""

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

from pydl import _C
from pydl.autograd.leaves import Leaves, Parts, Pieces, accumulate, call_hooks, fit
from pydl.autograd.mode import mode
from pydl.autograd.node import Change, Node
from pydl.autograd.op import saved_tensors
from pydl.errors import AutogradError, DeviceError, DtypeError, ShapeError
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
    if grad_tensors is None and tensors.__class__ is Tensor:
        roots: list[Tensor] = [tensors]  # type: ignore[list-item]
        seeds = [_one(roots[0], "backward")]
    else:
        roots = _listed(tensors, "backward")
        seeds = _seeds(roots, grad_tensors, "backward")
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        walk(roots, seeds, None, create_graph, keep)
        return
    targets = list({id(t): t for t in _listed(inputs, "backward")}.values())
    if not targets:
        raise AutogradError("backward: inputs is empty: leave it out to reach all leaves")
    if not all(t.requires_grad for t in targets):
        raise AutogradError("backward: one of inputs does not require gradients")
    for target, g in zip(targets, walk(roots, seeds, targets, create_graph, keep), strict=True):
        if g is not None:
            accumulate(target, g, create_graph, fresh=False)


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
    roots, targets = _listed(outputs, "grad"), _listed(inputs, "grad")
    for t in targets:
        if not t.requires_grad:
            raise AutogradError("grad: an input does not require gradients: call requires_grad_() before using it")
    seeds = _seeds(roots, grad_outputs, "grad")
    found = walk(roots, seeds, targets, create_graph, create_graph if retain_graph is None else retain_graph)
    for i, g in enumerate(found):
        if g is None and materialize_grads:
            found[i] = Tensor(_C.full(targets[i].shape, 0, targets[i].dtype, targets[i].device))
        elif g is None and not allow_unused:
            raise AutogradError(
                f"grad: input {i} is not part of the graph of the outputs: pass allow_unused=True for None"
            )
    return tuple(found)


def _listed(tensors: Any, name: str) -> list[Tensor]:
    """One tensor or several, as a list."""
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors) if isinstance(tensors, Iterable) else [tensors]
    for t in listed:
        if not isinstance(t, Tensor):
            raise DtypeError(f"{name}: expected tensors, got {type(t).__name__}")
    return listed


def _seeds(roots: list[Tensor], given: Any, name: str) -> list[Tensor]:
    """The gradient to start with at each root."""
    listed: list[Any] = [None] * len(roots) if given is None else [given]
    if isinstance(given, (tuple, list)):
        listed = list(given)
    if len(listed) != len(roots):
        raise AutogradError(f"{name}: got {len(listed)} gradients for {len(roots)} tensors")
    seeds = []
    for root, g in zip(roots, listed, strict=True):
        if g is None:
            g = _one(root, name)
        elif not root.requires_grad:
            raise AutogradError(f"{name}: {NO_GRAPH}")
        elif not isinstance(g, Tensor):
            raise DtypeError(f"{name}: expected gradients that are tensors or None, got {type(g).__name__}")
        elif not _C.same_shape(g.array, root.array):
            raise ShapeError(f"{name}: gradient {g.shape} does not match tensor {root.shape}")
        elif g.device != root.device:
            raise DeviceError(f"{name}: expected all tensors on one device, got {g.device} and {root.device}")
        elif g.dtype is not root.dtype:
            g = g.to(root.dtype)
        seeds.append(g)
    return seeds


def _one(root: Tensor, name: str) -> Tensor:
    """The gradient of a number with respect to itself."""
    if not root.requires_grad:
        raise AutogradError(f"{name}: {NO_GRAPH}")
    one = _C.seed_gradient(root.array)
    if one is None:
        raise AutogradError(f"{name}: shape {root.shape} is not one number: give its gradient, of the same shape")
    return Tensor(one)


NO_GRAPH = "a tensor does not require gradients and has no graph"
FREED = "the graph was already walked and its memory freed: pass retain_graph=True the first time"


def _needed(roots: list[Tensor], wanted: set[Any], stop: bool) -> tuple[set[Node], bool]:
    """The nodes whose rules must run, those with an input that is wanted or on a way to what is; and whether a node was
    freed, so that nobody knows where it led."""
    seen: set[Node] = set()
    todo = [t.node for t in roots if t.node is not None]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        if stop and node in wanted:
            continue
        seen.add(node)
        todo += [t.node for t in _inputs(node) if t.node is not None and t.requires_grad]
    needed: set[Node] = set()
    for node in sorted(seen, key=lambda n: n.seq):
        for t in _inputs(node):
            if id(t) in wanted if t.node is None else t.node in wanted or t.node in needed:
                needed.add(node)
                break
    return needed, any(node.inputs is None for node in seen)


def _before(t: Tensor, node: Node) -> Tensor:
    """t as it was when node used it: a recorded change in place may have given it a newer node."""
    while isinstance(t.node, Change) and t.node.seq > node.seq:
        t = t.node.before
    return t


def _inputs(node: Node) -> list[Tensor]:
    """The inputs of a node, as they were when it was recorded."""
    return [_before(t, node) for t in node.inputs or () if t is not None]


def walk(
    roots: list[Tensor],
    seeds: list[Tensor],
    targets: list[Tensor] | None,
    create_graph: bool,
    keep: bool,
    stop: bool = False,
) -> list[Tensor | None]:
    """Runs the rules from the roots down. Without targets the leaves' .grad grow; with them, their gradients return.

    stop: a target that is not a leaf ends its way, though other targets may lie behind it.
    """
    found: dict[Any, Tensor] = {}
    leaves = Leaves(None if targets is None else found, create_graph)
    marks: list[Any] = []
    wanted: set[Any] = set()
    needed, freed = None, False
    if targets is not None:
        marks = [id(t) if t.node is None else t.node for t in targets]
        wanted.update(marks)
        needed, freed = _needed(roots, wanted, stop)
    pending: dict[Node, Any] = {}
    heap: list[tuple[int, Node]] = []
    recording, mode.enabled = mode.enabled, create_graph
    try:
        for root, g in zip(roots, seeds):  # noqa: B905  as many by construction
            if root.node is None:
                leaves.add(root, g, False)
            else:
                _push(root.node, g, pending, heap)
        _descend(pending, heap, wanted, needed, found, leaves, keep)
        leaves.finish()
    finally:
        mode.enabled = recording
    if freed and len(found) < len(wanted):
        raise AutogradError(f"backward: {FREED}")
    return [found.get(mark) for mark in marks]


def _descend(
    pending: dict[Node, Any],
    heap: list[tuple[int, Node]],
    wanted: set[Any],
    needed: set[Node] | None,
    found: dict[Any, Tensor],
    leaves: Leaves,
    keep: bool,
) -> None:
    """Runs the rules of all nodes that gradients reach, the latest first."""
    while heap:
        node = heappop(heap)[1]
        g = pending.pop(node)
        if g.__class__ is Pieces:
            g = g()
        if node.hooks:
            g = call_hooks(node.hooks, g)
        if needed is not None:
            if node in wanted:
                found[node] = g
            if node not in needed:
                continue
        _step(node, g, wanted, needed, pending, heap, leaves)
        if not keep:
            node.release()


def _step(
    node: Node,
    g: Any,
    wanted: set[Any],
    needed: set[Node] | None,
    pending: dict[Node, Any],
    heap: list[tuple[int, Node]],
    leaves: Leaves,
) -> None:
    """Runs the rule of one node and hands its gradients on to the inputs."""
    inputs = node.inputs
    if inputs is None:
        raise AutogradError(f"backward: {FREED}")
    gradients = _gradients(node, inputs, g)
    for t, gx in zip(inputs, gradients):  # noqa: B905  strict costs a twentieth of a step
        if gx is None or t is None or not t.requires_grad:
            continue
        source = t.node
        if source is not None and source.seq > node.seq:
            t = _before(t, node)
            source = t.node
            if not t.requires_grad:
                continue
        if needed is not None and not (id(t) in wanted if source is None else source in wanted or source in needed):
            continue
        if gx.__class__ is Pieces and source is not None:
            _push(source, gx, pending, heap)
            continue
        made = gx.__class__ is not Tensor and callable(gx)
        if made:
            gx = gx()
            if gx is None:
                continue
        fitted = gx if gx.__class__ is Parts or same_type(gx.array, t.array) else fit(gx, t)
        if source is not None:
            _push(source, fitted, pending, heap)
        else:
            leaves.add(t, fitted, fitted is not gx or _fresh(node, gx, g, () if made else gradients))


def _push(node: Node, g: Any, pending: dict[Node, Any], heap: list[tuple[int, Node]]) -> None:
    """Adds g to what the node's output has got so far."""
    old = pending.get(node)
    if old is None:
        pending[node] = g
        heappush(heap, (-node.seq, node))
    elif g.__class__ is Pieces:
        pending[node] = g.plus(old)
    elif old.__class__ is Pieces:
        pending[node] = old.plus(g)
    else:
        pending[node] = old + g


def _fresh(node: Node, gx: Tensor, g: Any, gradients: Sequence[Any]) -> bool:
    """Whether the rule made gx anew and for one input, so that nobody else holds it. Users' rules may hold anything;
    what a function made when it was called (no gradients are given then) is new unless it is g."""
    if gx is g or node.op.foreign:
        return False
    if not gradients:
        return True
    for t in node.inputs or ():
        if t is gx:
            return False
    found = False
    for x in gradients:
        if x is gx:
            if found:
                return False
            found = True
    return True


def _gradients(node: Node, inputs: tuple[Tensor | None, ...], g: Any) -> Sequence[Any]:
    """The rule's gradients with respect to the inputs of one node."""
    op, saved, seq = node.op, node.saved, node.seq
    uses = op.uses
    if uses is None:
        read = inputs
        if op.crosswise:  # small inputs are kept whole even where the other needs no gradient
            read = (inputs[0] if inputs[1].requires_grad else None, inputs[1] if inputs[0].requires_grad else None)  # type: ignore[union-attr]
        for t in read:
            if t is not None and t.array.version > seq:
                raise _changed(node, t.array)
    else:
        for i in uses:
            t = inputs[i]
            if t is not None and t.array.version > seq:
                raise _changed(node, t.array)
    for array in saved:
        if array.version > seq:
            raise _changed(node, array)
    gradients = op.vjp(g, *inputs, *(saved_tensors(node) if saved else ()), **node.attrs)
    return _reference_gradients(node, g) if gradients is None else gradients


def _changed(node: Node, array: _C.Array) -> AutogradError:
    return AutogradError(
        f"backward: an input or output of {node.name} of shape {array.shape} was changed in place after it was used"
    )


def _reference_gradients(node: Node, g: Any) -> Sequence[Tensor | None]:
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
        made = op.reference(*copies, **node.attrs)
    finally:
        mode.enabled = create_graph
    pairs = [(y, g.get(i)) for i, y in enumerate(made)] if op.several else [(made, g)]
    pairs = [(y, gy) for y, gy in pairs if gy is not None and y.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    found = iter(walk([y for y, _ in pairs], [gy for _, gy in pairs], wanted, create_graph, True))
    return [next(found) if t is not None and t.requires_grad else None for t in copies]


def sources(tensors: Iterable[Tensor], start: int) -> list[Tensor]:
    """What the graphs of the tensors reach that is older than node number `start`: leaves that require gradients and
    results of older nodes, each once."""
    reached: dict[Any, Tensor] = {}
    seen: set[Node] = set()
    todo = list(tensors)
    while todo:
        t = todo.pop()
        node = t.node
        if node is None or node.seq < start:
            if t.requires_grad:
                reached.setdefault(id(t) if node is None else node, t)
        elif node not in seen:
            seen.add(node)
            todo += _inputs(node)
    return list(reached.values())
