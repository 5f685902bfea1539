"""The mixer's work on every bit, compiled. All numbers are whole, so that every machine gets the same.

Of each lane in turn: look up what has followed its contexts, add up the log-odds of that and of the model with weights
that hang on the match, on the byte's beginning and on the byte before, refine, code the bit, and learn from it at once:
counters behind hashes, logistic mixing and secondary estimation are those of Mahoney's paq. A byte's *beginning* is a
one and its bits so far, 1 to 255. All is in one file, by which numba sees whether what it keeps compiled is of it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mdl.mixing.memory import HALF, N_CONTEXTS, N_INPUTS, NODES
from mdl.mixing.tables import LIMIT

_WORD = 0xFFFFFFFF
_K1, _K2, _K3, _OWN = 0x2F0B4C47, 0x1E35A7BD, 0x3D4D51CB, 0x1F123BB5  # odd, for hashing
_MATCHED, _LONGEST = 6, 32  # bytes that begin a match; how far back it is compared
_MODEL, _CONSTANT, _MATCH, _ORDERS = N_INPUTS - 1, N_INPUTS - 2, N_INPUTS - 4, N_INPUTS - 6
_RATE, _LAST_RATE = 18, 14  # of learning weights
_LEAST, _MOST = 2, 65534  # a coded chance
_NEW = np.uint32(HALF << 16)  # a counter that has seen nothing
_inlined = njit(inline="always", _nrt=False)


@_inlined
def _hash_contexts(hashes, memory, place, t, word, own):
    mask, h = memory.past.size - 1, 0
    for order in range(1, 7):
        if t >= order:
            h += int(memory.past[(place - order) & mask]) + 1
        h = (h * _K1) & _WORD
        h ^= h >> 15
        if order == 3:
            hashes[3] = (h + own) & _WORD
        elif order == 4:
            hashes[0] = h
        elif order == 6:
            hashes[1] = (h + _K3) & _WORD
    h = ((word + 77) * _K2) & _WORD
    hashes[2], hashes[4] = h, (h + own) & _WORD


@_inlined
def _find_buckets(buckets, hashes, slots, beginning, bits):
    """Of every context and half of a byte the bucket; of two places the less used one is given up for a new one."""
    for i in range(N_CONTEXTS):
        h = hashes[i]
        if beginning > 1:
            h = (((h + beginning * _K3) & _WORD) * _K2) & _WORD
        else:
            h = (h * _K1) & _WORD
        h ^= h >> 16
        h = ((h + i) * _K2) & _WORD
        check, index = (h & 0xFFFF) + 1, h >> (32 - bits)
        here, there, table = index * NODES, (index ^ 1) * NODES, buckets[i]
        slot = here
        if (int(table[here]) & 0x1FFFF) != check:
            if (int(table[there]) & 0x1FFFF) == check:
                slot = there
            else:
                if (int(table[here]) >> 20) > (int(table[there]) >> 20):
                    slot = there
                other = here + there - slot
                if (int(table[other]) >> 20) > 0:
                    table[other] -= 1 << 20
                table[slot] = check
                for node in range(1, NODES):
                    table[slot + node] = _NEW
        if (int(table[slot]) >> 20) < 255:
            table[slot] += 1 << 20
        slots[0, i] = slot


@_inlined
def _ask_contexts(memory, fixed, byte, node):
    """The inputs of all contexts; how many of them know something."""
    n_known, inputs = 0, byte.inputs
    for i in range(N_CONTEXTS):
        slot = byte.slots[0, i] + node
        byte.slots[1, i] = slot
        counter = int(memory.buckets[i, slot])
        history = counter & 255
        if history == 0:
            inputs[2 * i], inputs[2 * i + 1] = 0, 0
        else:
            n_known += 1
            inputs[2 * i] = fixed.stretch[counter >> 16]
            inputs[2 * i + 1] = fixed.stretch[memory.histories[i, history]]
    return n_known


@_inlined
def _ask_match(memory, fixed, inputs, length, expected):
    """The inputs of a match that expects a bit, and the place of its chance; −1: there is none."""
    if length == 0:
        inputs[_MATCH], inputs[_MATCH + 1] = 0, 0
        return -1
    step = length if length < 16 else min(63, 14 + length // 8)
    at = 2 * step + expected
    inputs[_MATCH] = fixed.stretch[memory.matches[at]]
    inputs[_MATCH + 1] = min(length, 32) * (64 if expected else -64)
    return at


@_inlined
def _mix(memory, fixed, byte, s0, s2, beginning):
    """The mixtures by three choices of weights, and of these one: log-odds and chances into `byte.mixed`."""
    inputs, mixed = byte.inputs, byte.mixed
    d0, d1, d2 = 0, 0, 0
    w0, w1, w2 = memory.by_match[s0], memory.by_beginning[beginning], memory.by_byte_before[s2]
    for j in range(N_INPUTS):
        d0 += inputs[j] * w0[j]
        d1 += inputs[j] * w1[j]
        d2 += inputs[j] * w2[j]
    d0 = min(max(d0 >> 16, -LIMIT), LIMIT)
    d1 = min(max(d1 >> 16, -LIMIT), LIMIT)
    d2 = min(max(d2 >> 16, -LIMIT), LIMIT)
    w = memory.last[beginning]
    last = min(max((d0 * w[0] + d1 * w[1] + d2 * w[2]) >> 16, -LIMIT), LIMIT)
    mixed[0], mixed[1], mixed[2], mixed[3] = d0, d1, d2, last
    for k in range(4):
        mixed[4 + k] = fixed.squash[mixed[k] + LIMIT + 1]


@_inlined
def _learn_weights(memory, byte, s0, s2, beginning, bit):
    inputs, mixed, w, one = byte.inputs, byte.mixed, memory.last[beginning], bit << 16
    e0, e1, e2 = ((one - mixed[4]) * _RATE) >> 10, ((one - mixed[5]) * _RATE) >> 10, ((one - mixed[6]) * _RATE) >> 10
    w0, w1, w2 = memory.by_match[s0], memory.by_beginning[beginning], memory.by_byte_before[s2]
    for j in range(N_INPUTS if max(abs(e0), abs(e1), abs(e2)) > 2 else 0):  # else all would be rounded to 0
        w0[j] += (inputs[j] * e0 + 8192) >> 14
        w1[j] += (inputs[j] * e1 + 8192) >> 14
        w2[j] += (inputs[j] * e2 + 8192) >> 14
    e = ((one - mixed[7]) * _LAST_RATE) >> 10
    for k in range(3):
        w[k] += (mixed[k] * e + 8192) >> 14


@_inlined
def _learn_contexts(memory, fixed, slots, target, bit):
    for i in range(N_CONTEXTS):
        counter = int(memory.buckets[i, slots[1, i]])
        history, n_seen, chance = counter & 255, (counter >> 8) & 255, counter >> 16
        chance += ((target - chance) * fixed.reciprocals[n_seen]) >> 16
        if history > 0:
            memory.histories[i, history] += (target - memory.histories[i, history]) >> 6
        n_seen = min(n_seen + 1, 255)
        memory.buckets[i, slots[1, i]] = chance << 16 | n_seen << 8 | int(fixed.next_history[2 * history + bit])


@_inlined
def _refined(table, row, x):
    """The chance that log-odds x have had there, between two steps."""
    j = (x + 3072) // 192
    rest = x + 3072 - j * 192
    return (int(table[row, j]) * (192 - rest) + int(table[row, j + 1]) * rest) // 192


@_inlined
def _learn_orders(memory, beginning, row, x, target):
    j = (x + 3072 + 96) // 192
    memory.refined_0[beginning, j] += (target - memory.refined_0[beginning, j]) >> 7
    memory.refined_1[row, j] += (target - memory.refined_1[row, j]) >> 6
    memory.order_0[beginning] += ((target << 6) - memory.order_0[beginning]) >> 6
    memory.order_1[row] += ((target << 6) - memory.order_1[row]) >> 5


@_inlined
def _code(block, chance, bit, decoding):
    """Code a bit, or read one: an arithmetic coder of 32 bits without carry."""
    low, high = block.coder[0], block.coder[1]
    span = high - low
    middle = low + (span >> 16) * chance + (((span & 0xFFFF) * chance) >> 16)
    if decoding:
        bit = 1 if block.coder[2] <= middle else 0
    low, high = (low, middle) if bit else (middle + 1, high)
    while (low ^ high) >> 24 == 0:
        place = block.coder[3]
        if decoding:
            block.coder[2] = (block.coder[2] << 8) & _WORD
            if place < block.stream.size:
                block.coder[2] |= block.stream[place]
        else:
            block.stream[place] = high >> 24
        block.coder[3] = place + 1
        low, high = (low << 8) & _WORD, (high << 8) & _WORD | 255
    block.coder[0], block.coder[1] = low, high
    return bit


@_inlined
def _chance_of_one(counts, low, width):
    """The model's chance that of the symbols [low, low + 2 · width) it is one of the upper half."""
    below, above = 0, 0
    for k in range(low, low + width):
        below += int(counts[k]) + 1
        above += int(counts[k + width]) + 1
    return min(max((above << 16) // (below + above), 1), 65535)


@_inlined
def _follow(memory, block, lane, place, t, own, symbol, bits):
    """A byte is known: it goes into the past, and into the word and the match of its lane."""
    mask = memory.past.size - 1
    memory.past[place & mask] = symbol
    if 65 <= symbol <= 90 or 97 <= symbol <= 122 or symbol >= 128:
        block.words[lane] = ((block.words[lane] + (symbol | 32) + 1) * _K1) & _WORD
    else:
        block.words[lane] = 0
    length = block.lengths[lane]
    if length > 0:
        length = min(length + 1, 65535)
        block.matched[lane] += 1
    if t >= _MATCHED - 1:
        h = 0
        for back in range(_MATCHED):
            h = ((h + int(memory.past[(place - back) & mask]) + 1) * _K1) & _WORD
        h ^= h >> 15
        h = (h * _K2) & _WORD
        anywhere, within = h >> (30 - bits), ((((h + own) & _WORD) * _K1) & _WORD) >> (30 - bits)
        for k in range(2):
            found = int(memory.own_places[within]) if k == 0 else int(memory.places[anywhere])
            if length == 0 and found > 0:
                same = 0
                while same < min(_LONGEST, t + 1) and (
                    memory.past[(found - 1 - same) & mask] == memory.past[(place - same) & mask]
                ):
                    same += 1
                if same >= _MATCHED:
                    length = same
                    block.matched[lane] = found
        memory.places[anywhere] = (place & mask) + 1
        memory.own_places[within] = (place & mask) + 1
    block.lengths[lane] = length


@_inlined
def _code_byte(memory, fixed, block, byte, lane, place, t, chances, counts, bits):
    """Code the lane's byte at t, or where `counts` say what the model does, read it."""
    inputs, decoding = byte.inputs, counts.size > 0
    own = ((place - t) * _OWN) & _WORD
    before = int(memory.past[(place - 1) & (memory.past.size - 1)]) if t > 0 else 0
    length, expected_byte = block.lengths[lane], int(memory.past[block.matched[lane] & (memory.past.size - 1)])
    _hash_contexts(byte.hashes, memory, place, t, block.words[lane], own)
    symbol, beginning = int(block.symbols[lane, t]), 1
    for b in range(8):
        if b == 0 or b == 4:
            _find_buckets(memory.buckets, byte.hashes, byte.slots, beginning, bits)
        node = beginning if b < 4 else beginning & ((1 << (b - 4)) - 1) | 1 << (b - 4)
        n_known, row = _ask_contexts(memory, fixed, byte, node), before << 8 | beginning
        inputs[_ORDERS] = fixed.stretch[memory.order_0[beginning] >> 6]
        inputs[_ORDERS + 1] = fixed.stretch[memory.order_1[row] >> 6]
        if (expected_byte + 256) >> (8 - b) != beginning:
            length = 0
        expected = (expected_byte >> (7 - b)) & 1
        at = _ask_match(memory, fixed, inputs, length, expected)
        if decoding:
            chance = _chance_of_one(counts, (beginning << (8 - b)) & 255, 1 << (7 - b))
        else:
            chance = int(chances[lane, t, b])
        inputs[_MODEL] = fixed.stretch[chance]
        s0 = 0 if length == 0 else 1 + min(14, length // 2 if length < 16 else 7 + length // 16)
        s2 = before * 8 + min(n_known, 7)
        _mix(memory, fixed, byte, s0, s2, beginning)
        x = byte.mixed[3]
        chance = 2 * byte.mixed[7] + _refined(memory.refined_0, beginning, x) + _refined(memory.refined_1, row, x)
        bit = _code(block, min(max(chance >> 2, _LEAST), _MOST), (symbol >> (7 - b)) & 1, decoding)
        _learn_weights(memory, byte, s0, s2, beginning, bit)
        target = 65535 if bit else 0
        _learn_contexts(memory, fixed, byte.slots, target, bit)
        _learn_orders(memory, beginning, row, x, target)
        if at >= 0:
            memory.matches[at] += (target - memory.matches[at]) >> 7
        if expected != bit:
            length = 0
        beginning = 2 * beginning + bit
    block.symbols[lane, t] = beginning & 255
    block.lengths[lane] = length
    _follow(memory, block, lane, place, t, own, beginning & 255, bits)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy", _nrt=False)  # no reference counts: twice as fast
def code_lanes(memory, fixed, block, byte, start, lanes, times, chances, counts, bits):
    """Code the bytes of lanes [first, end) at times [first, end), time by time; where there are `counts` read them.

    `start` is the place of the block's first byte in all that is coded, `lanes` (first, end, bytes of the block).
    Encoding, `chances` (n, lane_bytes, 8) uint16 are the model's of every bit; decoding, `counts` (end − first, 256)
    float64 are the coder's tables of the one time, else empty.
    """
    lane_bytes = block.symbols.shape[1]
    byte.inputs[_CONSTANT] = 256
    for t in range(times[0], times[1]):
        for lane in range(lanes[0], lanes[1]):
            if lane * lane_bytes + t < lanes[2]:
                place, said = start + lane * lane_bytes + t, counts[lane - lanes[0]]
                _code_byte(memory, fixed, block, byte, lane, place, t, chances, said, bits)
