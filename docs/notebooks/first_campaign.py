# %% [markdown]
"""# A first campaign: which temperature, excess and solvent give the best yield?

An experiment takes a day, so as few as possible are made: a Gaussian process learns from those that are made, and says
which ones are worth making next.

The notebook runs in its own folder, beside `simulated_yield.py`, and makes `.discover` there. It is a script of cells:
VS Code runs them as they are, Jupyter opens it where jupytext is installed.
"""

# %%
# To make an .ipynb file of it: pip install jupytext; jupytext --to ipynb first_campaign.py
from pathlib import Path

from simulated_yield import simulated

from pipelines.api import Campaign, ask, campaigns, run, tell, validate

# %% [markdown]
# The measurement is a function in a module beside the notebook. Values belong to the content of that file.

# %%
print(Path("simulated_yield.py").read_text())

# %% [markdown]
# A campaign is a dictionary with the keys of a campaign file. It is written to no file: the ledger in `.discover` keeps
# it together with what was measured.

# %%
config = {
    "name": "first-campaign",
    "space": {
        "kind": "vectors",
        "variables": {"temperature": [20, 120], "ratio": [1, 5], "solvent": ["water", "ethanol", "toluene"]},
    },
    "objectives": [{"name": "yield", "oracle": {"kind": "python", "function": "simulated_yield:measure", "unit": "%"}}],
    "data": {"kind": "random", "initial": 8},
    "proxy": {"kind": "gaussian_process", "calibration": "none"},
    "acquisition": {"kind": "expected_improvement"},
    "generator": {"kind": "random", "proposals": 300},
    "screens": [],
    "control": {"kind": "random", "fraction": 0.25},
    "rounds": 2,
    "batch_size": 4,
    "budget": {"calls": 20},
}
plan = validate(config)
print(plan.calls, "experiments planned;", *plan.said)

# %% [markdown]
# Eight experiments spread over the space, then two rounds of four, one of them at random for comparison. The same call
# again goes on where it stopped, or finds that all is done.

# %%
campaign = run(config)
print(campaign.state, campaign.message)

# %% [markdown]
# ## What was found
#
# Candidates come best first, with what was predicted before they were measured.

# %%
best = campaign.candidates(top=5)
best[["temperature", "ratio", "solvent", "value", "unit", "predicted_mean", "predicted_std", "round", "arm"]]

# %%
campaign.rounds()

# %% [markdown]
# Whether the predictions held, and what to do if not:

# %%
for finding in campaign.health().itertuples():
    print(f"{finding.level}: {finding.message}")

# %% [markdown]
# Figures are those of the report.

# %%
campaign.figures()

# %%
campaign.figure("best_so_far")

# %% [markdown]
# Every measurement, one that failed or is still to come included:

# %%
measured = campaign.measurements()
measured.groupby(["round", "arm", "state"])["value"].agg(["count", "mean", "max"])

# %% [markdown]
# One round more, since each was worth its cost:

# %%
campaign = run(config, ["rounds=3"])
campaign.rounds()[["round", "calls", "best"]]

# %% [markdown]
# ## A laboratory
#
# Where people measure, the oracle is `laboratory`. `run` writes down what is to be measured and returns: the campaign
# waits, for days if need be.

# %%
at_the_bench = config | {
    "name": "at-the-bench",
    "objectives": [{"name": "yield", "oracle": {"kind": "laboratory", "outputs": {"yield": "%"}}}],
}
laboratory = run(at_the_bench)
print(laboratory.state, "-", laboratory.message)

# %%
sheet = ask("at-the-bench")
sheet.head(8)

# %% [markdown]
# The table goes to the laboratory, as `sheet.to_csv("to_measure.csv", index=False)`, and comes back filled in. Here the
# simulation is the laboratory, and one experiment fails.

# %%
conditions = sheet[["temperature", "ratio", "solvent"]].astype({"temperature": float, "ratio": float})
sheet["yield [%]"] = [round(simulated(**one), 1) for one in conditions.to_dict("records")]
sheet.loc[0, ["yield [%]", "failed"]] = [None, "the flask broke"]
receipt = tell("at-the-bench", sheet, by="Ada")
print(receipt.told())

# %% [markdown]
# The same call goes on: it learns from the answers and asks for the next four.

# %%
laboratory = run(at_the_bench)
print(laboratory.state, "-", laboratory.message)
laboratory.measurements()[["id", "round", "state", "value", "message", "told_by"]]

# %% [markdown]
# ## Later
#
# Another notebook, or a program, finds campaigns by their names. Looking changes nothing, also while one is at work.

# %%
campaigns()

# %%
again = Campaign.load("first-campaign")
again.candidates(top=1)
