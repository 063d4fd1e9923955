"""Simulated annealing of atoms on placed cores, compiled: what neurons of a network go together on a core.

The cost is that of multicast, Σ spikes · links in the union of the routes of a net, which go along the row
first; every atom is the source of one net, which reaches the cores whose atoms read it. To it come a price
of the time by which cores are busy beyond a goal, and one of the corners of the areas that cores have of each
population: few corners are few boxes. A move takes an atom to another core, mostly to one with atoms that it
reads or that read it, or swaps two atoms; no core is filled beyond its limits.

numba is imported with this module, which therefore the first refinement imports.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numba.extending import register_jitable

from nmcompiler.mapping.chance import below, first_state, next_state, share

__all__ = ["anneal_atoms"]

_inner: Any = register_jitable(error_model="numpy", forceinline=True)
# Called from several places: one copy of the code is compiled faster.
_apart: Any = register_jitable(error_model="numpy")

# Bit k alone times this number has k in its upper six bits, by another name (de Bruijn).
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_BIT = np.zeros(64, np.int64)
for _k in range(64):
    _BIT[((int(_DE_BRUIJN) << _k) % 2**64) >> 58] = _k
# Where four pixels meet, those of equal cores, as bits (upper two, lower two, left two, right two, either
# diagonal), with the corners of the areas there: a pixel alone has one, one that is missing in four has one,
# two that touch at this point alone have two.
_CORNERS = np.zeros(64, np.int64)
for _four in itertools.product(range(4), repeat=4):
    _pairs = (0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2)
    _equal = sum((_four[i] == _four[j]) << k for k, (i, j) in enumerate(_pairs))
    _areas = [[i for i in range(4) if _four[i] == core] for core in set(_four)]
    _CORNERS[_equal] = sum({1: 1, 3: 1}.get(len(a), 2 if a in ([0, 3], [1, 2]) else 0) for a in _areas)
# Atoms that are tried as the other one of a swap: beside what is left on a core, alike, and any.
_BESIDE, _ALIKE, _ANY = 20, 20, 20


@_apart
def _tree_size(reached, own, places, scratch):  # type: ignore[no-untyped-def]
    """Returns the links of a net, and how many cores it reaches, perhaps its own one among them."""
    row, along = places
    top, bottom, columns = scratch
    r0, c0 = row[own], along[own]
    east, west, size, known, cores = c0, c0, 0.0, 0, 0
    for word in range(reached.size):
        left = reached[word]
        while left:
            low = left & (~left + np.uint64(1))
            left ^= low
            core = _BIT[(low * _DE_BRUIJN) >> np.uint64(58)] + 64 * word
            cores += 1
            if core == own:
                continue
            r, c = row[core], along[core]
            east, west = max(east, c), min(west, c)
            k = 0
            while k < known and columns[k] != c:
                k += 1
            if k == known:
                known += 1
                columns[k], top[k], bottom[k] = c, min(r, r0), max(r, r0)
                size += abs(r - r0)
            elif r < top[k]:
                size += top[k] - r
                top[k] = r
            elif r > bottom[k]:
                size += r - bottom[k]
                bottom[k] = r
    return size + east - west, cores


@_apart
def _corners(atom, outlines, owner):  # type: ignore[no-untyped-def]
    """Returns the corners of all areas at the corners of an atom."""
    first, vertex, four = outlines
    total = 0
    for k in range(first[atom], first[atom + 1]):
        a, b, c, d = four[vertex[k]]
        # Beyond a population there is one area more.
        p, q = owner[a] if a >= 0 else -1, owner[b] if b >= 0 else -1
        r, s = owner[c] if c >= 0 else -1, owner[d] if d >= 0 else -1
        equal = (p == q) | (r == s) << 1 | (p == r) << 2 | (q == s) << 3 | (p == s) << 4 | (q == r) << 5
        total += _CORNERS[equal]
    return total


@_apart
def _excess(core, leaves, comes, ns, load, goal):  # type: ignore[no-untyped-def]
    """Returns the time by which a core is busy beyond the goal of each stretch, summed.

    That is when one atom has left and another has come, where these are not −1.
    """
    total = 0.0
    for s in range(goal.size):
        longest = 0.0
        for part in range(load.shape[1]):
            busy = load[core, part, s]
            if leaves >= 0:
                busy -= ns[leaves, part, s]
            if comes >= 0:
                busy += ns[comes, part, s]
            longest = max(longest, busy)
        total += max(longest - goal[s], 0.0)
    return total


@_apart
def _work_moves(atom, a, b, ns, load):  # type: ignore[no-untyped-def]
    """Takes the work of an atom from core a to core b."""
    for part in range(ns.shape[1]):
        for s in range(ns.shape[2]):
            load[a, part, s] -= ns[atom, part, s]
            load[b, part, s] += ns[atom, part, s]


@_apart
def _take(atom, a, b, items, sums, state):  # type: ignore[no-untyped-def]
    """Takes an atom from core a to core b, with what they hold for it, but not its work."""
    first_item, item, resource, cost = items
    owner, count, used, _, reached = state
    owner[atom] = b
    for r in range(sums.shape[1]):
        used[a, r] -= sums[atom, r]
        used[b, r] += sums[atom, r]
    for k in range(first_item[atom], first_item[atom + 1]):
        i = item[k]
        r = resource[i]
        count[i, a] -= 1
        if count[i, a] == 0:
            used[a, r] -= cost[i]
            if i < owner.size:
                reached[i, a >> 6] ^= np.uint64(1) << np.uint64(a & 63)
        if count[i, b] == 0:
            used[b, r] += cost[i]
            if i < owner.size:
                reached[i, b >> 6] ^= np.uint64(1) << np.uint64(b & 63)
        count[i, b] += 1


@_inner
def _changed(atom, a, b, move, items, owner, count, nets):  # type: ignore[no-untyped-def]
    """Lists the nets that changed when an atom was taken from core a to core b, behind those listed before.

    They are its own, those that nothing on core a reads any more, and those that nothing on b read before.
    """
    first_item, item = items[0], items[1]
    seen, found, known = nets
    if seen[atom] != move:
        seen[atom] = move
        found[known] = atom
        known += 1
    for k in range(first_item[atom], first_item[atom + 1]):
        i = item[k]
        if i < owner.size and (count[i, a] == 0 or count[i, b] == 1) and seen[i] != move:
            seen[i] = move
            found[known] = i
            known += 1
    return known


@_inner
def _aim(atom, graph, items, owner, cores, state):  # type: ignore[no-untyped-def]
    """Returns a core to which an atom may go."""
    first_reader, reader = graph[0], graph[1]
    first_item, item = items[0], items[1]
    state = next_state(state)
    kind = state >> np.uint64(60)  # 0 to 15
    if kind == 0:
        state = next_state(state)
        return below(state, cores), state
    source = atom
    if kind < 7 and first_item[atom + 1] > first_item[atom]:
        state = next_state(state)
        i = item[first_item[atom] + below(state, first_item[atom + 1] - first_item[atom])]
        if i < owner.size:
            if kind < 4 and owner[i] < cores:
                return owner[i], state
            source = i
    count = first_reader[source + 1] - first_reader[source]
    if count == 0:
        return owner[atom], state
    state = next_state(state)
    return owner[reader[first_reader[source] + below(state, count)]], state


@_inner
def _fits_in_exchange(atom, other, room, weight):  # type: ignore[no-untyped-def]
    """Returns whether the cores of two atoms, which have some room, can swap them."""
    more = weight[atom] - weight[other]
    return more <= room[1] and -more <= room[0]


@_inner
def _partner(atom, b, room, graph, items, weight, owner, lists, state):  # type: ignore[no-untyped-def]
    """Returns an atom of core b that may come in exchange so that both cores have room, or −1.

    First those are tried that read, or are read by, one that is left where the atom comes from, then those of
    the same population.
    """
    first_reader, reader = graph[0], graph[1]
    first_item, item = items[0], items[1]
    held, size, _ = lists
    a = owner[atom]
    for _ in range(_BESIDE):
        state = next_state(state)
        near = held[a, below(state, size[a])]
        state = next_state(state)
        if state >> np.uint64(63):
            count = first_reader[near + 1] - first_reader[near]
            if count == 0:
                continue
            state = next_state(state)
            other = reader[first_reader[near] + below(state, count)]
        else:
            count = first_item[near + 1] - first_item[near]
            if count == 0:
                continue
            state = next_state(state)
            other = item[first_item[near] + below(state, count)]
            if other >= owner.size:
                continue
        if owner[other] == b and _fits_in_exchange(atom, other, room, weight):
            return other, state
    first, end = graph[2][atom], graph[3][atom]
    for _ in range(_ALIKE):
        state = next_state(state)
        other = first + below(state, end - first)
        if owner[other] == b and _fits_in_exchange(atom, other, room, weight):
            return other, state
    for _ in range(_ANY if size[b] else 0):
        state = next_state(state)
        other = held[b, below(state, size[b])]
        if _fits_in_exchange(atom, other, room, weight):
            return other, state
    return -1, state


@_inner
def _move(atom, a, b, lists):  # type: ignore[no-untyped-def]
    """Takes an atom from the list of core a to that of core b."""
    held, size, place = lists
    size[a] -= 1
    last = held[a, size[a]]
    held[a, place[atom]], place[last] = last, place[atom]
    held[b, size[b]], place[atom] = atom, size[b]
    size[b] += 1


@_inner
def _course(ends, moves):  # type: ignore[no-untyped-def]
    """Returns the first value of a number that grows by the same factor with every move, and this factor."""
    first, last = ends
    return first, (last / first) ** (1.0 / moves) if first > 0.0 and moves > 0 else 1.0


def anneal_atoms(  # type: ignore[no-untyped-def]
    graph, items, work, outlines, limit, places, goal, state, moves, heat, prices, bends, seed
):
    """Moves atoms so that the network costs less; returns its multicast cost, and the time beyond goals.

    Args:
        graph: ``(first_reader, reader, first_alike, end_alike, free, spikes, neurons)``. The atoms
            ``reader[first_reader[a] … first_reader[a + 1] − 1]`` read atom a; those of its population are
            ``first_alike[a] … end_alike[a] − 1``; ``free`` are the numbers of all that may move. ``spikes``,
            ``(A,)`` float64, are those that it sends, ``neurons``, ``(A,)`` int64, how many send them.
        items: ``(first_item, item, resource, cost)``: what a core must hold once for all its atoms that need
            it. Atom a needs ``item[first_item[a] … first_item[a + 1] − 1]``; item i, of which there are I,
            takes ``cost[i]`` of ``resource[i]``. The first A items are the nets of the atoms.
        work: ``(sums, ns)``: what each atom adds to a core. ``sums``, ``(A, R)`` int64, is that of each
            resource, the first of which is neurons; ``ns``, ``(A, P, S)`` float64, the time of each part of
            the work of each stretch.
        outlines: ``(first, vertex, four)``: where four atoms of a population, of the same channels, meet.
            ``vertex[first[a] … first[a + 1] − 1]`` are the points where atom a does; ``four``, ``(V, 4)``,
            has the atoms above left, above right, below left and below right, −1 beyond the population.
        limit: ``(R + 1,)`` int64 of each resource; the last one is that of destination cores of a neuron.
            Resource R − 1 are output axons, which the kernel counts itself.
        places: ``(row, along)``, ``(C + 1,)`` each, int64 and float64: where cores are, and last the host.
        goal: ``(S,)`` float64: time of each stretch beyond which a core is too busy.
        state: ``(owner, count, used, load, reached)``, written. ``owner``, ``(A,)`` int64, is the core of
            each atom, C for the host; ``count``, ``(I, C)`` int32, how many atoms of a core need an item;
            ``used``, ``(C, R)`` int64, what a core uses; ``load``, ``(C, P, S)`` float64, its time;
            ``reached``, ``(A, words)`` uint64, has bit c set where core c reads the atom.
        moves: Moves that are tried.
        heat: First temperature and last one, in the unit of the cost; at 0 nothing is moved.
        prices: Cost of a unit of time beyond the goals, at first and at last.
        bends: Cost of a corner, at first and at last.
        seed: Of the random numbers.
    """
    free, spikes, neurons = graph[4], graph[5], graph[6]
    owner, count, used, load, reached = state
    atoms, cores, resources = owner.size, count.shape[1], limit.size - 1
    outputs, weight = resources - 1, np.ascontiguousarray(work[0][:, 0])
    sums, ns = work
    scratch = np.zeros(cores), np.zeros(cores), np.zeros(cores)
    sizes, degree, cost = np.zeros(atoms), np.zeros(atoms, np.int64), 0.0
    for a in range(atoms):
        sizes[a], degree[a] = _tree_size(reached[a], owner[a], places, scratch)
        cost += spikes[a] * sizes[a]
    late = np.zeros(cores)
    for c in range(cores):
        late[c] = _excess(c, -1, -1, ns, load, goal)
    held, count_of, place = (
        np.zeros((cores, atoms), np.int32),
        np.zeros(cores, np.int64),
        np.zeros(atoms, np.int64),
    )
    for atom in free:
        held[owner[atom], count_of[owner[atom]]] = atom
        place[atom] = count_of[owner[atom]]
        count_of[owner[atom]] += 1
    lists = held, count_of, place
    seen, found = np.full(atoms, -1), np.zeros(atoms, np.int64)
    size, cores_of = np.zeros(atoms), np.zeros(atoms, np.int64)
    chance = first_state(seed)
    (temperature, cooler), (price, dearer) = _course(heat, moves), _course(prices, moves)
    bend, stiffer = _course(bends, moves)
    for move in range(moves):
        temperature *= cooler
        price *= dearer
        bend *= stiffer
        chance = next_state(chance)
        atom = free[below(chance, free.size)]
        a = owner[atom]
        b, chance = _aim(atom, graph, items, owner, cores, chance)
        if b in (a, cores):
            continue
        mine, there = limit[0] - used[a, 0], limit[0] - used[b, 0]
        chance = next_state(chance)
        other = -1
        if weight[atom] > there or chance >> np.uint64(63):
            room = mine, there
            other, chance = _partner(atom, b, room, graph, items, weight, owner, lists, chance)
            if other < 0:
                continue
        turned = -_corners(atom, outlines, owner)
        _take(atom, a, b, items, sums, state)
        turned += _corners(atom, outlines, owner)
        known = _changed(atom, a, b, move, items, owner, count, (seen, found, 0))
        if other >= 0:
            turned -= _corners(other, outlines, owner)
            _take(other, b, a, items, sums, state)
            known = _changed(other, b, a, move, items, owner, count, (seen, found, known))
            turned += _corners(other, outlines, owner)
        change, fits = bend * turned, True
        for k in range(known):
            net = found[k]
            size[k], cores_of[k] = _tree_size(reached[net], owner[net], places, scratch)
            change += spikes[net] * (size[k] - sizes[net])
            if owner[net] < cores:
                before = owner[net]
                if net == atom:
                    before = a
                elif net == other:
                    before = b
                used[before, outputs] -= neurons[net] * degree[net]
                used[owner[net], outputs] += neurons[net] * cores_of[k]
                fits &= cores_of[k] <= limit[resources]
        for k in range(known):
            if owner[found[k]] < cores:
                fits &= used[owner[found[k]], outputs] <= limit[outputs]
        for r in range(resources):
            fits &= used[a, r] <= limit[r] and used[b, r] <= limit[r]
        late_a = _excess(a, atom, other, ns, load, goal)
        late_b = _excess(b, other, atom, ns, load, goal)
        change += price * (late_a + late_b - late[a] - late[b])
        keeps = fits and change <= 0.0
        if fits and change > 0.0:
            chance = next_state(chance)
            keeps = share(chance) < np.exp(-change / temperature)
        if keeps:
            late[a], late[b] = late_a, late_b
            _move(atom, a, b, lists)
            _work_moves(atom, a, b, ns, load)
            if other >= 0:
                _move(other, b, a, lists)
                _work_moves(other, b, a, ns, load)
            for k in range(known):
                cost += spikes[found[k]] * (size[k] - sizes[found[k]])
                sizes[found[k]], degree[found[k]] = size[k], cores_of[k]
            continue
        for k in range(known):
            net = found[k]
            if owner[net] < cores:
                used[owner[net], outputs] -= neurons[net] * cores_of[k]
        if other >= 0:
            _take(other, a, b, items, sums, state)
        _take(atom, b, a, items, sums, state)
        for k in range(known):
            net = found[k]
            if owner[net] < cores:
                used[owner[net], outputs] += neurons[net] * degree[net]
    return cost, late.sum()
