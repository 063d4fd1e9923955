"""A chip as a host sees it: trims, counts and codes, and never a measurement that is out of date."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.errors import UsageError
from nmcompiler.sim import Record
from nmcompiler_backends.mixed_signal.array.session import ArraySession

from .chips import drawn, placed


def opened(code="phase", seed=5):
    program, samples = placed(seed, code)
    return ArraySession(program, drawn(program, 3)), samples


def sending(session):
    return [int(b) for b in np.flatnonzero(session.program.column("levels") > 0)]


def counts(session, samples):
    """The values of every block that sends, by a run from scratch."""
    simulator = session.simulator()
    values = simulator.run(samples, record=Record(values=True)).values
    blocks = {b.index: b for b in simulator._loaded.blocks}
    return {b: values[blocks[b].population][:, blocks[b].positions] for b in sending(session)}


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_after_any_trims_a_measurement_is_what_a_run_from_scratch_counts(code):
    """Whatever is kept from measurement to measurement."""
    session, samples = opened(code)
    rng = np.random.default_rng(1)
    blocks = np.flatnonzero(session.program.column("kind") > 0)
    for _ in range(12):
        name = str(rng.choice(["threshold", "bias"]))
        limits, codes = session.ranges[name], np.array(session.trim[name])
        mine = session.span(name, int(rng.choice(blocks)))
        codes[mine] = rng.integers(limits.lowest, limits.highest + 1, mine.stop - mine.start)
        session.configure({name: codes})
        chosen = None if rng.random() < 0.3 else [int(rng.choice(blocks))]
        found, wanted = session.measure(samples, chosen).spikes, counts(session, samples)
        assert set(found) == {b for b in sending(session) if chosen is None or b <= chosen[0]}
        assert all(np.array_equal(spikes, wanted[b]) for b, spikes in found.items())


def test_other_samples_are_measured_anew():
    session, samples = opened()
    half = {name: x[::2] for name, x in samples.items()}
    first = session.measure(samples).spikes
    second = session.measure(half).spikes
    assert all(np.array_equal(first[b][::2], second[b]) for b in first)


def test_what_adcs_read_is_the_result_before_its_digital_correction():
    session, samples = opened()
    plain = session.simulator().run(samples)
    (block,) = session.measure(samples).adc
    mine = session.span("gain", block)
    codes = {name: np.array(session.trim[name]) for name in ("gain", "offset")}
    codes["gain"][mine] *= 2
    codes["offset"][mine] = 7
    before = session.measure(samples).adc[block]
    session.configure(codes)
    assert np.array_equal(session.measure(samples).adc[block], before)
    changed = session.simulator().run(samples)
    port = session.program.outputs[0]
    start = (plain.outputs[0] - before[:, : plain.outputs[0].shape[1]])[0]
    assert np.array_equal(
        port.read(changed.outputs[0]), port.read(2 * (plain.outputs[0] - start) + 7 + start)
    )


def test_the_range_of_an_adc_scales_its_codes():
    session, samples = opened()
    peaks = session.measure(samples).peaks
    codes = np.array(session.trim["adc-range"])
    session.configure({"adc-range": codes * 2})
    wide = session.measure(samples).peaks
    for block, peak in peaks.items():
        assert abs(2 * int(wide[block][0]) - int(peak[0])) <= 1
        assert 0 < peak[0] <= 127


def test_codes_that_a_chip_has_not_are_refused():
    session, _ = opened()
    count = session.ranges["threshold"].count
    for trim, found in (
        ({"thresholds": np.zeros(count, int)}, "threshold"),
        ({"threshold": np.full(count, 16)}, "-16 to 15"),
        ({"threshold": np.zeros(3, int)}, r"\(3,\)"),
    ):
        with pytest.raises(UsageError, match=found):
            session.configure(trim)


def test_a_session_shows_no_drawn_number():
    session, _ = opened()
    public = {name for name in dir(session) if not name.startswith("_")}
    assert public == {"program", "ranges", "trim", "span", "configure", "measure", "simulator"}
