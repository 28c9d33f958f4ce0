"""Differentiable operations, one file per family; each file lists its public names in `__all__`."""

from pydl.ops import (
    activation,
    arithmetic,
    arrange,
    assemble,
    calculus,
    compare,
    conv,
    count,
    create,
    elementary,
    gemm,
    index,
    loss,
    matrices,
    parts,
    piecewise,
    place,
    products,
    random,
    reduce,
    rnn,
    rounding,
    scan,
    shape,
    special,
    ternary,
)
from pydl.ops import einsum as _einsum
from pydl.ops import norm as _norm  # before the function of that name
from pydl.ops import softmax as _softmax
from pydl.ops import sort as _sort
from pydl.ops.activation import *
from pydl.ops.arithmetic import *
from pydl.ops.arrange import *
from pydl.ops.assemble import *
from pydl.ops.calculus import *
from pydl.ops.compare import *
from pydl.ops.conv import *
from pydl.ops.count import *
from pydl.ops.create import *
from pydl.ops.einsum import *
from pydl.ops.elementary import *
from pydl.ops.gemm import *
from pydl.ops.index import *
from pydl.ops.loss import *
from pydl.ops.matrices import *
from pydl.ops.parts import *
from pydl.ops.piecewise import *
from pydl.ops.place import *
from pydl.ops.products import *
from pydl.ops.random import *
from pydl.ops.reduce import *
from pydl.ops.rnn import *
from pydl.ops.rounding import *
from pydl.ops.scan import *
from pydl.ops.shape import *
from pydl.ops.softmax import *
from pydl.ops.sort import *
from pydl.ops.special import *
from pydl.ops.ternary import *
from pydl.ops.typed import wrap

__all__: list[str] = []
__all__ += activation.__all__
__all__ += arithmetic.__all__
__all__ += arrange.__all__
__all__ += assemble.__all__
__all__ += calculus.__all__
__all__ += compare.__all__
__all__ += conv.__all__
__all__ += count.__all__
__all__ += create.__all__
__all__ += _einsum.__all__
__all__ += elementary.__all__
__all__ += gemm.__all__
__all__ += index.__all__
__all__ += loss.__all__
__all__ += matrices.__all__
__all__ += _norm.__all__
__all__ += parts.__all__
__all__ += piecewise.__all__
__all__ += place.__all__
__all__ += products.__all__
__all__ += random.__all__
__all__ += reduce.__all__
__all__ += rnn.__all__
__all__ += rounding.__all__
__all__ += scan.__all__
__all__ += shape.__all__
__all__ += special.__all__
__all__ += ternary.__all__
__all__ += _softmax.__all__
__all__ += _sort.__all__

wrap(globals(), __all__)
