import torch

from tasks.storage import load_state, save_state


def word():
    return "".join(["key", "word"])


def test_equal_states_have_equal_bytes_whatever_their_parts_share(tmp_path):
    tensor, text, pair = torch.arange(12.0), word(), [1.5, word()]
    save_state(tmp_path / "shared.pt", {"a": tensor, "b": tensor, "c": text, "d": text, "e": [pair, pair]})
    other = {"a": tensor.clone(), "b": tensor.clone(), "c": word(), "d": word(), "e": [[1.5, word()], [1.5, word()]]}
    save_state(tmp_path / "apart.pt", other)
    assert (tmp_path / "shared.pt").read_bytes() == (tmp_path / "apart.pt").read_bytes()
    save_state(tmp_path / "again.pt", load_state(tmp_path / "shared.pt"))
    assert (tmp_path / "again.pt").read_bytes() == (tmp_path / "shared.pt").read_bytes()
