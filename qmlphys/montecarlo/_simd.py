"""A vector of eight 64-bit words as a numba type.

Multi-spin coding keeps 64 replicas in a word; eight words at a time keep a 512-bit unit busy. Compilers do not find
this by themselves, because the acceptance loop ends early, so the vector is spelled out: `load`, `store`, the bitwise
operators, `rotate_left` inside each word, `rotate_lanes` across the words, and `any_set`. On processors with narrower
units LLVM splits each operation; results are the same bit for bit.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

__all__ = ["LANES", "any_set", "load", "ones", "rotate_lanes", "rotate_left", "shift_left", "store", "zeros"]

LANES = 8
_WORD = ir.IntType(64)
_VECTOR = ir.VectorType(_WORD, LANES)


class VectorType(types.Type):
    """Numba's type of eight unsigned 64-bit words."""

    def __init__(self):
        super().__init__(name="uint64x8")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _VECTOR)


def _pointer(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _is_flat_words(array) -> bool:
    return isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C" and array.dtype == types.uint64


@intrinsic
def load(typingctx, array, index):
    """Eight words of a flat uint64 array, from `index` on."""
    if not _is_flat_words(array):
        return None

    def codegen(context, builder, signature, args):
        return builder.load(_pointer(context, builder, signature.args[0], *args), align=8)

    return vector(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Write eight words into a flat uint64 array, from `index` on."""
    if not _is_flat_words(array):
        return None

    def codegen(context, builder, signature, args):
        array, index, value = args
        builder.store(value, _pointer(context, builder, signature.args[0], array, index), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), codegen


def _constant(value):
    return ir.Constant(_VECTOR, [value] * LANES)


@intrinsic
def zeros(typingctx):
    """All bits clear."""
    return vector(), lambda *_: _constant(0)


@intrinsic
def ones(typingctx):
    """All bits set."""
    return vector(), lambda *_: _constant(2**64 - 1)


def _binary(build):
    @intrinsic
    def operation(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return build(builder, *args)

        return vector(vector, vector), codegen

    return operation


_and = _binary(lambda builder, a, b: builder.and_(a, b))
_or = _binary(lambda builder, a, b: builder.or_(a, b))
_xor = _binary(lambda builder, a, b: builder.xor(a, b))
_add = _binary(lambda builder, a, b: builder.add(a, b))


@intrinsic
def _not(typingctx, a):
    def codegen(context, builder, signature, args):
        return builder.xor(args[0], _constant(2**64 - 1))

    return vector(vector), codegen


def _overload_binary(python_operator, operation):
    @overload(python_operator, inline="always")
    def implementation(a, b):
        if isinstance(a, VectorType) and isinstance(b, VectorType):
            return lambda a, b: operation(a, b)
        return None


_overload_binary(operator.and_, _and)
_overload_binary(operator.or_, _or)
_overload_binary(operator.xor, _xor)
_overload_binary(operator.add, _add)


@overload(operator.invert, inline="always")
def _overload_invert(a):
    if isinstance(a, VectorType):
        return lambda a: _not(a)
    return None


@intrinsic
def shift_left(typingctx, a, count):
    """Shift every word left by a literal number of bits."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    bits = count.literal_value

    def codegen(context, builder, signature, args):
        return builder.shl(args[0], _constant(bits))

    return vector(vector, count), codegen


@intrinsic
def rotate_left(typingctx, a, count):
    """Rotate the bits of every word left by a literal number of places."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    bits = count.literal_value

    def codegen(context, builder, signature, args):
        up = builder.shl(args[0], _constant(bits))
        return builder.or_(up, builder.lshr(args[0], _constant(64 - bits)))

    return vector(vector, count), codegen


@intrinsic
def _shuffle(typingctx, a, count):
    if not isinstance(count, types.IntegerLiteral):
        return None
    places = count.literal_value

    def codegen(context, builder, signature, args):
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [(lane + places) % LANES for lane in range(LANES)])
        return builder.shuffle_vector(args[0], ir.Constant(_VECTOR, ir.Undefined), mask)

    return vector(vector, count), codegen


def rotate_lanes(a, places):
    """Lane l of the result is lane (l + places) mod 8 of the argument."""
    raise TypeError("Function `rotate_lanes` runs inside compiled kernels only.")


@overload(rotate_lanes, inline="always")
def _overload_rotate_lanes(a, places):
    def implementation(a, places):
        if places == 1:
            return _shuffle(a, 1)
        if places == 2:
            return _shuffle(a, 2)
        if places == 4:
            return _shuffle(a, 4)
        if places == 6:
            return _shuffle(a, 6)
        if places == 7:
            return _shuffle(a, 7)
        return a

    return implementation


@intrinsic
def any_set(typingctx, a):
    """Whether any bit of the vector is set."""

    def codegen(context, builder, signature, args):
        reduce = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_WORD, [_VECTOR]), "llvm.vector.reduce.or.v8i64"
        )
        return builder.icmp_unsigned("!=", builder.call(reduce, args), ir.Constant(_WORD, 0))

    return types.boolean(vector), codegen
