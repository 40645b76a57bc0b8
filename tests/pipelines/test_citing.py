"""`discover cite`: BibTeX of what a run rests on, and nothing else on standard output; nothing is run for it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data.config import load_config
from data.references import parsed
from models.registry import Component, ComponentError
from pipelines.citing import SOFTWARE, Used, bibtex, citations
from pipelines.cli import EXIT_BAD_INPUT, guarded
from tasks.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent.parent / "campaigns"
EXPECTED = {
    "samplers/hypergrid.yaml": {"malkin2022tb", "bengio2021flow"},
    "samplers/atoms.yaml": {"madan2023subtb", "xu2019gin", "fey2019pyg", "rdkit", "shen2023towards"},
    "samplers/box.yaml": {"lahlou2023continuous", "malkin2022tb"},
    "samplers/hairpins.yaml": {"shen2023towards"},
    "samplers/set.yaml": {"pan2023forwardlooking", "kim2024logits"},
    "samplers/set_decomposed.yaml": {"jang2024led", "pan2023forwardlooking"},
    "samplers/tfbind8.yaml": {"barrera2016survey", "shen2023towards"},
    "samplers/independent_sets.yaml": {"zhang2023combopt", "xu2019gin", "pan2023forwardlooking"},
    "samplers/many_graphs.yaml": {"zhang2023combopt", "xu2019gin", "pan2023forwardlooking", "gilbert1959random"},
    "samplers/ising.yaml": {"liu2024marginalization", "bengio2023foundations"},
    "samplers/conformers.yaml": {"lahlou2023continuous", "malkin2022tb", "halgren1996mmff94", "wang2020etkdg", "rdkit"},
    "samplers/dags.yaml": {"deleu2022bayesian", "cooper1999causal"},
    "samplers/dags_sparse.yaml": {"deleu2022bayesian"},
    "samplers/outcomes.yaml": {"pan2024pretraining", "madan2023subtb"},
    "samplers/sparse_goals.yaml": {"pan2023gafn", "burda2019rnd"},
    "samplers/mixture.yaml": {"sendera2024improved", "tripp2020weighted"},
    "samplers/mixture_dgfs.yaml": {"zhang2022path", "madan2023subtb"},
    "samplers/wells.yaml": {"sendera2024improved", "malkin2022tb"},
    "samplers/rates.yaml": {"lahlou2023continuous"},
    "samplers/torus.yaml": {"lahlou2023continuous", "malkin2022tb"},
    "samplers/tfbind8_guided.yaml": {"barrera2016survey", "shen2023towards"},
    "assay/campaign.yaml": {"shah2014student", "lee2022scale", "picheny2013benchmark"},
    "electron_acceptors.yaml": {"asgeirsson2017ipea1", "tblite", "jensen2019graph", "rdkit", "sterling2015zinc"},
    "acceptors_two_goals.yaml": {"yang2019efficient", "zhang2015nondominated", "bickerton2012qed", "deb2002nsga2"},
    "fidelities.yaml": {"bannwarth2019gfn2", "kennedy2000predicting", "karnin2013almost", "rasmussen2006gp"},
    "pmo.yaml": {"gao2022pmo", "brown2019guacamol", "kandasamy2018parallelised", "venkatraman2024rtb"},
    "read_geometries.yaml": {"satorras2021egnn", "wang2020etkdg", "halgren1996mmff94", "sterling2015zinc"},
    "sequential_screening.yaml": {"scannell2024function", "ginsbourger2010kriging", "sterling2015zinc"},
    "tfbind8.yaml": {"barrera2016survey", "bengio2021flow", "malkin2022tb", "shen2023towards"},
    "virtual_screening.yaml": {"asgeirsson2017ipea1", "sterling2015zinc", "kool2019beams", "srinivas2010bandit"},
    "interventions/campaign.yaml": {"murphy2001active", "kuipers2014addendum", "krause2005nearoptimal"},
    "laboratory/campaign.yaml": {"jones1998ego", "owen1998scrambling", "hvarfner2024vanilla", "gardner2014inequality"},
    "own_data/campaign.yaml": {"baell2010pains", "brenk2008lessons", "bengio2021flow", "degen2008brics"},
    "own_library/campaign.yaml": {"rogers2010ecfp", "ginsbourger2010kriging"},
    "own_library/learnt.yaml": {"jang2024graph", "cuthill1969reducing", "diamant2023bandwidth", "venkatraman2024rtb"},
    "conformers/campaign.yaml": {"halgren1996mmff94", "wang2020etkdg", "lahlou2023continuous", "jones1998ego", "rdkit"},
    "peptides/campaign.yaml": {"leslie2002spectrum"},
    "peptides/greedy.yaml": {"tiulpin2022greedy", "caruana2004selection", "leslie2002spectrum"},
    "peptides/imitation.yaml": {"gat2024discrete", "campbell2024discrete", "leslie2002spectrum"},
    "process/many_variables.yaml": {"ziomek2023random", "srinivas2010bandit"},
    "process/campaign.yaml": {"jones1998ego", "hvarfner2024vanilla"},
    "process/constrained.yaml": {"gardner2014inequality"},
    "process/imitation.yaml": {"xie2024reflected", "tong2024improving"},
    "process/diffusion.yaml": {"sendera2024improved", "malkin2022tb", "srinivas2010bandit"},
    "process/prior_fitted.yaml": {"muller2022transformers", "jones1998ego"},
    "process/two_goals.yaml": {"yang2019efficient"},
    "process/preferences.yaml": {"jain2023mogfn", "lahlou2023continuous", "malkin2022tb"},
    "process/levels.yaml": {"takeno2020multifidelity", "moss2021gibbon", "kennedy2000predicting"},
    "rows/campaign.yaml": {"kennard1969computer"},
    "wiring/campaign.yaml": {"deleu2022bayesian", "tsamardinos2006maxmin", "gansner2000graphviz"},
    "composed/binding.yaml": {"malkin2022tb", "shen2023towards", "srinivas2010bandit"},
    "composed/stability.yaml": {"malkin2022tb", "shen2023towards", "srinivas2010bandit"},
    "composed/campaign.yaml": {"garipov2023sculpting", "bengio2021flow"},
    "earlier_assays/campaign.yaml": {"feng2023latent", "srinivas2010bandit"},
    "pretrained/campaign.yaml": {"pan2024pretraining", "malkin2022tb", "shen2023towards"},
    "pretrained/second.yaml": {"pan2024pretraining", "malkin2022tb", "shen2023towards"},
    "subset/campaign.yaml": {"jaccard1901etude", "brandes2002graphml"},
}
"""Shipped file -> some of what it rests on, named there or not."""


def test_every_shipped_file_is_tried():
    found = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.yaml")}
    assert found == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_shipped_file_cites_what_it_rests_on_the_same_each_time(name):
    text = bibtex(citations(ROOT / name))
    entries = parsed(text)
    assert EXPECTED[name] | set(SOFTWARE) <= set(entries)
    assert text == bibtex(citations(ROOT / name))
    assert text.isascii()
    kept = [line for line in text.splitlines() if not line.startswith("%")]
    assert sum("@" in line for line in kept) == len(entries)


def test_the_command_writes_entries_under_the_parts_they_are_for(capsys):
    assert guarded(["cite", str(ROOT / "samplers" / "hypergrid.yaml")]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert set(parsed(told.out)) == {"bengio2021flow", "malkin2022tb", "bengio2023foundations", *SOFTWARE}
    assert re.search(r"^% objective: trajectory_balance\n@inproceedings\{malkin2022tb,$", told.out, re.MULTILINE)
    assert "% also bengio2021flow, above" in told.out


def test_a_value_that_is_set_changes_what_is_cited(capsys):
    arguments = ["cite", str(ROOT / "samplers" / "hypergrid.yaml"), "--set", "objective.kind=sub_trajectory_balance"]
    assert guarded(arguments) == 0
    entries = parsed(capsys.readouterr().out)
    assert "madan2023subtb" in entries
    assert "malkin2022tb" not in entries


def test_the_text_is_to_be_read(capsys):
    assert guarded(["cite", str(ROOT / "electron_acceptors.yaml"), "--format", "text"]) == 0
    told = capsys.readouterr().out
    assert "generator.members.1.generator: genetic\n  Jensen, A graph-based genetic algorithm" in told
    assert "Ásgeirsson et al., Quantum chemical calculation" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.yaml"], "There is no campaign or sampler file 'nowhere.yaml'"),
        (
            [str(ROOT / "electron_acceptors.yaml"), "--set", "proxy.kind=gausian_process"],
            "Did you mean 'gaussian_process'",
        ),
        ([str(ROOT / "electron_acceptors.yaml"), "--set", "rouns=3"], "Did you mean 'rounds'"),
        ([str(ROOT / "samplers" / "hypergrid.yaml"), "--set", "policy.hiden=[3]"], "Did you mean 'hidden'"),
        ([str(ROOT / "samplers" / "hypergrid.yaml"), "--set", "training.stepps=3"], "Did you mean 'steps'"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_printed(arguments, said, capsys):
    assert guarded(["cite", *arguments]) == EXIT_BAD_INPUT
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err


def campaign_with(tmp_path, name="campaign", rows=8, **changes):
    """Write a campaign on vectors; the path of its file."""
    (tmp_path / "known.csv").write_text("x,y,value\n" + "".join(f"0.1,0.2,{k}\n" for k in range(rows)))
    config = {
        "name": name,
        "space": {"kind": "vectors", "variables": {"x": [0, 1], "y": [0, 1]}},
        "objectives": [{"name": "v", "oracle": {"kind": "python", "function": "oracle:measure"}}],
        "data": {"kind": "csv", "path": "known.csv", "value": "value", "initial": 0},
        "rounds": 1,
        "batch_size": 4,
        **changes,
    }
    (tmp_path / f"{name}.yaml").write_text(json.dumps(config))
    return tmp_path / f"{name}.yaml"


OF_MANY = {"snelson2006pseudo", "quinonero2005unifying"}


def test_only_what_this_space_and_so_few_labels_use_is_cited(tmp_path):
    members = [{"generator": {"kind": kind}} for kind in ("genetic", "flow_matching")]
    changes = {"proxy": {"kind": "gaussian_process"}, "generator": {"kind": "union", "members": members}}
    cited = set(parsed(bibtex(citations(campaign_with(tmp_path, **changes)))))
    assert {"rasmussen2006gp", "tripp2023genetic", "lipman2023flow", "xie2024reflected"} <= cited
    assert not cited & {"ralaivola2005kernels", "jensen2019graph", "chen2024riemannian", *OF_MANY}


def test_what_only_many_labels_use_is_cited_where_there_may_be_so_many(tmp_path):
    proxy = {"kind": "gaussian_process", "exact_points": 25, "inducing_points": 10}
    few = citations(campaign_with(tmp_path, rows=15, proxy=proxy))
    assert not set(parsed(bibtex(few))) & OF_MANY
    text = bibtex(citations(campaign_with(tmp_path, rows=30, proxy=proxy)))
    assert "% proxy: gaussian_process, only with more than 25 labels\n@" in text
    assert set(parsed(text)) >= OF_MANY


def test_a_composition_cites_the_campaigns_that_the_workspace_has(bench):
    space = {"kind": "vectors", "variables": {"x": [0, 1], "y": {"choices": ["a", "b"]}}}
    drawing = {"kind": "composed", "members": [{"from": "first"}, {"from": "nobody"}]}
    generator = {"kind": "gflownet", "steps": 10, "objective": {"kind": "sub_trajectory_balance"}}
    first = campaign_with(
        bench.folder, "first", space=space, generator=generator, data={"kind": "random", "initial": 6}
    )
    both = campaign_with(bench.folder, "both", space=space, generator=drawing, data={"kind": "random", "initial": 6})
    before = bench.discover("cite", str(both))
    assert before.exit == 0, before.message
    assert before.out.count("what trained this member is not cited here") == 2
    assert "madan2023subtb" not in parsed(before.out)
    assert not bench.home.exists()
    ledger = Workspace.open(bench.home).ledger()
    ledger.begin_campaign(load_config(first), first.parent)
    ledger.close()
    after = bench.discover("cite", str(both)).out
    assert "% generator.members: first, generator.objective: sub_trajectory_balance" in after
    assert "madan2023subtb" in parsed(after)
    assert after.count("what trained this member is not cited here") == 1


def test_the_program_is_cited_with_its_authors_and_its_year():
    entry = parsed(bibtex([Used("software", SOFTWARE[:1])]))[SOFTWARE[0]]
    assert entry.fields["author"] == "{discovery-flows contributors}"
    assert {"year", "version"} <= entry.fields.keys()


class Foreign(Component):
    """Of a plugin: cites a key of its own, and a paper in words."""

    group = "acquisition"
    kind = "foreign_for_the_citing_test"
    cites = ("rasmussen2006gp", "foreign2026own")
    reference = "Foreign et al.,\nMail me@example.org, 2026"

    def __call__(self, *arguments):
        raise NotImplementedError


def test_what_a_plugin_cites_is_written_and_what_nobody_knows_is_a_comment(monkeypatch):
    from models import parts

    monkeypatch.setattr(parts, "acquisition_of", lambda config: Foreign())
    monkeypatch.setattr("models.spaces.base.require_space", lambda component, space: None)
    text = bibtex(citations(ROOT / "process" / "campaign.yaml"))
    assert "cites 'foreign2026own', which is none of the references" in text
    assert "% acquisition foreign_for_the_citing_test: Foreign et al., Mail me(at)example.org, 2026\n" in text
    assert "rasmussen2006gp" in parsed(text)
    assert "foreign2026own" not in parsed(text)


def test_an_entry_is_written_once():
    text = bibtex([Used("one", ("rdkit", "tblite")), Used("two", ("rdkit",))])
    assert text.count("@software{rdkit,") == 1
    assert text.endswith("% two\n% also rdkit, above\n")


def test_a_table_of_another_content_is_not_taken_for_a_public_one(tmp_path):
    file = tmp_path / "campaign.yaml"
    file.write_text((ROOT / "tfbind8.yaml").read_text())
    assert "barrera2016survey" in parsed(bibtex(citations(file)))
    (tmp_path / "tfbind8.csv").write_text("sequence,value\nACGTACGT,1\n")
    assert "barrera2016survey" not in parsed(bibtex(citations(file)))


@pytest.mark.parametrize(
    ("name", "extra"),
    [("process/campaign.yaml", {"torch"}), ("samplers/hypergrid.yaml", set()), ("fidelities.yaml", set())],
)
def test_nothing_is_imported_that_only_a_run_needs(name, extra, tmp_path):
    heavy = {"mlflow", "prefect", "tblite", "sklearn", *extra}
    code = (
        "import sys; from pipelines.cli import guarded; code = guarded(sys.argv[1:]);"
        f"heavy = {heavy!r} & set(sys.modules); sys.exit(repr(heavy) if heavy else code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "cite", str(ROOT / name)],
        capture_output=True,
        text=True,
        env={"DISCOVER_HOME": str(tmp_path), "PATH": ""},
    )
    assert ran.returncode == 0, ran.stderr
    assert not list(tmp_path.iterdir())


class _Mute(Component):
    """Cites nothing."""


def test_a_component_that_cites_nothing_has_no_reference_and_an_unknown_group_is_refused():
    assert _Mute.reference == ""
    assert _Mute().cited() == ()
    with pytest.raises(ComponentError):
        citations(ROOT / "samplers" / "hypergrid.yaml", ["environment.kind=hypergird"])
