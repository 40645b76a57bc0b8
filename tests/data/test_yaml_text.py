"""Whatever a file holds, it is read as plain values or refused with a sentence: no traceback, no hang."""

import math
import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.config import CampaignConfig, ConfigError, load_config, parse_config, read_mapping
from data.sampler_config import SamplerConfig, load_sampler
from data.yaml_text import LARGEST_FILE, YamlError, parse_yaml

VALID = "name: x\nobjectives: [{name: a, oracle: {kind: xtb}}]\n"
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
MERGED_LAUGHS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}\n" for n in range(1, 60)
)

REFUSED = {
    "a list as key": ("? [a, b]\n: 1\n", "the key ['a', 'b'] is a list, not a text (line 1)"),
    "a mapping as key": ("{a: 1}: 2\n", "the key {'a': 1} is a dict"),
    "a number as key": ("name: x\n3: y\n", "the key 3 is a int, not a text (line 2)"),
    "a word that YAML takes for true": ("on: 1\n", "the key True is a bool"),
    "nothing as key": ("~: 1\n", "the key None"),
    "deep lists": ("a: " + "[" * 2000 + "]" * 2000, "nested more than 40 deep (line 1)"),
    "deep mappings": ("a: " + "{b: " * 5000, "nested more than 40 deep"),
    "deep blocks": ("".join(" " * n + "a:\n" for n in range(300)), "nested more than 40 deep"),
    "aliases of aliases": (LAUGHS, "stand for more than 20000"),
    "merged aliases of aliases": (MERGED_LAUGHS, "stand for more than 20000"),
    "an alias of itself": ("a: &a [*a]\n", "stands inside what it stands for"),
    "an alias without anchor": ("a: *b\n", "undefined alias"),
    "many values": ("a: [" + "1," * 30_000 + "]", "more than 20000 keys and values"),
    "a huge number": ("rounds: " + "9" * 5000, "too long"),
    "a large number": ("seed: " + "9" * 40, "is larger than 9223372036854775807"),
    "a sum of sixtieths": ("seed: 1" + ":1" * 50_000, "too long"),
    "no number": ("seed: .nan", "'.nan' is no finite number".replace("'", "")),
    "an infinite number": ("budget: {calls: -.inf}", "-.inf is no finite number"),
    "a repeated key": ("a: 1\nb: 2\na: 3\n", "the key 'a' stands twice in one mapping (line 3)"),
    "a tabulator": ("a:\n\tb: 1\n", "indent with blanks"),
    "an object": (
        "a: !!python/object/apply:os.system [ls]",
        "the tag '!!python/object/apply:os.system' is not allowed",
    ),
    "bytes": ("a: !!binary aGVsbG8=", "the tag '!!binary' is not allowed"),
    "a set": ("a: !!set {x, y}", "the tag '!!set' is not allowed"),
    "a tag of one's own": ("a: !secret x", "the tag '!secret' is not allowed"),
    "a wrong number by tag": ("a: !!int abc", "cannot be read"),
    "a wrong truth value by tag": ("a: !!bool abc", "cannot be read"),
    "a list that is tagged as number": ("a: !!int [1]", "expected a scalar node"),
    "two documents": ("a: 1\n---\nb: 2\n", "one document per file"),
    "half a character": ('a: "\\ud83d"', "holds the control character"),
    "no character at all": ('a: "\\UFFFFFFFF"', "cannot be read"),
    "a null character": ('a: "x\\0y"', r"holds the control character '\x00'"),
    "an escape of the terminal": ('a: "\\e[31m"', r"holds the control character '\x1b'"),
    "an escape in a key": ('"\\e[31m": 1', r"holds the control character '\x1b'"),
    "raw control characters": ("a: \x07", "no text that YAML allows"),
    "an open bracket": ("name: [", "line 1"),
    "a broken directive": ("%YAML 9.9\n---\na: 1\n", "line 1"),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_no_setting_needs_is_refused_in_one_sentence_and_at_once(text, sentence):
    began = time.monotonic()
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 20


def test_what_people_write_is_read():
    text = """
    defaults: &defaults {cost: 2, timeout: 60}
    oracle: {<<: *defaults, kind: xtb, timeout: 5}
    version: 2024-01-31
    smiles: "[nH]1cccc1"
    delimiter: "\\t"
    text: |
      two
      lines
    emoji: 🧪
    "yes": no
    small: 1.0e-12
    nothing:
    """
    assert parse_yaml(text) == {
        "defaults": {"cost": 2, "timeout": 60},
        "oracle": {"kind": "xtb", "cost": 2, "timeout": 5},
        "version": "2024-01-31",
        "smiles": "[nH]1cccc1",
        "delimiter": "\t",
        "text": "two\nlines\n",
        "emoji": "🧪",
        "yes": False,
        "small": 1e-12,
        "nothing": None,
    }


def test_an_override_of_one_place_leaves_the_other_uses_of_an_alias_alone(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a {x: 1}\nb: *a\n")
    assert read_mapping(tmp_path / "c.yaml", ["a.x=2"]) == {"a": {"x": 2}, "b": {"x": 1}}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
def test_line_endings_and_byte_order_marks_of_other_editors_are_read(tmp_path, mark, ending):
    (tmp_path / "c.yaml").write_bytes(mark + VALID.replace("\n", ending).encode())
    assert load_config(tmp_path / "c.yaml").name == "x"


CONTENTS = {
    "empty": (b"", "is empty; expected a mapping"),
    "comments": (b"# nothing\n", "is empty; expected a mapping"),
    "Latin-1": ("name: é\n".encode("latin-1"), "is no UTF-8 text"),
    "UTF-16": (VALID.encode("utf-16"), "is no UTF-8 text"),
    "a program": (bytes(range(256)) * 4, "is no UTF-8 text"),
    "a list": (b"[1, 2]", "holds a list; expected a mapping"),
    "a text": (b"hello", "holds a str; expected a mapping"),
}


@pytest.mark.parametrize("load", [load_config, load_sampler])
@pytest.mark.parametrize(("content", "sentence"), CONTENTS.values(), ids=CONTENTS)
def test_a_file_that_holds_no_settings_is_refused(tmp_path, content, sentence, load):
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.yaml") as caught:
        load(tmp_path / "c.yaml")
    assert sentence in str(caught.value)


def test_a_file_of_a_hundred_megabytes_is_refused_unread(tmp_path):
    with (tmp_path / "c.yaml").open("wb") as file:
        file.write(VALID.encode())
        file.truncate(100_000_000)
    began = time.monotonic()
    with pytest.raises(ConfigError, match=f"more than {LARGEST_FILE // 1024} KiB"):
        load_config(tmp_path / "c.yaml")
    assert time.monotonic() - began < 5


def test_folders_and_impossible_names_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="is a folder; expected a campaign file"):
        load_config(tmp_path)
    for name in ("x" * 5000, "a\0b", "a\nb"):
        with pytest.raises(ConfigError, match="c"):
            load_config(tmp_path / name)


@pytest.mark.parametrize(
    "override",
    [
        "objectives.²=1",
        "objectives." + "9" * 5000 + "=1",
        ".".join("a" * 1000) + "=1",
        "name=" + "[" * 3000,
        "seed=" + "9" * 6000,
        "name=!!python/name:os.system",
        "name='\\0",
        'name="\\0"',
        "name=\udcff",
        "a\0b=1",
        "objectives={}",
        "={}",
        "..=1",
        "data.a.b=&x [*x]",
    ],
)
def test_a_hostile_override_is_refused_in_a_sentence(tmp_path, override):
    (tmp_path / "c.yaml").write_text(VALID)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "c.yaml", [override])
    assert len(str(caught.value)) < 1000


def test_a_section_that_the_file_leaves_empty_can_be_overridden(tmp_path):
    (tmp_path / "c.yaml").write_text(VALID + "budget:\n")
    assert load_config(tmp_path / "c.yaml", ["budget.calls=3"]).budget.calls == 3


def test_of_many_mistakes_the_first_are_told_and_the_others_counted():
    with pytest.raises(ConfigError, match=r"and 480 more\.$") as caught:
        parse_config({"name": "x", "objectives": [3] * 500})
    assert str(caught.value).count("\n") == 21


def test_a_long_wrong_value_is_not_repeated_in_full():
    with pytest.raises(ConfigError) as caught:
        parse_config({"name": "x" * 100_000, "objectives": [{"name": "a", "oracle": {"k": "y" * 100_000}}]})
    assert len(str(caught.value)) < 2000


# Texts of YAML's own characters get further into the reader than arbitrary ones do.
YAML_LIKE = st.text(alphabet=st.sampled_from(list("ab:- \n\t[]{}&*!?|>'\"%#,.<0123e_~\\x\ufeff\u2028é")), max_size=60)
KEYS = st.sampled_from([*CampaignConfig.model_fields, *SamplerConfig.model_fields, "kind", "calls", "name", "oracle"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates() | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def loaded_or_refused(path):
    for load in (load_config, load_sampler):
        with suppress(ConfigError):
            assert isinstance(load(path), CampaignConfig | SamplerConfig)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=80) | YAML_LIKE.map(lambda text: text.encode()))
@example(b"\x00")
@example(b"- - - ? - : [")
@example(b"a: !<!> x")
def test_any_bytes_are_loaded_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    loaded_or_refused(path)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(KEYS, VALUES, max_size=6))
@example({"name": "x", "objectives": [{"name": "a", "oracle": {"kind": "xtb"}, "x": math.nan}]})
@example({"environment": {"kind": "x"}, "evaluation": {"conditions": [[{"mode_reward": 1}]]}})
def test_any_mapping_is_loaded_or_refused(tmp_path_factory, mapping):
    path = tmp_path_factory.getbasetemp() / "mapping.yaml"
    path.write_text(yaml.dump({"name": "x", "environment": {"kind": "set"}, **mapping}, allow_unicode=True), "utf-8")
    loaded_or_refused(path)
