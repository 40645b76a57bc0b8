import torch

from tasks.components import load_state, save_state


def test_a_state_that_was_read_back_is_written_with_the_same_bytes(tmp_path):
    shared, text = torch.arange(12.0), "".join(["key", "word"])
    state = {
        "a": shared,
        "b": shared[2:5],
        "c": [(text, 1.5), ("".join(["key", "word"]), None)],
        text: {"n": 3, "t": text},
    }
    save_state(tmp_path / "first.pt", state)
    save_state(tmp_path / "again.pt", load_state(tmp_path / "first.pt"))
    assert (tmp_path / "first.pt").read_bytes() == (tmp_path / "again.pt").read_bytes()
    assert torch.equal(load_state(tmp_path / "again.pt")["b"], shared[2:5])
