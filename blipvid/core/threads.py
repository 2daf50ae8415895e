"""How idle threads wait, for the programs that a person starts."""

import os


def wait_passively() -> None:
    """Lets threads of the numeric libraries sleep while they have nothing to do, instead of spinning.

    Decoding processes and other programs share the cores with them: there, spinning threads take the time that they
    wait for (a small model's re-ranking took 4 to 8 times as much of both cores). Has to be called before torch is
    imported; what a person set in OMP_WAIT_POLICY stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
