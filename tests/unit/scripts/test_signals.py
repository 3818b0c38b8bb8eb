"""A signal to end is noted wherever it comes, and obeyed between two steps."""

import os
import random
import signal
import threading
import time

import pytest

from scripts.environments.ending import SIGNALS, Ended, Ending


@pytest.mark.parametrize("signum", SIGNALS, ids=lambda each: each.name)
def test_a_signal_ends_a_wait_at_once(signum: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with Ending() as ending:
        threading.Timer(0.05, os.kill, (os.getpid(), signum)).start()
        with pytest.raises(Ended, match="nothing is left behind") as caught:
            ending.sleep(60)
        # A second one changes nothing, also after the end.
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Ended) as again:
            ending.check()
    os.kill(os.getpid(), signal.SIGTERM)
    for each, handler in zip(SIGNALS, before, strict=True):
        signal.signal(each, handler)
    assert (caught.value.code, again.value.code) == (128 + signum, 128 + signum)


def test_without_a_signal_the_former_handlers_are_back_and_no_file_is_open() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    files = len(os.listdir("/dev/fd"))
    with Ending() as ending:
        ending.sleep(0)
        ending.check()
        assert [signal.getsignal(each) for each in SIGNALS] != before
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert len(os.listdir("/dev/fd")) == files
    ending.sleep(0)


def test_a_signal_in_a_destructor_is_not_lost() -> None:
    # Given: Python drops an exception that a handler raises there, such as KeyboardInterrupt.
    class Dying:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    before = [signal.getsignal(each) for each in SIGNALS]
    with Ending() as ending:
        dying = Dying()
        del dying
        with pytest.raises(Ended) as caught:
            ending.sleep(60)
    for each, handler in zip(SIGNALS, before, strict=True):
        signal.signal(each, handler)
    assert caught.value.code == 130


def wait_in_pieces(ending: Ending) -> None:
    ends_at = time.monotonic() + 60
    while time.monotonic() < ends_at:
        ending.sleep(0.0001)


def test_no_moment_of_a_wait_is_one_at_which_a_signal_hangs() -> None:
    # Given waits of next to nothing, and signals at any moment of them
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    before = [signal.getsignal(each) for each in SIGNALS]
    codes = []
    for _ in range(200):
        with Ending() as ending:
            threading.Timer(draw.uniform(0, 0.003), os.kill, (os.getpid(), signal.SIGTERM)).start()
            with pytest.raises(Ended) as caught:
                wait_in_pieces(ending)
            codes.append(caught.value.code)
        for each, handler in zip(SIGNALS, before, strict=True):
            signal.signal(each, handler)
    assert codes == [143] * 200, f"seed {seed}"
